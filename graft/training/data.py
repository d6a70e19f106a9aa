"""The pictures of a manifest as the two arms see them."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from graft.data.manifest import class_names, usable_samples
from graft.data.pictures import load_pictures
from graft.data.splits import SPLITS


@dataclass(frozen=True)
class SplitPictures:
    samples: pd.DataFrame
    pictures_NCHW: Tensor
    """uint8."""
    labels_N: Tensor
    weights_N: Tensor


def load_splits(data_dir: Path, manifest: pd.DataFrame, side_px: int) -> dict[str, SplitPictures]:
    """
    Raises:
        ContentChangedError: a picture is not the one that ingest saw.
    """
    classes = class_names(manifest)
    usable = usable_samples(manifest)
    pictures_NCHW = load_pictures(data_dir, usable, side_px)
    splits = {}
    for split in SPLITS:
        is_in = usable["split"] == split
        samples = usable[is_in].reset_index(drop=True)
        splits[split] = SplitPictures(
            samples=samples,
            pictures_NCHW=pictures_NCHW[torch.from_numpy(is_in.to_numpy(dtype=bool))],
            labels_N=torch.tensor([classes.index(label) for label in samples["label"]]),
            weights_N=torch.tensor(samples["weight"].to_numpy(dtype="float32")),
        )
    return splits
