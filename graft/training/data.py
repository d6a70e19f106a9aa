"""The pictures of a manifest as the two arms see them."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from graft.data.manifest import class_names, usable_samples
from graft.data.pictures import background_of, load_pictures
from graft.data.splits import SPLITS


@dataclass(frozen=True)
class SplitPictures:
    samples: pd.DataFrame
    pictures_NCHW: Tensor
    """0..255; uint8 for what is trained on and watched, float32 for the test split, as the served model sees it."""
    labels_N: Tensor
    weights_N: Tensor


def load_splits(data_dir: Path, manifest: pd.DataFrame, side_px: int) -> dict[str, SplitPictures]:
    """
    Raises:
        ContentChangedError: a picture is not the one that ingest saw.
    """
    classes, background = class_names(manifest), background_of(manifest)
    splits = {}
    for split in SPLITS:
        samples = usable_samples(manifest, split)
        dtype = torch.float32 if split == "test" else torch.uint8
        splits[split] = SplitPictures(
            samples=samples,
            pictures_NCHW=load_pictures(data_dir, samples, side_px, dtype, background=background),
            labels_N=torch.tensor([classes.index(label) for label in samples["label"]]),
            weights_N=torch.tensor(samples["weight"].to_numpy(dtype="float32")),
        )
    return splits
