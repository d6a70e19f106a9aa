"""What the loop draws its batches from: pictures, or the cached output of frozen blocks.

N samples, V views, B batch, C channels, H height, W width.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from graft.data.transforms import VIEWS
from graft.device import reduced_precision
from graft.hub.backbones import Classifier
from graft.progress import track


class Inputs(Protocol):
    """Anything that gives the trained part of a classifier its input, by sample and view."""

    num_samples: int
    num_views: int

    def batch(self, indices_B: Tensor, views_B: Tensor) -> Tensor: ...


class PictureInputs:
    """Pictures [N, 3, H, W], 0..255; view, normalisation and frozen blocks are computed a batch at a time."""

    def __init__(
        self,
        pictures_NCHW: Tensor,
        view_names: Sequence[str],
        normalise: Callable[[Tensor], Tensor],
        prefix: Callable[[Tensor], Tensor],
        device: torch.device,
        precision: torch.dtype = torch.float32,
    ) -> None:
        self.num_samples = len(pictures_NCHW)
        self.num_views = len(view_names)
        self._pictures_NCHW = pictures_NCHW
        self._views = [VIEWS[name] for name in view_names]
        self._normalise = normalise
        self._prefix = prefix
        self._device = device
        self._precision = precision

    @torch.no_grad()
    def batch(self, indices_B: Tensor, views_B: Tensor) -> Tensor:
        pictures_BCHW = self._pictures_NCHW[indices_B]
        for number, view in enumerate(self._views):
            is_drawn = views_B == number
            pictures_BCHW[is_drawn] = view(pictures_BCHW[is_drawn])
        normalised = self._normalise(pictures_BCHW.to(self._device)).contiguous(memory_format=torch.channels_last)
        with reduced_precision(self._device, self._precision):
            return self._prefix(normalised).float()


class ActivationInputs:
    """The frozen blocks' output for every view and sample, computed once: float32 [V, N, C, H, W] or [V, N, T, C]."""

    def __init__(self, pictures: PictureInputs, batch_size: int, description: str) -> None:
        self.num_samples = pictures.num_samples
        self.num_views = pictures.num_views
        chunks = [(view, start) for view in range(self.num_views) for start in range(0, self.num_samples, batch_size)]
        outputs = []
        for view, start in track(chunks, description, total=len(chunks)):
            indices_B = torch.arange(start, min(start + batch_size, self.num_samples))
            outputs.append(pictures.batch(indices_B, torch.full_like(indices_B, view)))
        self._activations = torch.cat(outputs).unflatten(0, (self.num_views, self.num_samples))

    def batch(self, indices_B: Tensor, views_B: Tensor) -> Tensor:
        device = self._activations.device
        activations = self._activations[views_B.to(device), indices_B.to(device)]
        is_map = activations.ndim == 4  # tokens [B, T, C] have no channels to put last
        return activations.contiguous(memory_format=torch.channels_last) if is_map else activations


def frozen_output_bytes(classifier: Classifier, side_px: int, num_samples: int, num_views: int) -> int:
    """Memory that `ActivationInputs` would take."""
    with torch.no_grad():
        device = next(classifier.parameters()).device
        output = classifier.eval().prefix(torch.zeros(1, 3, side_px, side_px, device=device))
    return output.numel() * output.element_size() * num_samples * num_views
