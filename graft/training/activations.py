"""Activations of frozen blocks: computed once per sample and view, and cached as far as a budget allows.

N samples, V views, B batch, C channels, H height, W width, T tokens, D features.
"""

import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from graft.core.device import reduced_precision, sent
from graft.core.progress import track
from graft.training.inputs import Inputs

logger = logging.getLogger(__name__)

EVALUATION_BATCH_SIZE = 64


@dataclass(frozen=True)
class CacheBudget:
    """Limits of the cache of activations. They change the speed only."""

    memory_bytes: float = float("inf")
    folder: Path | None = None
    """Folder on a disk, for activations that do not fit in memory."""


class FrozenActivations:
    """Activations of samples at every depth of a pretrained backbone whose blocks are frozen.

    The activations of a depth are computed on first use and shared by all seeds and all subsets of the samples. They
    are cached in memory or in a file; if the budget has no room for them, every batch computes its own.
    """

    def __init__(
        self, inputs: Inputs, blocks: nn.Sequential, precision: torch.dtype, budget: CacheBudget, description: str
    ) -> None:
        """
        Args:
            blocks: on the device of the inputs; they must not be trained.
            precision: of the computation in the blocks.
        """
        self.num_samples = inputs.num_samples
        self.num_views = inputs.num_views
        self._inputs = inputs
        self._blocks = blocks.eval()
        self._precision = precision
        self._folder = budget.folder
        self._bytes_left = budget.memory_bytes
        self._description = description
        self._bases = {0: 0}
        """Depth -> the depth whose activations it is computed from."""
        self._kept: dict[int, Tensor] = {}
        """Depth -> activations [V, N, C, H, W], [V, N, T, C] or [V, N, D]."""
        self._device = torch.device("cpu")

    def batch(self, positions_B: Tensor, views_B: Tensor, num_blocks: int) -> Tensor:
        """Activations after `num_blocks` blocks (0: the inputs) of the samples at these positions, in one view each.

        float32 on the device, channels last, independent of the cache and of the precision of the blocks.
        """
        if num_blocks == 0:
            return self._inputs.batch(positions_B, views_B)
        self.prepare(num_blocks)
        if num_blocks in self._kept:
            activations = sent(self._kept[num_blocks][views_B, positions_B], self._device).float()
        else:
            activations = self._computed(positions_B, views_B, num_blocks).float()
        is_map = activations.ndim == 4  # tokens [B, T, C] have no channels to put last
        return activations.contiguous(memory_format=torch.channels_last) if is_map else activations

    def prepare(self, num_blocks: int) -> None:
        """Computes and caches the activations of this depth, unless that was done before; 0 needs no cache."""
        if num_blocks in self._bases:
            return
        self._bases[num_blocks] = max(depth for depth in self._bases if depth < num_blocks)
        one = torch.zeros(1, dtype=torch.int64)
        example = self._computed(one, one, num_blocks)
        self._device = example.device
        shape = (self.num_views, self.num_samples, *example.shape[1:])
        needed_bytes = torch.Size(shape).numel() * example.element_size()
        size = f"{needed_bytes / 1e9:.1f} GB"
        if needed_bytes <= self._bytes_left:
            self._bytes_left -= needed_bytes
            self._keep(num_blocks, torch.empty(shape, dtype=example.dtype))
        elif self._folder is not None and needed_bytes <= shutil.disk_usage(self._folder).free / 2:
            where = f"are stored in a file below {self._folder}"
            logger.info(f"  {self._description}: {size} exceed arms.max_cached_activations_gb and {where}")
            self._keep(num_blocks, _mapped(shape, example.dtype, self._folder))
        else:
            logger.info(f"  {self._description}: {size} do not fit, and are recomputed in every step")

    @torch.no_grad()
    def _computed(self, positions_B: Tensor, views_B: Tensor, num_blocks: int) -> Tensor:
        base = self._bases[num_blocks]
        activations = self.batch(positions_B, views_B, base)
        with reduced_precision(activations.device, self._precision):
            return self._blocks[base:num_blocks](activations)

    def _keep(self, num_blocks: int, storage: Tensor) -> None:
        starts = range(0, self.num_samples, EVALUATION_BATCH_SIZE)
        chunks = [(view, start) for view in range(self.num_views) for start in starts]
        for view, start in track(chunks, self._description, total=len(chunks)):
            positions_B = torch.arange(start, min(start + EVALUATION_BATCH_SIZE, self.num_samples))
            views_B = torch.full_like(positions_B, view)
            storage[view, positions_B] = self._computed(positions_B, views_B, num_blocks).cpu()
        self._kept[num_blocks] = storage


def _mapped(shape: tuple[int, ...], dtype: torch.dtype, folder: Path) -> Tensor:
    """A tensor in an unlinked file, which disappears when the process ends, however it ends."""
    num_elements = torch.Size(shape).numel()
    with tempfile.TemporaryDirectory(dir=folder) as inner:
        path = Path(inner) / "activations"
        with path.open("wb") as file:  # otherwise a disk that fills up later would kill the process with a signal
            os.posix_fallocate(file.fileno(), 0, max(num_elements * dtype.itemsize, 1))
        return torch.from_file(str(path), shared=True, size=num_elements, dtype=dtype).view(shape)
