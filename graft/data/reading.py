"""Reads one file of a data folder: what it is, what it looks like, or why it cannot be used."""

import errno
import hashlib
import io
import os
import stat
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps
from scipy.ndimage import laplace

from graft.data.duplicates import picture_signature

FORMATS = ["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP"]
"""Formats that run code of others (EPS, WMF) are never opened."""
SUFFIXES = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".mpo": "JPEG", ".bmp": "BMP", ".gif": "GIF", ".tif": "TIFF",
    ".tiff": "TIFF", ".webp": "WEBP",
}  # fmt: skip
KNOWN_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "I;16", "I;16B", "I;16L"}
GREY_SIDE_PX = 256
MAX_PIXELS = 89_478_485
"""Pillow's own limit: 256 MB as RGB."""
MAX_BYTES = 500_000_000

REMEDIES = {
    "missing": "restore the file, or take its row out of the table",
    "outside": "copy the file into the data folder, or tell DVC that its cache is there (dvc config cache.dir)",
    "not_a_file": "remove it: only ordinary files are read",
    "no_permission": "allow it to be read (chmod a+r)",
    "unreadable": "see the reason; check the disk",
    "bad_name": "rename it with letters that UTF-8 has",
    "same_name": "rename one: where capitals and accents do not count, one would overwrite the other",
    "empty": "fetch it again: the copy broke off before the first byte",
    "too_large": f"make it smaller than {MAX_BYTES / 1e6:.0f} MB",
    "not_a_picture": f"remove it, or save it as one of {', '.join(FORMATS)}",
    "wrong_extension": "rename it to what it is, after making sure that it is the right file",
    "truncated": "fetch it again: its end is missing",
    "damaged": "fetch it again: its content is damaged",
    "bomb": f"make it smaller than {MAX_PIXELS / 1e6:.0f} megapixels",
    "animated": "save the frame that you mean as a picture of its own",
    "deep": "convert it to 8 bits a channel with the range that shows what matters",
    "cmyk": "convert it to RGB with its colour profile",
    "transparent": "flatten it onto the background that you mean",
    "colour_mode": "convert it to grey or RGB",
}
"""Why a file is quarantined, and what to do about it."""


class Reading(NamedTuple):
    """What is known of a file; see `graft.data.manifest` for units. Of a quarantined file, as far as reading came."""

    sample_id: str = ""
    width: int = 0
    height: int = 0
    mode: str = ""
    format: str = ""
    num_bytes: int = 0
    brightness: float = 0.0
    sharpness: float = 0.0
    perceptual_hash: str = ""
    descriptor: bytes = b""
    status: str = "ok"


class _Unusable(Exception):
    def __init__(self, code: str, words: str) -> None:
        super().__init__(f"{code}: {words}")


def read_sample(path: Path, roots: Collection[Path], accept: Collection[str], *, with_pixels: bool = True) -> Reading:
    """Never raises for what a file may hold.

    Args:
        roots: resolved folders that links may point into.
        accept: reasons that are no reason here; `decode` says what is then seen of such a picture.
        with_pixels: decode it whole. Without, only the header is looked at: hashes and qualities stay empty.
    """
    reading = Reading()
    try:
        content = _read_bytes(path, roots)
        reading = Reading(sample_id=hashlib.sha256(content).hexdigest(), num_bytes=len(content))
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
            is_turned = _orientation(image, content) >= 5
            reading = reading._replace(
                width=height if is_turned else width,
                height=width if is_turned else height,
                mode=image.mode,
                format=image.format or "",
            )
            _refuse_by_header(path, image, content, accept)
            return _look(image, content, reading, accept) if with_pixels else reading
    except _Unusable as reason:
        return reading._replace(status=str(reason))
    except Exception as error:  # whatever a decoder throws at a broken file is that file's reason, not our crash
        return reading._replace(status=_decoder_reason(error))


def decode(content: bytes) -> np.ndarray:
    """Raw pixels [height, width, 3], uint8, RGB, upright by EXIF.

    Of the unusual kinds that `ingest.accept` lets in: the first frame of an animation; 16 bits divided by 257; CMYK
    without colour profile; the colours below transparency.
    """
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        return np.asarray(_eight_bits(ImageOps.exif_transpose(image)).convert("RGB"))


def reduced_grey(content: bytes) -> np.ndarray:
    """uint8 [height, width], upright, scaled down where its longer side is more than GREY_SIDE_PX."""
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        return _reduced_grey(image, content)


def _reduced_grey(image: Image.Image, content: bytes) -> np.ndarray:
    is_upright = _orientation(image, content) == 1
    image.draft("L", (2 * GREY_SIDE_PX, 2 * GREY_SIDE_PX))  # JPEG alone: decodes at a fraction of the size
    eight_bits = _eight_bits(image if is_upright else ImageOps.exif_transpose(image))
    grey = (eight_bits.convert("RGB") if eight_bits.mode == "CMYK" else eight_bits).convert("L")
    grey.thumbnail((GREY_SIDE_PX, GREY_SIDE_PX), Image.Resampling.BILINEAR)
    return np.asarray(grey)


def _orientation(image: Image.Image, content: bytes) -> int:
    """As EXIF numbers them: 1 is upright. A PNG is asked only where it has an answer: it would be decoded for it."""
    is_silent = image.format == "PNG" and b"eXIf" not in content and b"Raw profile type exif" not in content
    return 1 if is_silent else image.getexif().get(0x0112, 1)


def _look(image: Image.Image, content: bytes, reading: Reading, accept: Collection[str]) -> Reading:
    grey_HW = _reduced_grey(image, content)
    if image.has_transparency_data and "transparent" not in accept:
        lowest_alpha = image.convert("RGBA").getchannel("A").getextrema()[0]
        if lowest_alpha != 255:
            raise _Unusable("transparent", "parts of it are transparent")
    signature = picture_signature(grey_HW)
    return reading._replace(
        brightness=float(grey_HW.mean()) / 255,
        sharpness=float(laplace(grey_HW.astype(np.float32)).std()),
        perceptual_hash=signature.perceptual_hash.hex(),
        descriptor=signature.descriptor,
    )


def _read_bytes(path: Path, roots: Collection[Path]) -> bytes:
    try:
        target = path.resolve() if path.is_symlink() else _resolved_folder(path.parent) / path.name
        if not any(target.is_relative_to(root) for root in roots):
            raise _Unusable("outside", f"it leads out of the data folder, to {target}")
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise _Unusable("not_a_file", stat.filemode(found.st_mode))
        if found.st_size > MAX_BYTES:
            raise _Unusable("too_large", f"{found.st_size / 1e6:.0f} MB")
        content = path.read_bytes()
    except OSError as error:
        code = {errno.ENOENT: "missing", errno.EACCES: "no_permission", errno.EPERM: "no_permission"}
        words = os.strerror(error.errno) if error.errno else str(error)
        raise _Unusable(code.get(error.errno or 0, "unreadable"), words) from error
    if not content:
        raise _Unusable("empty", "0 bytes")
    return content


@lru_cache(maxsize=1024)
def _resolved_folder(folder: Path) -> Path:
    return folder.resolve()


def _refuse_by_header(path: Path, image: Image.Image, content: bytes, accept: Collection[str]) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise _Unusable("bomb", f"{image.width} x {image.height} px from {len(content)} bytes")
    if image.mode not in KNOWN_MODES:
        raise _Unusable("colour_mode", image.mode)
    content_format = (
        "JPEG" if image.format == "MPO" else image.format
    )  # MPO: a JPEG with a preview, as cameras write it
    unusual = {
        "wrong_extension": (_promised_format(path) not in ("", content_format), f"its content is {content_format}"),
        "animated": (image.format != "MPO" and getattr(image, "n_frames", 1) > 1, "more than one frame"),
        "deep": (_is_deep(image, content), "more than 8 bits a channel"),
        "cmyk": (image.mode == "CMYK", "the colours of a printer"),
    }
    for code, (applies, words) in unusual.items():
        if applies and code not in accept:
            raise _Unusable(code, words)


def _promised_format(path: Path) -> str:
    """What the name says; empty where it says nothing, as in `cell.0001`."""
    suffix = path.suffix.lower()
    return SUFFIXES.get(suffix, "no picture" if suffix[1:].isalpha() else "")


def _is_deep(image: Image.Image, content: bytes) -> bool:
    """Pillow cuts 16-bit colour down without a word, so the header's own number is read where there is one."""
    if image.format == "PNG":
        return content[24] > 8
    if image.format == "TIFF":
        bits = image.tag_v2.get(258, 8)  # type: ignore[attr-defined]
        return max(bits if isinstance(bits, tuple) else (bits,)) > 8
    return image.mode.startswith("I")


def _eight_bits(image: Image.Image) -> Image.Image:
    if not image.mode.startswith("I"):
        return image
    grey = np.asarray(image, dtype=np.float64) / 257
    return Image.fromarray(grey.round().clip(0, 255).astype(np.uint8))


def _decoder_reason(error: Exception) -> str:
    words = " ".join(f"{error}".split())
    if isinstance(error, Image.UnidentifiedImageError):
        return "not_a_picture: no format that is read here"
    if isinstance(error, Image.DecompressionBombError):
        return f"bomb: {words}"
    if "truncated" in words or isinstance(error, EOFError):
        return f"truncated: {words}"
    return f"damaged: {type(error).__name__}: {words}"
