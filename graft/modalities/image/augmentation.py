"""Random changes of images that leave their label unchanged.

B batch, C channels, H height, W width, S side of the square image.
"""

import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn
from torchvision.transforms import v2


def augmented(images_BCHW: Tensor, preset: str, seeds_B: Tensor) -> Tensor:
    """Images uint8 [B, 3, S, S] changed according to the preset, in new memory.

    The change depends only on the sample's seed (int64): the same image and seed give the same result in any batch.
    The global random state is not changed.

    Args:
        preset: one of `PRESETS`.
    """
    change = _change(preset, images_BCHW.shape[-1])
    changed = []
    with torch.random.fork_rng(devices=[]):  # torchvision's transforms draw from the CPU's global generator only
        for image_CHW, seed in zip(images_BCHW, seeds_B.tolist(), strict=True):
            torch.default_generator.manual_seed(seed)
            changed.append(change(image_CHW))
    return torch.stack(changed)


def _nothing(_side_px: int) -> nn.Module:
    return nn.Identity()


def _photos(side_px: int) -> nn.Module:
    """Preset for photographs of objects, which may be mirrored or cropped; hue is kept, as it may identify a class.

    Unsuitable for small defects: the crop may exclude the one that the label means.
    """
    return v2.Compose(
        [
            v2.RandomHorizontalFlip(),
            v2.RandomResizedCrop(side_px, scale=(0.6, 1.0), ratio=(0.8, 1.25), antialias=True),
            v2.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2),
        ]
    )


def _inspection(side_px: int) -> nn.Module:
    """Preset for parts under a camera, often grey, with any side up, nearly straight and in nearly constant light.

    With stronger changes of brightness or contrast, light parts would turn white and lose faint marks.
    """
    any_of_eight = [
        v2.RandomHorizontalFlip(),
        v2.RandomVerticalFlip(),
        v2.RandomApply([v2.RandomRotation((90, 90))], p=0.5),
    ]
    moved = _moved(side_px, degrees=3, translate=0.02, scale=(0.97, 1.03))
    return v2.Compose([*any_of_eight, *moved, v2.ColorJitter(brightness=0.15, contrast=0.15)])


def _documents(side_px: int) -> nn.Module:
    """Preset for writing, which is never mirrored, slightly rotated, and differs in paper and light."""
    moved = _moved(side_px, degrees=4, translate=0.04, scale=(0.9, 1.1))
    return v2.Compose([*moved, v2.ColorJitter(brightness=0.1, contrast=0.3)])


def _moved(side_px: int, *, degrees: float, translate: float, scale: tuple[float, float]) -> list[nn.Module]:
    """Layers for a small rotation, shift (as a share of the side) and change of scale.

    The edge of the image is extended, so that no black corner reveals the change.
    """
    margin_px = math.ceil(side_px / 6)  # more than the strongest preset moves a corner inwards
    share = translate * side_px / (side_px + 2 * margin_px)  # torchvision multiplies by the padded side
    return [
        v2.Pad(margin_px, padding_mode="edge"),
        v2.RandomAffine(degrees, (share, share), scale, interpolation=v2.InterpolationMode.BILINEAR),
        v2.CenterCrop(side_px),
    ]


PRESETS: dict[str, Callable[[int], nn.Module]] = {
    "none": _nothing,
    "photos": _photos,
    "inspection": _inspection,
    "documents": _documents,
}
"""Name of a preset -> function from the side in pixels to its transformation."""


@cache
def _change(preset: str, side_px: int) -> nn.Module:
    return PRESETS[preset](side_px)
