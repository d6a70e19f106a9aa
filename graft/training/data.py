"""An arm's data: samples of each split with labels, weights and frozen activations. N samples, B batch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pandas as pd
import torch
from torch import Tensor

from graft.data.images import background_of, load_images
from graft.data.manifest import usable_samples
from graft.data.splits import SPLITS
from graft.training.activations import FrozenActivations


@dataclass(frozen=True)
class LabelledSamples:
    """Samples with labels and weights, as positions in activations that others may share."""

    inputs: FrozenActivations
    labels_N: Tensor
    """Class indices, int64."""
    weights_N: Tensor
    """Weights in the training loss; not used in evaluation."""
    positions_N: Tensor | None = None
    """Positions of the samples in `inputs`; None: all, in their order."""

    @classmethod
    def of(cls, inputs: FrozenActivations, rows: pd.DataFrame, classes: list[str]) -> Self:
        """
        Args:
            rows: of the manifest, in the order of `inputs`.
        """
        labels_N = torch.tensor([classes.index(label) for label in rows["label"]])
        return cls(inputs, labels_N, torch.tensor(rows["weight"].to_numpy(dtype="float32")))

    def __len__(self) -> int:
        return len(self.labels_N)

    def batch(self, indices_B: Tensor, views_B: Tensor, num_blocks: int) -> Tensor:
        """Activations of the samples `indices_B` after `num_blocks` blocks; 0: the inputs of the first one."""
        positions_B = indices_B if self.positions_N is None else self.positions_N[indices_B]
        return self.inputs.batch(positions_B, views_B, num_blocks)

    def subset(self, indices_M: Tensor) -> "LabelledSamples":
        """Samples `indices_M`, renumbered from 0."""
        positions_M = indices_M if self.positions_N is None else self.positions_N[indices_M]
        return LabelledSamples(self.inputs, self.labels_N[indices_M], self.weights_N[indices_M], positions_M)


@dataclass(frozen=True)
class ArmData:
    """Data for training, validation and test of an arm; a training on its own needs only the first."""

    train: LabelledSamples
    validation: LabelledSamples | None = None
    """Evaluated after each epoch."""
    test: LabelledSamples | None = None
    """Predicted once at the end, by the caller of a training; the loop never uses it."""
    unlabelled: FrozenActivations | None = None
    """Second stream: each step also takes `batch_size` of these samples, for the loss terms that use them."""

    @property
    def streams(self) -> list[FrozenActivations]:
        """Activations that a training draws its batches from."""
        labelled = [samples.inputs for samples in (self.train, self.validation) if samples is not None]
        return labelled if self.unlabelled is None else [*labelled, self.unlabelled]


def load_images_by_split(data_dir: Path, manifest: pd.DataFrame, side_px: int) -> dict[str, Tensor]:
    """Images [N, 3, side_px, side_px] of each split's usable samples, 0..255.

    uint8 for training and validation, float32 for the test split, as in the exported model.

    Raises:
        ContentChangedError: an image has changed since ingest.
    """
    background = background_of(manifest)

    def load(split: str) -> Tensor:
        dtype = torch.float32 if split == "test" else torch.uint8
        return load_images(data_dir, usable_samples(manifest, split), side_px, dtype, background=background)

    return {split: load(split) for split in SPLITS}
