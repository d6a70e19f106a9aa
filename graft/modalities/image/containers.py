"""What of an image file its pixels hang on, apart from what stands beside them: profiles, texts, dates, previews.

Pillow reads both together, and refuses a file whose pixels are whole for a colour profile that is too large, or a
comment whose checksum is wrong.
"""

import struct
from collections.abc import Iterator

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE = b"\xff\xd8\xff"
_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT"}
_TEXTS = {b"eXIf", b"tEXt", b"zTXt", b"iTXt"}
_EMPTY_PIXELS = b"\0\0\0\0IDAT\x35\xaf\x06\x1e"
_SHORTEST_SEGMENT = {0xE0: 16, 0xE1: 2, 0xEE: 14}
"""JPEG's segments that say how to read the pixels, or which way is up: JFIF, EXIF and Adobe, with their least length.
Shorter ones are ignored by every decoder but Pillow, which fails."""


def png_pixels(content: bytes) -> bytes:
    """The same PNG without anything that does not change a pixel."""
    return PNG_SIGNATURE + b"".join(chunk for kind, chunk in _chunks(content) if kind in _PIXELS or not kind)


def png_texts(content: bytes) -> bytes:
    """A PNG of no pixels with the texts and the EXIF of this one, wherever they stood."""
    chunks = list(_chunks(content))
    head = [chunk for kind, chunk in chunks if kind == b"IHDR"]
    return b"".join([PNG_SIGNATURE, *head, *(chunk for kind, chunk in chunks if kind in _TEXTS), _EMPTY_PIXELS])


def jpeg_pixels(content: bytes) -> bytes:
    """The same JPEG without comments, profiles and previews."""
    kept, start = [content[:2]], 2
    while start + 4 <= len(content) and content[start] == 0xFF and content[start + 1] != 0xDA:
        if content[start + 1] == 0xFF:  # padding before a marker
            start += 1
            continue
        kind, length = content[start + 1], struct.unpack_from(">H", content, start + 2)[0]
        is_beside = 0xE0 <= kind <= 0xEF or kind == 0xFE
        if not is_beside or length >= _SHORTEST_SEGMENT.get(kind, 2**16):
            kept.append(content[start : start + 2 + length])
        start += 2 + length
    return b"".join([*kept, content[start:]])


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and bytes of each chunk up to the end; what is left of a broken file has no kind."""
    start = len(PNG_SIGNATURE)
    while start < len(content):
        length = int.from_bytes(content[start : start + 4], "big")
        kind, end = content[start + 4 : start + 8], start + 12 + length
        if end > len(content):
            yield b"", content[start:]
            return
        yield kind, content[start:end]
        if kind == b"IEND":
            return
        start = end
