"""The image modality, as the rest of Graft uses it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self

import PIL

from graft.modalities.base import Reading
from graft.modalities.image.reading import REMEDIES, SUFFIXES, WAIVABLE, WHITE, read_image, reduced_grey
from graft.modalities.image.similarity import Prepared, prepare, similarity

if TYPE_CHECKING:
    import pandas as pd

    from graft.modalities.image.inputs import ImageInputs


@dataclass(frozen=True)
class ImageModality:
    """See `graft.modalities.base.Modality`.

    Columns of the manifest:

    width, height    pixels, after EXIF orientation
    mode             Pillow's colour mode as stored: L, RGB, ...
    format           PNG, JPEG, ...
    brightness       mean grey level, 0 (black) to 1 (white)
    sharpness        standard deviation of the Laplacian of the grey image, its longer side scaled down to at most
                     256 px, in grey levels of 0..255: low means blurred
    background       colour behind transparent parts, #rrggbb; empty if the image has none
    """

    background: str = WHITE
    """Colour behind transparent parts, if `ingest.accept` includes them."""

    name: ClassVar[str] = "image"
    noun: ClassVar[str] = "image"
    suffixes: ClassVar[Mapping[str, str]] = SUFFIXES
    columns: ClassVar[Mapping[str, str]] = {
        "width": "int32",
        "height": "int32",
        "mode": "string",
        "format": "string",
        "num_bytes": "int64",
        "brightness": "float32",
        "sharpness": "float32",
        "background": "string",
        "note": "string",
        "perceptual_hash": "string",
    }
    remedies: ClassVar[Mapping[str, str]] = REMEDIES
    waivable: ClassVar[Mapping[str, str]] = WAIVABLE

    @property
    def decoder(self) -> tuple[str, ...]:
        return PIL.__version__, self.background

    def read(self, content: bytes, name: str, accept: Collection[str], *, with_signature: bool) -> Reading:
        return read_image(content, name, accept, background=self.background, with_pixels=with_signature)

    def remarks(self, row: Mapping[str, object]) -> list[str]:
        return [f"transparent parts are composited onto {row['background']}"] if row["background"] else []

    def prepare(self, content: bytes) -> Prepared:
        return prepare(reduced_grey(content, self.background))

    def similarity(self, one: Prepared, other: Prepared) -> float:
        return similarity(one, other)

    def as_ingested(self, manifest: "pd.DataFrame") -> Self:
        """The modality with the manifest's background; white if no image has transparent parts."""
        return replace(self, background=max(manifest["background"], default="") or WHITE)

    def inputs(self, size: int) -> "ImageInputs":
        from graft.modalities.image.inputs import ImageInputs  # imports torch, which reading files does not need

        return ImageInputs(size, self.background)
