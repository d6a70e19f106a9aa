"""Atomic writes, so that a file is complete or absent, and checksums."""

import errno
import glob
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from graft.core.errors import DiskSpaceError


def sha256_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(*parts: object) -> str:
    """Hash of 16 hex digits that changes when any part changes; parts must be JSON-serialisable."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fingerprint_of_code(package_dir: Path) -> str:
    """Fingerprint of every Python file below `package_dir`."""
    return fingerprint([(path.name, sha256_of_file(path)) for path in sorted(package_dir.rglob("*.py"))])


@contextmanager
def written_atomically(path: Path) -> Iterator[Path]:
    """Yields a temporary path next to `path`, which is renamed to `path` only if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        _name(error, path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def folder_written_atomically(path: Path) -> Iterator[Path]:
    """Yields an empty folder next to `path`, which replaces `path` only if the block succeeds.

    Only one process at a time may do so: leftovers of a killed one next to `path` are removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for abandoned in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        shutil.rmtree(abandoned, ignore_errors=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    temporary.mkdir()
    try:
        yield temporary
        shutil.rmtree(path, ignore_errors=True)
        temporary.replace(path)
    except OSError as error:
        _name(error, path)
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _name(error: OSError, path: Path) -> None:
    """Adds the file's name to the error: the system omits it for a full disk."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO) and not error.filename:
        error.filename = str(path)


def write_text(path: Path, text: str) -> None:
    with written_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: object) -> None:
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def require_disk_space(folder: Path, needed_bytes: int) -> None:
    """
    Raises:
        DiskSpaceError: fewer than `needed_bytes` are free on the disk of `folder`.
    """
    existing = next(parent for parent in [folder.absolute(), *folder.absolute().parents] if parent.exists())
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes < needed_bytes:
        raise DiskSpaceError(
            f"{existing} has {free_bytes / 1e9:.1f} GB free; this needs {needed_bytes / 1e9:.1f} GB. "
            "Free some space, or move the cache with the environment variable GRAFT_CACHE."
        )
