"""The user's cache of downloads: whole files, named by what is in them, or nothing."""

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
"""A fetch that has written nothing for so long was killed: no time limit of a scheme is nearly as long."""


def weights_folder() -> Path:
    return user_cache() / "weights"


def weights_path(name: str, sha256: str) -> Path:
    """Where a weights file with these bytes lies; the name's ending tells how it is read."""
    return weights_folder() / f"{sha256[:12]}-{Path(name).name}"


def is_whole(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_of_file(path) == sha256


def find_whole(sha256: str) -> Path | None:
    """The weights file with these bytes, whatever it is called."""
    return next((path for path in weights_folder().glob(f"{sha256[:12]}-*") if is_whole(path, sha256)), None)


def require_hash(path: Path, promised: str, what: str) -> None:
    """
    Raises:
        HashMismatchError: the bytes are not those that were promised.
    """
    found = sha256_of_file(path)
    if found != promised:
        raise HashMismatchError(
            f"{what}: sha256 is {found}, pinned is {promised}. Nothing was kept. "
            "If the file was replaced on purpose, check where it comes from and correct the pin."
        )


@contextmanager
def arriving(folder: Path) -> Iterator[Path]:
    """An empty folder within `folder` for what is being fetched; afterwards it is gone, with all that was left in it.

    Each fetch has its own, and what is whole and verified is renamed out of it: fetches do not meet.

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
