"""Reads the bytes of an image file: its format, its measurements, or why it cannot be used."""

import io
from collections.abc import Collection
from pathlib import PurePath

import numpy as np
from PIL import Image
from scipy.ndimage import laplace

from graft.modalities.base import Reading, Unusable
from graft.modalities.image.containers import JPEG_SIGNATURE, PNG_SIGNATURE, jpeg_pixels, png_pixels, png_texts
from graft.modalities.image.signature import image_signature

FORMATS = ["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP"]
"""Formats that are opened; formats that run foreign code (EPS, WMF) never are."""
SUFFIXES = {
    ".png": "PNG", ".apng": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".jif": "JPEG",
    ".pjpeg": "JPEG", ".pjp": "JPEG", ".mpo": "JPEG", ".bmp": "BMP", ".dib": "BMP", ".gif": "GIF", ".tif": "TIFF",
    ".tiff": "TIFF", ".webp": "WEBP",
}  # fmt: skip
KNOWN_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "I;16", "I;16B", "I;16L"}
GREY_SIDE_PX = 256
MAX_PIXELS = 89_478_485
"""Maximum number of pixels, Pillow's own limit: 256 MB as RGB."""
WHITE = "#ffffff"
"""Colour behind transparent parts unless `ingest.background` names another."""
EXIF_ORIENTATION = 0x0112
PNG_ORIENTATION_MARKERS = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp", b"tEXtexif\0")
"""Byte strings of which a PNG with an orientation contains at least one."""
UPRIGHT_BY = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
"""EXIF orientation -> transposition that undoes it."""
UNKNOWN_ORIENTATION = "its EXIF orientation is broken or not one of 1 to 8: used as stored"

REMEDIES = {
    "not_a_picture": f"remove it, or save it as one of {', '.join(FORMATS)}",
    "wrong_extension": "rename it to match its content, after making sure that it is the right file, or use it as is "
    "(ingest.accept: [wrong_extension])",
    "truncated": "copy it again: its end is missing",
    "bomb": f"make it smaller than {MAX_PIXELS / 1e6:.0f} megapixels",
    "animated": "save the frame you want as a separate image, or use the first one (ingest.accept: [animated])",
    "deep": "convert it to 8 bits per channel with the range that shows the relevant detail, or use it divided by 257 "
    "(ingest.accept: [deep])",
    "cmyk": "convert it to RGB with its colour profile, or without one (ingest.accept: [cmyk])",
    "transparent": "composite it onto the background you want, or let Graft do so (ingest.accept: [transparent], "
    "which uses ingest.background)",
    "colour_mode": "convert it to grey or RGB",
}
"""Reason for quarantine that is specific to images -> what to do about it."""
WAIVABLE = {
    "wrong_extension": "read by the format of their content",
    "animated": "as their first frame",
    "deep": "with their values divided by 257",
    "cmyk": "converted to RGB without a colour profile",
    "transparent": "composited onto ingest.background",
}
"""Reason that `ingest.accept` may waive -> how such files are then used."""


def read_image(
    content: bytes, name: str, accept: Collection[str], *, background: str = WHITE, with_pixels: bool = True
) -> Reading:
    """Reads an image; never raises for any content.

    Args:
        accept: reasons for quarantine that are waived; `decode` describes how such an image is then read.
        background: see `decode`.
        with_pixels: decode the whole image; otherwise only the header and transparency are checked, and hashes and
            measurements of the pixels stay empty.
    """
    reading = Reading()
    try:
        with _opened(content) as image:
            orientation = _orientation(image, content)
            width, height = _upright_size(image, orientation)
            reading = Reading(
                measured={"width": width, "height": height, "mode": image.mode, "format": image.format or ""},
                note=UNKNOWN_ORIENTATION if orientation is None else "",
            )
            _refuse_by_header(name, image, content, accept)
            seen = _measure_pixels(image, content, background) if with_pixels else Reading()
            composited = {}
            if _is_transparent(image):
                if "transparent" not in accept:
                    raise Unusable("transparent", "parts of it are transparent")
                composited["background"] = background
            measured = {**reading.measured, **seen.measured, **composited}
            return seen._replace(measured=measured, note=reading.note)
    except Unusable as reason:
        return reading._replace(status=str(reason))
    except Exception as error:  # whatever a decoder raises for a broken file is that file's reason, not our crash
        return reading._replace(status=_decoder_reason(error, content))


def decode(content: bytes, background: str = WHITE) -> np.ndarray:
    """Raw pixels [height, width, 3], uint8, RGB, upright by EXIF: the input of training, examination, report and the
    served model.

    For the unusual kinds in `ingest.accept`: the first frame of an animation; 16 bits divided by 257; CMYK without its
    colour profile; transparency composited onto `background`.

    Args:
        background: a colour as Pillow reads it, such as white or #808080.
    """
    with _opened(content) as image:
        return np.asarray(_opaque(_upright(image, _orientation(image, content)), background))


def reduced_grey(content: bytes, background: str = WHITE) -> np.ndarray:
    """Grey image uint8 [height, width], upright, scaled down to at most GREY_SIDE_PX on its longer side."""
    with _opened(content) as image:
        return _reduced_grey(image, content, background)


def _opened(content: bytes) -> Image.Image:
    """Opens an image without the metadata: always for a PNG, and for a JPEG if Pillow fails on it."""
    if content.startswith(PNG_SIGNATURE):
        content = png_pixels(content)
    try:
        return _open(content)
    except Image.UnidentifiedImageError:
        if not content.startswith(JPEG_SIGNATURE):
            raise
        return _open(jpeg_pixels(content))


def _open(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content), formats=FORMATS)


def _reduced_grey(image: Image.Image, content: bytes, background: str) -> np.ndarray:
    orientation = _orientation(image, content)
    image.draft("L", (2 * GREY_SIDE_PX, 2 * GREY_SIDE_PX))  # JPEG only: decodes at a fraction of the size
    upright = _upright(image, orientation)
    if _is_transparent(upright) or upright.mode == "CMYK":
        grey = _opaque(upright, background).convert("L")
    else:
        grey = _eight_bits(upright).convert("L")
    grey.thumbnail((GREY_SIDE_PX, GREY_SIDE_PX), Image.Resampling.BILINEAR)
    return np.asarray(grey)


def _orientation(image: Image.Image, content: bytes) -> int | None:
    """Orientation in EXIF or XMP: 1 is upright, also if there is none; None if it is invalid."""
    is_png = content.startswith(PNG_SIGNATURE)
    if is_png and not any(marker in content for marker in PNG_ORIENTATION_MARKERS):
        return 1
    try:
        exif = Image.Image.getexif(_open(png_texts(content))) if is_png else image.getexif()
        orientation = exif.get(EXIF_ORIENTATION, 1)
    except Exception:  # whatever a parser raises for broken metadata; the pixels are not affected
        return None
    if orientation == 0:  # written by cameras without an orientation sensor
        return 1
    return int(orientation) if orientation in range(1, 9) else None


def _upright(image: Image.Image, orientation: int | None) -> Image.Image:
    image.load()
    turn = None if image.format == "TIFF" else UPRIGHT_BY.get(orientation or 1)  # Pillow turns a TIFF itself
    return image if turn is None else image.transpose(turn)


def _upright_size(image: Image.Image, orientation: int | None) -> tuple[int, int]:
    """Width and height of the image after `_upright`."""
    width, height = image.size
    is_turned = image.format != "TIFF" and (orientation or 1) >= 5
    return (height, width) if is_turned else (width, height)


def _is_transparent(image: Image.Image) -> bool:
    return image.has_transparency_data and _alpha(image).getextrema()[0] != 255


def _alpha(image: Image.Image) -> Image.Image:
    """Opacity of each pixel, 0..255."""
    if image.mode.startswith("I"):
        return Image.fromarray(np.where(np.asarray(image) == image.info["transparency"], 0, 255).astype(np.uint8))
    return image.convert("RGBA").getchannel("A")


def _opaque(image: Image.Image, background: str) -> Image.Image:
    """The image as RGB, with transparent parts composited onto the background."""
    if not _is_transparent(image):
        return _eight_bits(image).convert("RGB")
    colours = _eight_bits(image) if image.mode.startswith("I") else image.convert("RGBA")
    composited = Image.new("RGB", image.size, background)
    composited.paste(colours.convert("RGB"), mask=_alpha(image))
    return composited


def _measure_pixels(image: Image.Image, content: bytes, background: str) -> Reading:
    """Measurements that need the pixels: brightness, sharpness and signature."""
    grey_HW = _reduced_grey(image, content, background)
    signature = image_signature(grey_HW)
    return Reading(
        measured={
            "brightness": float(grey_HW.mean()) / 255,
            "sharpness": float(laplace(grey_HW.astype(np.float32)).std()),
        },
        perceptual_hash=signature.perceptual_hash.hex(),
        descriptor=signature.descriptor,
    )


def _refuse_by_header(name: str, image: Image.Image, content: bytes, accept: Collection[str]) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise Unusable("bomb", f"{image.width} x {image.height} px from {len(content)} bytes")
    if image.mode not in KNOWN_MODES:
        raise Unusable("colour_mode", image.mode)
    content_format = (
        "JPEG" if image.format == "MPO" else image.format
    )  # MPO: a JPEG with a preview, as cameras write it
    unusual = {
        "wrong_extension": (_promised_format(name) not in ("", content_format), f"its content is {content_format}"),
        "animated": (image.format != "MPO" and getattr(image, "n_frames", 1) > 1, "more than one frame"),
        "deep": (_is_deep(image, content), "more than 8 bits per channel"),
        "cmyk": (image.mode == "CMYK", "CMYK colours"),
    }
    for code, (applies, words) in unusual.items():
        if applies and code not in accept:
            raise Unusable(code, words)


def _promised_format(name: str) -> str:
    """Format that the name's suffix stands for; empty if it has none, as in `cell.0001`."""
    suffix = PurePath(name).suffix.lower()
    return SUFFIXES.get(suffix, "not an image" if suffix[1:].isalpha() else "")


def _is_deep(image: Image.Image, content: bytes) -> bool:
    """Whether a channel has more than 8 bits. Pillow silently reduces 16-bit colour, so the header is read."""
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


def _decoder_reason(error: Exception, content: bytes) -> str:
    words = " ".join(f"{error}".split())
    if isinstance(error, Image.UnidentifiedImageError):
        begins_well = content.startswith((PNG_SIGNATURE, JPEG_SIGNATURE))
        return "damaged: its header is broken" if begins_well else "not_a_picture: not a format that Graft reads"
    if isinstance(error, Image.DecompressionBombError):
        return f"bomb: {words}"
    if "truncated" in words or isinstance(error, EOFError):
        return f"truncated: {words}"
    return f"damaged: {type(error).__name__}: {words}"
