"""Output to a terminal or a log: printable text, and messages in place of tracebacks."""

import errno
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO, cast

from graft.core.errors import DataError, GraftError

HIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters except tab and line feed, marks that change the text's direction, and lone surrogates."""
DISK_IS_FULL = (
    "Free some space there and run the same command again: finished work is kept, and no file is half-written."
)
REMEDIES = {
    errno.ENOSPC: DISK_IS_FULL,
    errno.EDQUOT: DISK_IS_FULL,
    errno.EACCES: "Grant the permission (chmod, chown), or work in another folder.",
    errno.EPERM: "Grant the permission (chmod, chown), or work in another folder.",
    errno.EFBIG: "A file of that size is not allowed there (the file system, or ulimit -f).",
    errno.EBUSY: "Another process is using it; end that process, then run the same command again.",
    errno.EROFS: "That disk is read-only; work on another one.",
    errno.EIO: "The disk itself reports this: check the disk, its cable or its network.",
    errno.ENOENT: "If a stage creates it, run `dvc repro`; if it is yours, restore it.",
    errno.ENOTDIR: "A file is in the place of a folder; move it out of the way.",
    errno.EISDIR: "A folder is in the place of a file; move it out of the way.",
    errno.ENOTEMPTY: "Another process wrote there at the same time; let it end, then run the same command again.",
    errno.EEXIST: "Something is in the way there; move it.",
    errno.ENAMETOOLONG: "Shorten the name.",
    errno.ELOOP: "The links there form a loop; remove one.",
    errno.EMFILE: "Allow more open files (ulimit -n 4096).",
    errno.ENFILE: "The machine has too many open files; end some processes.",
    errno.ESTALE: "The network drive was remounted; enter the folder again (cd).",
}
"""Kinds of OSError that the machine causes, not a bug of ours -> what to do."""
KINDS_IN_SQLITE = {
    "SQLITE_FULL": errno.ENOSPC, "SQLITE_READONLY": errno.EACCES, "SQLITE_CANTOPEN": errno.EACCES,
    "SQLITE_PERM": errno.EACCES, "SQLITE_IOERR": errno.EIO,
}  # fmt: skip


def plain(text: str) -> str:
    """The text with control characters escaped: `\\x1b[2J` does not clear the screen."""
    return HIDDEN.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


class _PlainStream:
    """Stream that escapes control characters."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(plain(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def plain_output() -> Iterator[None]:
    """Escapes control characters, and letters that the terminal's encoding lacks, in all output of the block."""
    show_all_letters()
    with redirect_stdout(cast(TextIO, _PlainStream(sys.stdout))):
        yield


def show_all_letters() -> None:
    """Escapes letters that the encoding of stdout or stderr lacks, instead of failing on them."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def require_utf8_names() -> None:
    """
    Raises:
        DataError: Python would decode file names with another encoding and change them.
    """
    encoding = sys.getfilesystemencoding()
    if encoding.lower() not in ("utf-8", "utf8"):
        raise DataError(
            f"the locale of this terminal makes Python read the names of files as {encoding}, so that names with other "
            "letters would change. Set PYTHONUTF8=1 (export PYTHONUTF8=1), or a locale in UTF-8."
        )


def tell(error: Exception) -> bool:
    """Prints what happened, where, and what to do; False if the error is a bug of ours, which needs a traceback."""
    answer = answer_to(error)
    if answer is not None:
        print(f"\n{plain(answer)}\n", file=sys.stderr)
    return answer is not None


def answer_to(error: Exception) -> str | None:
    """Message for an error that a user or the machine caused; None for any other."""
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
        return "This machine does not have enough memory. Give it more, or reduce arms.batch_size."
    return None
