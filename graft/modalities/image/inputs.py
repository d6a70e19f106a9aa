"""The way from raw pixels to what a network sees: the same torch code in training, in evaluation and inside ONNX.

B batch, C channels, H height, W width, S side of the square that the network sees, V views.
"""

from typing import Protocol

import torch
from torch import Tensor, nn


def resize(pixels_BCHW: Tensor, side_px: int) -> Tensor:
    """Antialiased bilinear resize to a square, float32, 0..255, not rounded.

    Two matrix products with triangle-filter weights: the algorithm of Pillow and of `interpolate(antialias=True)`,
    but of plain arithmetic, so that ONNX Runtime and PyTorch compute the same numbers at every input size.
    """
    rows_SH = _triangle_weights(pixels_BCHW.shape[2], side_px, pixels_BCHW.device)
    columns_SW = _triangle_weights(pixels_BCHW.shape[3], side_px, pixels_BCHW.device)
    return rows_SH @ pixels_BCHW.to(torch.float32) @ columns_SW.T


def _triangle_weights(num_in: int, num_out: int, device: torch.device) -> Tensor:
    scale = num_in / num_out
    support = max(scale, 1.0) if not isinstance(scale, torch.SymFloat) else torch.sym_max(scale, 1.0)
    centres_out = (torch.arange(num_out, device=device, dtype=torch.float32) + 0.5) * scale
    centres_in = torch.arange(num_in, device=device, dtype=torch.float32) + 0.5
    weights = (1 - (centres_out[:, None] - centres_in[None, :]).abs() / support).clamp(min=0)
    return weights / weights.sum(dim=1, keepdim=True)


class ExpectedPictures(Protocol):
    """What an entry of sources.yaml and the config of a model both say of the pictures that a network expects."""

    @property
    def mean(self) -> list[float]: ...
    @property
    def std(self) -> list[float]: ...
    @property
    def channel_order(self) -> str: ...


class Normalise(nn.Module):
    """Pixels 0..255 in RGB to what the source was trained on: its channel order, mean and standard deviation (0..1)."""

    def __init__(self, mean: list[float], std: list[float], channel_order: str = "rgb") -> None:
        super().__init__()
        self.is_bgr = channel_order == "bgr"
        self.register_buffer("offset", 255 * torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", 255 * torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        self.offset: Tensor
        self.scale: Tensor

    @classmethod
    def of(cls, expected: ExpectedPictures) -> "Normalise":
        return cls(expected.mean, expected.std, expected.channel_order)

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        ordered = pixels_BCHW.flip(1) if self.is_bgr else pixels_BCHW
        return (ordered.to(self.offset.dtype) - self.offset) / self.scale


VIEWS = {
    "identity": lambda pictures_BCHW: pictures_BCHW,
    "flip_horizontal": lambda pictures_BCHW: pictures_BCHW.flip(3),
    "flip_vertical": lambda pictures_BCHW: pictures_BCHW.flip(2),
    "rotate_180": lambda pictures_BCHW: pictures_BCHW.flip(2, 3),
}
"""Exact symmetries: no pixel is interpolated. `arms.views` names those under which a label does not change."""
