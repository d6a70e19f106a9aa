"""An image is judged by its pixels: what stands beside them is never a reason to lose it."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from pictures import IMAGES, noise
from PIL import Image

from graft.data.reading import read_sample, remedies_of
from graft.modalities.image.reading import decode, reduced_grey

IMAGE = Image.fromarray(noise(1))
LARGE = zlib.compress(bytes(3_000_000))
TURNED = b'<x tiff:Orientation="6"/>'


def _saved(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    IMAGE.save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


PNG, JPEG = _saved("PNG"), _saved("JPEG")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(*chunks: bytes) -> bytes:
    """With chunks before the pixels."""
    return PNG[:33] + b"".join(chunks) + PNG[33:]


def _jpeg(kind: int, body: bytes) -> bytes:
    """With a segment before all others."""
    return JPEG[:2] + struct.pack(">BBH", 0xFF, kind, len(body) + 2) + body + JPEG[2:]


def _exif(kind: int, count: int, value: bytes) -> bytes:
    """EXIF of an orientation alone, of any type."""
    return b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHI", 0x0112, kind, count) + value + bytes(4)


BESIDE_PIXELS = {
    "a large colour profile": (_png(_chunk(b"iCCP", b"p\0\0" + LARGE)), PNG),
    "a large compressed text": (_png(_chunk(b"zTXt", b"t\0\0" + LARGE)), PNG),
    "a large text in Unicode": (_png(_chunk(b"iTXt", b"t\0\1\0\0\0" + LARGE)), PNG),
    "a large text at the end": (PNG[:-12] + _chunk(b"zTXt", b"t\0\0" + LARGE) + PNG[-12:], PNG),
    "a text with a wrong checksum": (_png(_chunk(b"tEXt", b"t\0abc")[:-4] + b"1234"), PNG),
    "a profile in an unknown compression": (_png(_chunk(b"iCCP", b"p\0\7abc")), PNG),
    "a gamma that is cut off": (_png(_chunk(b"gAMA", b"\0")), PNG),
    "EXIF that is none, in a PNG": (_png(_chunk(b"eXIf", b"rubbish!")), PNG),
    "EXIF that is no text, in a text": (_png(_chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 4\nzz\n")), PNG),
    "EXIF that is none, in a WEBP": (_saved("WEBP", lossless=True, exif=b"Exif\0\0rubbish"), PNG),
    "a JFIF header that is cut off": (_jpeg(0xE0, b"JFIF\0"), JPEG),
    "a mark of Adobe that is cut off": (_jpeg(0xEE, b"Adobe"), JPEG),
    "a block of Photoshop that is cut off": (_jpeg(0xED, b"Photoshop 3.0\x008BIM\x03\xed"), JPEG),
    "a profile that is cut off": (_jpeg(0xE2, b"ICC_PROFILE\0"), JPEG),
    "a large profile in many parts": (_saved("JPEG", icc_profile=bytes(2_000_000)), JPEG),
    "an orientation in words": (_saved("JPEG", exif=_exif(2, 2, b"6\0\0\0")), JPEG),
    "an orientation in raw bytes": (_saved("JPEG", exif=_exif(7, 1, b"\6\0\0\0")), JPEG),
    "an orientation of 9": (_saved("JPEG", exif=_exif(3, 1, b"\x09\0\0\0")), JPEG),
    "an orientation of 0": (_saved("JPEG", exif=_exif(3, 1, bytes(4))), JPEG),
    "a TIFF with an orientation of 9": (_saved("TIFF", tiffinfo={0x0112: 9}), PNG),
}
NOTED = {name for name in BESIDE_PIXELS if "orientation" in name or "EXIF" in name} - {"an orientation of 0"}


def _read(folder: Path, name: str, content: bytes) -> dict[str, object]:
    (folder / name).write_bytes(content)
    found = read_sample(folder / name, [folder.resolve()], IMAGES, [])
    return {**found._asdict(), **found.measured}


@pytest.mark.parametrize("kind", BESIDE_PIXELS)
def test_pixels_are_read_whatever_stands_beside_them(kind: str, tmp_path: Path) -> None:
    content, same_pixels = BESIDE_PIXELS[kind]
    found = _read(tmp_path, "a", content)
    assert found["status"] == "ok"
    assert (found["width"], found["height"]) == IMAGE.size
    assert np.array_equal(decode(content), decode(same_pixels))
    assert bool(found["note"]) == (kind in NOTED)


@pytest.mark.parametrize(
    "content",
    [
        _saved("TIFF", tiffinfo={0x0112: 6}),
        _saved("JPEG", exif=_exif(4, 1, b"\6\0\0\0")),
        _saved("JPEG", xmp=TURNED),
        _png(_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + TURNED)),
        PNG[:-12] + _chunk(b"eXIf", _exif(3, 1, b"\6\0\0\0")[6:]) + PNG[-12:],
    ],
    ids=["TIFF", "EXIF of another type", "XMP in a JPEG", "XMP in a PNG", "EXIF after the pixels"],
)
def test_the_manifest_the_signature_and_the_network_see_an_image_turned_the_same_way(
    content: bytes, tmp_path: Path
) -> None:
    found = _read(tmp_path, "a", content)
    assert (found["width"], found["height"]) == (16, 20)
    assert decode(content).shape == (20, 16, 3)
    assert reduced_grey(content).shape == (20, 16)


@pytest.mark.parametrize(
    "name", ["a.jfif", "a.jpe", "a.JFIF", "a.jif", "a.pjpeg", "a.pjp", "a.dib", "a.apng", "a.0001", "a"]
)
def test_rarer_suffixes_promise_what_they_stand_for(name: str, tmp_path: Path) -> None:
    content = {"a.dib": _saved("BMP"), "a.apng": PNG}.get(name, JPEG)
    assert _read(tmp_path, name, content)["status"] == "ok"


@pytest.mark.parametrize("content", [PNG[:8] + b"\xff" + PNG[9:], JPEG[:3] + JPEG[30:60]], ids=["PNG", "JPEG"])
def test_an_image_whose_header_is_broken_is_not_called_no_image(content: bytes, tmp_path: Path) -> None:
    code = str(_read(tmp_path, "a", content)["status"]).partition(":")[0]
    assert code in ("damaged", "truncated")
    assert remedies_of(IMAGES)[code].startswith("copy it again")
