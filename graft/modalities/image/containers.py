"""Separates the parts of an image file that determine its pixels from metadata: profiles, texts, dates, previews.

Pillow reads both together, and refuses a file with intact pixels because of a colour profile that is too large, or a
comment with a wrong checksum.
"""

import struct
from collections.abc import Iterator

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE = b"\xff\xd8\xff"
_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT"}
_TEXTS = {b"eXIf", b"tEXt", b"zTXt", b"iTXt"}
_EMPTY_PIXELS = b"\0\0\0\0IDAT\x35\xaf\x06\x1e"
_SHORTEST_SEGMENT = {0xE0: 16, 0xE1: 2, 0xEE: 14}
"""Minimum length of the JPEG segments that affect decoding or orientation: JFIF, EXIF and Adobe. Every decoder ignores
shorter ones, except Pillow, which fails."""


def png_pixels(content: bytes) -> bytes:
    """The PNG reduced to the chunks that affect its pixels."""
    return PNG_SIGNATURE + b"".join(chunk for kind, chunk in _chunks(content) if kind in _PIXELS or not kind)


def png_texts(content: bytes) -> bytes:
    """A PNG without pixels, with the texts and the EXIF of this one, whatever their position."""
    chunks = list(_chunks(content))
    head = [chunk for kind, chunk in chunks if kind == b"IHDR"]
    return b"".join([PNG_SIGNATURE, *head, *(chunk for kind, chunk in chunks if kind in _TEXTS), _EMPTY_PIXELS])


def jpeg_pixels(content: bytes) -> bytes:
    """The JPEG without comments, profiles and previews."""
    kept, start = [content[:2]], 2
    while start + 4 <= len(content) and content[start] == 0xFF and content[start + 1] != 0xDA:
        if content[start + 1] == 0xFF:  # padding before a marker
            start += 1
            continue
        kind, length = content[start + 1], struct.unpack_from(">H", content, start + 2)[0]
        is_metadata = 0xE0 <= kind <= 0xEF or kind == 0xFE
        if not is_metadata or length >= _SHORTEST_SEGMENT.get(kind, 2**16):
            kept.append(content[start : start + 2 + length])
        start += 2 + length
    return b"".join([*kept, content[start:]])


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields kind and bytes of each chunk; the rest of a broken file has an empty kind."""
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
