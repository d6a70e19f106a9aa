"""Contents of folders, without hidden files and those that file managers leave behind."""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from graft.core.errors import NoDataError

IGNORED_NAMES = {"thumbs.db", "desktop.ini", "__macosx"}


@contextmanager
def _entries(folder: Path) -> Iterator[Iterator[os.DirEntry[str]]]:
    try:
        entries = os.scandir(folder)
    except OSError as error:
        raise NoDataError(
            f"the folder {folder} cannot be read: {error.strerror}. Its contents would be missing without notice. "
            "Grant the permission (chmod -R u+rX), or move it out of the data folder."
        ) from error
    with entries:
        yield entries


def names_in(folder: Path) -> list[str]:
    """Names of all entries, sorted."""
    with _entries(folder) as entries:
        return sorted(entry.name for entry in entries)


def files_below(folder: Path, prefix: str = "") -> Iterator[str]:
    """Relative paths of all files except hidden ones and `IGNORED_NAMES`. A link to a folder ends in a slash."""
    with _entries(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower() in IGNORED_NAMES:
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from files_below(Path(entry.path), f"{prefix}{entry.name}/")
            else:
                yield prefix + entry.name + ("/" if entry.is_dir() else "")


def folders_in(folder: Path) -> list[str]:
    """Names of the subfolders that hold any file, sorted. Links do not count as folders, as in `files_below`."""
    with _entries(folder) as entries:
        names = [
            entry.name for entry in entries
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
            and entry.name.lower() not in IGNORED_NAMES
        ]  # fmt: skip
    return sorted(name for name in names if next(files_below(folder / name), None) is not None)


def num_samples_in(folder: Path, suffixes: Collection[str]) -> int:
    """Number of files directly in the folder whose names end in one of the suffixes."""
    with _entries(folder) as entries:
        return sum(Path(entry.name).suffix.lower() in suffixes for entry in entries)
