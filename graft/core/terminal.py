"""What leaves for a terminal or a log: text that can be shown there, and an answer in place of a traceback."""

import errno
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO, cast

from graft.core.errors import DataError, GraftError

HIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and line feed, which terminals obey; marks that turn letters around; half letters."""
DISK_IS_FULL = (
    "Free some space there and run the same command again: what is finished is kept, and no file is half-written."
)
REMEDIES = {
    errno.ENOSPC: DISK_IS_FULL,
    errno.EDQUOT: DISK_IS_FULL,
    errno.EACCES: "Allow it (chmod, chown), or work where you may.",
    errno.EPERM: "Allow it (chmod, chown), or work where you may.",
    errno.EFBIG: "A file of that size is not allowed there (the file system, or ulimit -f).",
    errno.EBUSY: "Something holds it; end that, then run the same command again.",
    errno.EROFS: "That disk can only be read; work on another one.",
    errno.EIO: "The disk itself reports this: look at its health, and at the cable or network it hangs on.",
    errno.ENOENT: "If a stage makes it, `dvc repro` does so; if it is yours, restore it.",
    errno.ENOTDIR: "A file lies where a folder is needed; move it out of the way.",
    errno.EISDIR: "A folder lies where a file is needed; move it out of the way.",
    errno.ENOTEMPTY: "Something wrote there at the same time; let it end, then run the same command again.",
    errno.EEXIST: "Something is in the way there; move it.",
    errno.ENAMETOOLONG: "Shorten the name.",
    errno.ELOOP: "Links lead in a circle there; remove one.",
    errno.EMFILE: "Allow more open files (ulimit -n 4096).",
    errno.ENFILE: "The machine has too many files open; end something.",
    errno.ESTALE: "The network disk was mounted anew; go into the folder again (cd).",
}
"""Kinds of OSError that are the machine's, and not a mistake of ours."""
KINDS_IN_SQLITE = {
    "SQLITE_FULL": errno.ENOSPC, "SQLITE_READONLY": errno.EACCES, "SQLITE_CANTOPEN": errno.EACCES,
    "SQLITE_PERM": errno.EACCES, "SQLITE_IOERR": errno.EIO,
}  # fmt: skip


def plain(text: str) -> str:
    """The text with what would not be seen, but obeyed, written out: `\\x1b[2J` clears no screen."""
    return HIDDEN.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


class _PlainStream:
    """Passes everything on, the text made plain."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(plain(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def plain_output() -> Iterator[None]:
    """Whatever is printed within is plain, and is written out where the terminal's encoding lacks a letter."""
    show_all_letters()
    with redirect_stdout(cast(TextIO, _PlainStream(sys.stdout))):
        yield


def show_all_letters() -> None:
    """No name is lost or ends the program because an output is ASCII, say: a letter that it lacks is written out."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def require_utf8_names() -> None:
    """
    Raises:
        DataError: Python takes the names of files for something else, and would make other names of them.
    """
    encoding = sys.getfilesystemencoding()
    if encoding.lower() not in ("utf-8", "utf8"):
        raise DataError(
            f"the locale of this terminal makes Python read the names of files as {encoding}, so that those with other "
            "letters would get other names. Set PYTHONUTF8=1 (export PYTHONUTF8=1), or a locale in UTF-8."
        )


def tell(error: Exception) -> bool:
    """Prints what happened, where, and what to do; False where only a traceback can say that: a mistake of ours."""
    answer = answer_to(error)
    if answer is not None:
        print(f"\n{plain(answer)}\n", file=sys.stderr)
    return answer is not None


def answer_to(error: Exception) -> str | None:
    """In words; None for what no user and no machine has caused."""
    if isinstance(error, GraftError):
        return f"{type(error).__name__}: {error}"
    if isinstance(error, sqlite3.Error):
        name = getattr(error, "sqlite_errorname", "")
        kind = next((kind for start, kind in KINDS_IN_SQLITE.items() if name.startswith(start)), None)
        return None if kind is None else f"A database of this project, in .graft/: {error}. {REMEDIES[kind]}"
    if isinstance(error, FileNotFoundError) and error.errno is None:  # as pyarrow raises it
        return f"{error}: No such file or directory. {REMEDIES[errno.ENOENT]}"
    if isinstance(error, OSError) and error.errno in REMEDIES:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}. {REMEDIES[error.errno]}"
    if isinstance(error, MemoryError):
        return "The memory of this machine does not suffice. Give it more, or make arms.batch_size smaller."
    return None
