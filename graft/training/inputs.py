"""What the loop draws its batches from: pictures, or what frozen blocks make of them.

N samples, V views, B batch, C channels, H height, W width.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from graft.core.device import reduced_precision, sent
from graft.core.progress import track
from graft.modalities.image.augmentation import augmented
from graft.modalities.image.inputs import VIEWS

EVALUATION_BATCH_SIZE = 64
MAX_VIEWS = 2**20
"""More than a sample has; keeps the seeds of their augmentation apart."""


class Inputs(Protocol):
    """Anything that gives a classifier its input, by sample and view."""

    num_samples: int
    num_views: int
    num_blocks: int
    """How many blocks of the backbone the batches have been through; the classifier's `start`."""

    def batch(self, indices_B: Tensor, views_B: Tensor) -> Tensor: ...


class PictureInputs:
    """Pictures [N, 3, H, W], 0..255, to normalised ones on the device, a batch at a time."""

    num_blocks = 0

    def __init__(
        self,
        pictures_NCHW: Tensor,
        view_names: Sequence[str],
        normalise: Callable[[Tensor], Tensor],
        device: torch.device,
        *,
        augmentation: str = "none",
        num_augmented: int = 0,
    ) -> None:
        """
        Args:
            num_augmented: further views, that the preset `augmentation` makes; the same ones each time.
        """
        self.num_samples = len(pictures_NCHW)
        self.num_views = len(view_names) + num_augmented
        self._augmentation = augmentation
        self._pictures_NCHW = pictures_NCHW
        self._views = [VIEWS[name] for name in view_names]
        self._normalise = normalise
        self._device = device

    @torch.no_grad()
    def batch(self, indices_B: Tensor, views_B: Tensor) -> Tensor:
        pictures_BCHW = self._pictures_NCHW[indices_B]
        for number, view in enumerate(self._views):
            is_drawn = views_B == number
            pictures_BCHW[is_drawn] = view(pictures_BCHW[is_drawn])
        is_drawn = views_B >= len(self._views)
        if is_drawn.any():
            seeds = indices_B[is_drawn] * MAX_VIEWS + views_B[is_drawn]
            pictures_BCHW[is_drawn] = augmented(pictures_BCHW[is_drawn], self._augmentation, seeds)
        return self._normalise(sent(pictures_BCHW, self._device)).contiguous(memory_format=torch.channels_last)


class FrozenInputs:
    """Other inputs, through frozen blocks each time."""

    def __init__(self, inputs: Inputs, blocks: nn.Module, num_blocks: int, precision: torch.dtype) -> None:
        """
        Args:
            blocks: in eval mode; those that come after the ones that `inputs` have been through.
            num_blocks: that the batches will have been through.
        """
        self.num_samples = inputs.num_samples
        self.num_views = inputs.num_views
        self.num_blocks = num_blocks
        self._inputs = inputs
        self._blocks = blocks
        self._precision = precision

    @torch.no_grad()
    def batch(self, indices_B: Tensor, views_B: Tensor) -> Tensor:
        activations = self._inputs.batch(indices_B, views_B)
        with reduced_precision(activations.device, self._precision):
            return self._blocks(activations)


class StoredInputs:
    """Other inputs, computed once for every view and sample: [V, N, C, H, W], [V, N, T, C] or [V, N, D]."""

    def __init__(self, inputs: Inputs, description: str, *, folder: Path | None = None) -> None:
        """
        Args:
            folder: keeps them in a file there that is mapped into memory; None keeps them in memory.
        """
        self.num_samples = inputs.num_samples
        self.num_views = inputs.num_views
        self.num_blocks = inputs.num_blocks
        one = torch.zeros(1, dtype=torch.int64)
        example = inputs.batch(one, one)
        self._device, self._dtype = example.device, example.dtype
        shape = (self.num_views, self.num_samples, *example.shape[1:])
        self._stored = _mapped(shape, self._dtype, folder) if folder else torch.empty(shape, dtype=self._dtype)
        chunks = [
            (view, start)
            for view in range(self.num_views)
            for start in range(0, self.num_samples, EVALUATION_BATCH_SIZE)
        ]
        for view, start in track(chunks, description, total=len(chunks)):
            indices_B = torch.arange(start, min(start + EVALUATION_BATCH_SIZE, self.num_samples))
            self._stored[view, indices_B] = inputs.batch(indices_B, torch.full_like(indices_B, view)).cpu()

    def batch(self, indices_B: Tensor, views_B: Tensor) -> Tensor:
        stored = sent(self._stored[views_B, indices_B], self._device)
        is_map = stored.ndim == 4  # tokens [B, T, C] have no channels to put last
        return stored.float().contiguous(memory_format=torch.channels_last) if is_map else stored.float()


class _SubsetInputs:
    """Some samples of other inputs, numbered anew."""

    def __init__(self, inputs: Inputs, indices_N: Tensor) -> None:
        self.num_samples = len(indices_N)
        self.num_views = inputs.num_views
        self.num_blocks = inputs.num_blocks
        self._inputs = inputs
        self._indices_N = indices_N

    def batch(self, indices_B: Tensor, views_B: Tensor) -> Tensor:
        return self._inputs.batch(self._indices_N[indices_B], views_B)


@dataclass(frozen=True)
class Room:
    """Where activations may be kept. Changes the speed only."""

    memory_bytes: float = float("inf")
    folder: Path | None = None
    """On a disk; takes what is too large for memory."""


class LayeredInputs(Protocol):
    """The same samples at every depth of a backbone."""

    num_samples: int

    def at(self, num_frozen: int) -> Inputs:
        """What the first `num_frozen` blocks make of the samples."""
        ...


class PretrainedLayers:
    """Pictures, and what the blocks of a pretrained backbone make of them: computed when first asked for, then kept."""

    def __init__(
        self, pictures: Inputs, blocks: nn.Sequential, precision: torch.dtype, room: Room, description: str
    ) -> None:
        """
        Args:
            blocks: on the device of the pictures; nobody may train them.
            precision: of what the blocks compute.
        """
        self.num_samples = pictures.num_samples
        self._kept: dict[int, Inputs] = {0: pictures}
        self._blocks = blocks.eval()
        self._precision = precision
        self._room = room
        self._bytes_left = room.memory_bytes
        self._description = description

    def at(self, num_frozen: int) -> Inputs:
        if num_frozen not in self._kept:
            self._kept[num_frozen] = self._computed(num_frozen)
        return self._kept[num_frozen]

    def _computed(self, num_frozen: int) -> Inputs:
        nearest = self._kept[max(depth for depth in self._kept if depth < num_frozen)]
        deeper = FrozenInputs(nearest, self._blocks[nearest.num_blocks : num_frozen], num_frozen, self._precision)
        one = torch.zeros(1, dtype=torch.int64)
        example = deeper.batch(one, one)
        needed_bytes = example.numel() * example.element_size() * deeper.num_samples * deeper.num_views
        folder, size = self._room.folder, f"{needed_bytes / 1e9:.1f} GB"
        if needed_bytes <= self._bytes_left:
            self._bytes_left -= needed_bytes
            return StoredInputs(deeper, self._description)
        if folder is not None and needed_bytes <= shutil.disk_usage(folder).free / 2:
            print(
                f"  {self._description}: {size}, more than memory is to hold, go to a file below {folder}", flush=True
            )
            return StoredInputs(deeper, self._description, folder=folder)
        print(f"  {self._description}: {size} find no room, and are computed in every step", flush=True)
        return deeper


class SubsetLayers:
    """Some samples of other layers, numbered anew."""

    def __init__(self, layers: LayeredInputs, indices_N: Tensor) -> None:
        self.num_samples = len(indices_N)
        self._layers = layers
        self._indices_N = indices_N

    def at(self, num_frozen: int) -> Inputs:
        return _SubsetInputs(self._layers.at(num_frozen), self._indices_N)


def _mapped(shape: tuple[int, ...], dtype: torch.dtype, folder: Path) -> Tensor:
    """A tensor in a file without a name, so that nothing is left when the process ends, however it does."""
    num_elements = torch.Size(shape).numel()
    with tempfile.TemporaryDirectory(dir=folder) as inner:
        path = Path(inner) / "activations"
        with path.open("wb") as file:  # a disk that fills up later would kill the process with a signal
            os.posix_fallocate(file.fileno(), 0, max(num_elements * dtype.itemsize, 1))
        return torch.from_file(str(path), shared=True, size=num_elements, dtype=dtype).view(shape)
