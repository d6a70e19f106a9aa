"""Samples in the form that the first block of a classifier takes. N samples, V views, B batch, H height, W width."""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from graft.core.device import sent
from graft.modalities.image.augmentation import augmented
from graft.modalities.image.inputs import VIEWS

MAX_VIEWS = 2**20
"""Upper bound of views per sample; keeps the seeds of their augmentation distinct."""


class Inputs(Protocol):
    """Samples as the first block of a classifier takes them, by position and view."""

    num_samples: int
    num_views: int

    def batch(self, positions_B: Tensor, views_B: Tensor) -> Tensor:
        """One view each of the samples at these positions, on the device."""
        ...


class ImageInputs:
    """Images [N, 3, H, W], 0..255, that are augmented and normalised per batch."""

    def __init__(
        self,
        images_NCHW: Tensor,
        view_names: Sequence[str],
        normalise: Callable[[Tensor], Tensor],
        device: torch.device,
        *,
        augmentation: str = "none",
        num_augmented: int = 0,
    ) -> None:
        """
        Args:
            num_augmented: number of further views, made by the preset `augmentation`; the same in every epoch.
        """
        self.num_samples = len(images_NCHW)
        self.num_views = len(view_names) + num_augmented
        self._augmentation = augmentation
        self._images_NCHW = images_NCHW
        self._views = [VIEWS[name] for name in view_names]
        self._normalise = normalise
        self._device = device

    @torch.no_grad()
    def batch(self, positions_B: Tensor, views_B: Tensor) -> Tensor:
        images_BCHW = self._images_NCHW[positions_B]
        for number, view in enumerate(self._views):
            is_drawn = views_B == number
            images_BCHW[is_drawn] = view(images_BCHW[is_drawn])
        is_drawn = views_B >= len(self._views)
        if is_drawn.any():
            seeds = positions_B[is_drawn] * MAX_VIEWS + views_B[is_drawn]
            images_BCHW[is_drawn] = augmented(images_BCHW[is_drawn], self._augmentation, seeds)
        return self._normalise(sent(images_BCHW, self._device)).contiguous(memory_format=torch.channels_last)
