"""Conversion of raw pixels to network inputs: the same torch code in training, in evaluation and inside ONNX.

B batch, C channels, H height, W width, S side of the square that the network sees, V views.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn

from graft.modalities.image.reading import decode


def resize(pixels_BCHW: Tensor, side_px: int) -> Tensor:
    """Antialiased bilinear resize to a square, float32, 0..255, not rounded.

    Computed as two matrix products with triangle-filter weights: the algorithm of Pillow and of
    `interpolate(antialias=True)` in plain arithmetic, so that ONNX Runtime and PyTorch compute the same numbers at
    every input size.
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


class ExpectedImages(Protocol):
    """Preprocessing that a network expects, as in an entry of sources.yaml and in the config of a model."""

    @property
    def mean(self) -> list[float]: ...
    @property
    def std(self) -> list[float]: ...
    @property
    def channel_order(self) -> str: ...


class Normalise(nn.Module):
    """Converts pixels 0..255 in RGB to the source's channel order, and normalises by its mean and standard deviation
    (0..1)."""

    def __init__(self, mean: list[float], std: list[float], channel_order: str = "rgb") -> None:
        super().__init__()
        self.is_bgr = channel_order == "bgr"
        self.register_buffer("offset", 255 * torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", 255 * torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        self.offset: Tensor
        self.scale: Tensor

    @classmethod
    def of(cls, expected: ExpectedImages) -> "Normalise":
        return cls(expected.mean, expected.std, expected.channel_order)

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        ordered = pixels_BCHW.flip(1) if self.is_bgr else pixels_BCHW
        return (ordered.to(self.offset.dtype) - self.offset) / self.scale


VIEWS = {
    "identity": lambda images_BCHW: images_BCHW,
    "flip_horizontal": lambda images_BCHW: images_BCHW.flip(3),
    "flip_vertical": lambda images_BCHW: images_BCHW.flip(2),
    "rotate_180": lambda images_BCHW: images_BCHW.flip(2, 3),
}
"""Exact symmetries, without interpolation. `inputs.views` names those that leave the label unchanged."""


@dataclass(frozen=True)
class ImageInputs:
    """See `graft.modalities.base.Inputs`. A row is an image [3, S, S], RGB, 0..255: uint8, or float32 if exact."""

    side_px: int
    background: str

    views: ClassVar[Mapping[str, Callable[[Tensor], Tensor]]] = VIEWS

    @property
    def size_label(self) -> str:
        return f"{self.side_px}px"

    def empty(self, num_samples: int, *, exact: bool) -> Tensor:
        return torch.empty((num_samples, 3, self.side_px, self.side_px), dtype=torch.float32 if exact else torch.uint8)

    def row(self, content: bytes, *, exact: bool) -> Tensor:
        resized = self.fit(torch.from_numpy(decode(content, self.background).copy())[None])[0]
        return resized if exact else resized.round().clamp(0, 255)

    def fit(self, raw: Tensor) -> Tensor:
        """Converts uint8 [B, H, W, 3] to float32 [B, 3, S, S], not rounded."""
        return resize(raw.permute(0, 3, 1, 2), self.side_px)

    def expected(self, preprocessing: ExpectedImages) -> nn.Module:
        return Normalise.of(preprocessing)

    def augmented(self, rows_B: Tensor, preset: str, seeds_B: Tensor) -> Tensor:
        from graft.modalities.image.augmentation import augmented  # imports torchvision, which nothing else here needs

        return augmented(rows_B, preset, seeds_B)
