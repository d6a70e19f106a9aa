"""Text files that are not UTF-8: their likely encoding, and how to convert them."""

import codecs
import re
from pathlib import Path

BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32", codecs.BOM_UTF32_BE: "UTF-32", codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}  # fmt: skip
"""Byte order marks, the longer ones first: UTF-32LE begins like UTF-16LE."""
NUM_BYTES_TO_GUESS_FROM = 100_000
MAX_WESTERN_RUN = 2
"""Longest run of non-ASCII letters in the languages of Windows-1252."""


def read_utf8(path: Path) -> str:
    """The whole file, without a byte order mark.

    Raises:
        UnicodeError: it is not UTF-8; the message names the likely encoding and the remedy.
    """
    content = path.read_bytes()
    try:
        if seems_utf16(content):
            raise UnicodeError
        return content.decode("utf-8-sig")
    except UnicodeError:
        raise UnicodeError(not_utf8(path)) from None


def not_utf8(path: Path) -> str:
    """Error message for a file that is not UTF-8."""
    with path.open("rb") as file:
        start = file.read(NUM_BYTES_TO_GUESS_FROM)
        file.seek(0)
        number, line = next(((n, line) for n, line in enumerate(file, 1) if not _is_utf8(line)), (1, b""))
    guess = _guess(start, line)
    remedy = 'in a spreadsheet, save it as "CSV UTF-8"; or: ' if path.suffix == ".csv" else "in an editor, or: "
    return (
        f"{path} is not UTF-8 (line {number}); it seems to be {guess}. Save it as UTF-8: {remedy}"
        f"iconv -f {guess.split()[0].upper()} -t UTF-8 {path.name} > new && mv new {path.name}"
    )


def seems_utf16(content: bytes) -> bool:
    """Whether the content is UTF-16 or UTF-32, with or without a mark; text in UTF-8 holds no zero bytes."""
    return content.startswith(tuple(BYTE_ORDER_MARKS)) or b"\0" in content[:4]


def _guess(start: bytes, line: bytes) -> str:
    for mark, name in BYTE_ORDER_MARKS.items():
        if start.startswith(mark):
            return name
    if b"\0" in start[:4]:
        return "UTF-16LE" if start[1:2] == b"\0" else "UTF-16BE"
    if max(map(len, re.findall(rb"[\x80-\xff]+", line)), default=0) <= MAX_WESTERN_RUN:
        return "Windows-1252"
    return "Windows-1251 (if the language is Russian; else GB18030, Shift-JIS, or another that is usual for it)"


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
