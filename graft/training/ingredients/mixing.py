"""Batches whose samples are mixed in pairs, inputs and targets alike.

B batch, C channels, H height, W width, T tokens, D features, K classes.

torchvision has `v2.MixUp` and `v2.CutMix`, but they draw from torch's global random state, pair each sample with its
neighbour, accept only images and ignore sample weights; code to adapt them would be longer than this.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graft.core.errors import ParamsError


@dataclass(frozen=True)
class Batch:
    inputs: Tensor
    """Inputs of the network: normalised images or cached maps [B, C, H, W], tokens [B, T, C] or features [B, D]."""
    targets_BK: Tensor
    """Probabilities, one-hot before mixing. `cross_entropy(logits, targets, label_smoothing=...)` smooths them; that
    is linear in the targets, so it may follow the mixing."""
    weights_B: Tensor
    """Weights in the loss, above 0."""


def mixup(batch: Batch, alpha: float, generator: torch.Generator) -> Batch:
    """Each sample becomes a weighted mean of itself and another; one share per batch, from Beta(alpha, alpha).

    Source: Zhang et al. 2018 (arXiv 1710.09412), section 2. On activations inside the network it is manifold mixup,
    Verma et al. 2019 (arXiv 1806.05236).
    """
    share = _share(alpha, generator)
    partners_B = _partners(batch, generator)
    inputs = torch.lerp(batch.inputs[partners_B], batch.inputs, share)
    return Batch(inputs, *_mixed_targets(batch, partners_B, share))


def cutmix(batch: Batch, alpha: float, generator: torch.Generator) -> Batch:
    """A rectangle of each image or map is replaced by that of another sample; one rectangle per batch.

    Its area is the other sample's share, from Beta(alpha, alpha); its centre is anywhere. Beyond an
    edge nothing is replaced, and the targets take that into account.

    Raises:
        ParamsError: the inputs are not maps.
    Source: Yun et al. 2019 (arXiv 1905.04899), section 3.1.
    """
    if batch.inputs.ndim != 4:
        raise ParamsError(
            "cutmix replaces rectangles of images or of feature maps [B, C, H, W], but the trained blocks take inputs "
            f"of shape {list(batch.inputs.shape)}: the tokens or features of frozen blocks. Use mixup, which accepts "
            "these too, or train from the first block on, which takes images."
        )
    height, width = batch.inputs.shape[2:]
    side = math.sqrt(1 - _share(alpha, generator))
    partners_B = _partners(batch, generator)
    top, bottom = _covered(height, side, generator)
    left, right = _covered(width, side, generator)
    inputs = batch.inputs.clone()
    inputs[:, :, top:bottom, left:right] = batch.inputs[partners_B, :, top:bottom, left:right]
    share = 1 - (bottom - top) * (right - left) / (height * width)
    return Batch(inputs, *_mixed_targets(batch, partners_B, share))


MIXERS = {"mixup": mixup, "cutmix": cutmix}


def _share(alpha: float, generator: torch.Generator) -> float:
    """A draw from Beta(alpha, alpha), by numpy, since torch's Beta takes no generator."""
    seed = torch.randint(2**63 - 1, (), generator=generator).item()
    return float(np.random.default_rng(int(seed)).beta(alpha, alpha))


def _partners(batch: Batch, generator: torch.Generator) -> Tensor:
    return torch.randperm(len(batch.inputs), generator=generator).to(batch.inputs.device)


def _covered(length: int, side: float, generator: torch.Generator) -> tuple[int, int]:
    """First and past-the-last position of an interval of `side` (0..1) of the length around a random centre."""
    centre = torch.rand((), generator=generator).item()
    first, last = (round((centre + half) * length) for half in (-side / 2, side / 2))
    return max(first, 0), min(last, length)


def _mixed_targets(batch: Batch, partners_B: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Targets and weights whose weighted loss is the two samples' own weighted losses, mixed by share.

    An uncertain label (a small weight) thus also counts less in the target of its pair.
    """
    own_B = share * batch.weights_B
    others_B = (1 - share) * batch.weights_B[partners_B]
    weights_B = own_B + others_B
    part_B1 = (own_B / weights_B)[:, None]
    return torch.lerp(batch.targets_BK[partners_B], batch.targets_BK, part_B1), weights_B
