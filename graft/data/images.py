"""Images of a manifest, for stages that do not yet use `graft.data.loading`, which serves any modality."""

from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from graft.data.loading import load_samples
from graft.modalities.image.modality import ImageModality
from graft.modalities.image.reading import WHITE


def background_of(manifest: pd.DataFrame) -> str:
    """Colour behind transparent parts of the manifest's images; white if none has any."""
    return ImageModality().as_ingested(manifest).background


def load_images(
    data_dir: Path,
    samples: pd.DataFrame,
    side_px: int,
    dtype: torch.dtype = torch.uint8,
    *,
    background: str = WHITE,
) -> Tensor:
    """Images of all `samples`, in their order: [N, 3, side_px, side_px], RGB, 0..255; see `load_samples`.

    Args:
        dtype: uint8 rounds the resized values and takes a quarter of the memory; float32 is exactly what the served
            model sees.
        background: see `background_of`.
    """
    assert set(samples.get("background", [])) <= {"", background}, "these samples were ingested on another background"
    return load_samples(data_dir, samples, ImageModality(background), side_px, exact=dtype == torch.float32)
