"""The user's cache of downloads: only complete files, named by their hash."""

import errno
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from graft.core.errors import DiskSpaceError, HashMismatchError
from graft.core.files import sha256_of_file
from graft.core.paths import user_cache

NOT_WRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR)
ABANDONED_AFTER_S = 3600
"""Age of the last write after which a fetch counts as killed; the time limits of all schemes are much shorter."""


def weights_folder() -> Path:
    return user_cache() / "weights"


def weights_path(name: str, sha256: str) -> Path:
    """Path of the weights file with this hash; the suffix of `name` determines how it is read."""
    return weights_folder() / f"{sha256[:12]}-{Path(name).name}"


def is_whole(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_of_file(path) == sha256


def find_whole(sha256: str) -> Path | None:
    """The weights file with this hash, whatever its name."""
    return next((path for path in weights_folder().glob(f"{sha256[:12]}-*") if is_whole(path, sha256)), None)


def require_hash(path: Path, promised: str, what: str) -> None:
    """
    Raises:
        HashMismatchError: the hash of the file is not `promised`.
    """
    found = sha256_of_file(path)
    if found != promised:
        raise HashMismatchError(
            f"{what}: sha256 is {found}, pinned is {promised}. Nothing was kept. "
            "If the file was replaced on purpose, check where it comes from and correct the pin."
        )


@contextmanager
def arriving(folder: Path) -> Iterator[Path]:
    """A temporary folder within `folder` for files that are being fetched; it is removed afterwards with its contents.

    Each fetch has its own, and moves complete, verified files out of it, so that fetches do not interfere.

    Raises:
        DiskSpaceError: the cache is full, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".arriving-", ignore_cleanup_errors=True) as incoming:
            yield Path(incoming)
    except OSError as error:
        if error.errno not in NOT_WRITABLE:
            raise
        raise DiskSpaceError(
            f"the cache in {folder} cannot be written: {error.strerror}. Free some space, or move the cache with the "
            "environment variable GRAFT_CACHE."
        ) from error


def _remove_abandoned(folder: Path) -> None:
    for incoming in folder.glob(".arriving-*"):
        with suppress(OSError):  # its owner, or another fetch, may be removing it now
            last_written_s = max(path.stat().st_mtime for path in [incoming, *incoming.rglob("*")])
            if time.time() - last_written_s > ABANDONED_AFTER_S:
                shutil.rmtree(incoming, ignore_errors=True)
