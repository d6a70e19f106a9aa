"""torchvision's official files: the enum gives the address, and the file name the start of the hash."""

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from graft.core.errors import CatalogueError, DownloadError, HashMismatchError
from graft.core.files import sha256_of_file
from graft.hub.cache import arriving, require_hash, weights_folder, weights_path
from graft.hub.downloads import download

MIRROR = "GRAFT_TORCHVISION_MIRROR"
"""Environment variable that replaces scheme and host of the official addresses."""


def fetch_official(enum: str, sha256: str | None) -> Path:
    """Downloads the weights file of `enum` ("ResNet50_Weights.IMAGENET1K_V2") into the cache.

    Args:
        sha256: full hash, if the catalogue pins it; the digits in the official name are always verified.
    Raises:
        CatalogueError: torchvision has no such enum.
        DownloadError: it could not be downloaded.
        HashMismatchError: the file does not have the official or the pinned hash.
    """
    address = official_address(enum)
    name = Path(urlsplit(address).path).name
    with arriving(weights_folder()) as incoming:
        arrived = incoming / name
        download(_mirrored(address), arrived)
        found = sha256_of_file(arrived)
        if not found.startswith(_digits_in_name(name)):
            raise HashMismatchError(
                f"{name} from {_mirrored(address)} is not the official file: its sha256 is {found}. Nothing was kept. "
                f"{_what_it_looks_like(arrived)}"
            )
        if sha256:
            require_hash(arrived, sha256, f"{name} ({enum})")
        return arrived.replace(weights_path(name, found))


def cached_official(enum: str) -> Path | None:
    """The file of `enum` in the cache, checked against the digits of the hash in its name."""
    name = Path(urlsplit(official_address(enum)).path).name
    for path in sorted(weights_folder().glob(f"{_digits_in_name(name)}*-{name}")):
        if sha256_of_file(path).startswith(path.name.split("-")[0]):
            return path
    return None


def official_address(enum: str) -> str:
    from torchvision import models  # costs seconds

    try:
        return models.get_weight(enum).url
    except (ValueError, KeyError) as error:
        raise CatalogueError(
            f"torchvision has no weights {enum} ({error}). `graft sources --torchvision` lists all."
        ) from error


def _digits_in_name(name: str) -> str:
    found = re.search(r"-([0-9a-f]{8,})\.pth$", name)
    if found is None:
        raise HashMismatchError(f"{name} does not have its sha256 in its name, so it cannot be verified.")
    return found[1]


def _mirrored(address: str) -> str:
    mirror = os.environ.get(MIRROR)
    if not mirror:
        return address
    if not mirror.startswith(("http://", "https://")):
        raise DownloadError(f"{MIRROR} is {mirror!r}; it must start with http:// or https://.")
    return mirror.rstrip("/") + urlsplit(address).path


def _what_it_looks_like(path: Path) -> str:
    start = path.read_bytes()[:200].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"{")):
        return "The download is a page of text: a proxy or a mirror answers in place of the file."
    return f"The download is {path.stat().st_size:,} bytes; a mirror may have another file under this name."
