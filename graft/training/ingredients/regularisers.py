"""Penalties in the loss of a batch, which keep fine-tuning from forgetting too much or changing too little.

B batch, D features, W the weights of one tensor.
"""

from collections.abc import Mapping

import torch
from torch import Tensor


def l2_sp(weights: Mapping[str, Tensor], start: Mapping[str, Tensor], *, alpha: float, beta: float) -> Tensor:
    """alpha/2 * ||w - w0||^2 over the weights that have a start, beta/2 * ||w||^2 over the others (the new head).

    It replaces weight decay, which would pull all weights to zero.

    Args:
        weights: the trained parameters, by name.
        start: their values before fine-tuning, by the same names, detached; other entries are ignored.
    Returns:
        A scalar, at least 0.
    Source: Li, Grandvalet and Davoine 2018 (arXiv 1802.01483), L2-SP.
    """
    penalty = torch.zeros(())
    for name, weights_W in weights.items():
        if name in start:
            penalty = penalty + alpha / 2 * (weights_W - start[name]).square().sum()
        else:
            penalty = penalty + beta / 2 * weights_W.square().sum()
    return penalty


def batch_spectral_shrinkage(features_BD: Tensor, num_values: int = 1) -> Tensor:
    """The sum of the `num_values` smallest squared singular values of a batch's features.

    Directions with small singular values transfer worst; the penalty shrinks them. A batch has min(B, D) singular
    values; if that is less than `num_values`, all count. Computed in float32 at least: a squared singular
    value of half-precision features is mostly rounding.

    Returns:
        A scalar, at least 0; the paper adds it to the loss times 0.001, with `num_values` 1.
    Raises:
        torch.linalg.LinAlgError: a feature is infinite or NaN.
    Source: Chen et al. 2019, "Catastrophic Forgetting Meets Negative Transfer: Batch Spectral Shrinkage for Safe
        Transfer Learning" (NeurIPS).
    """
    with torch.autocast(features_BD.device.type, enabled=False):
        wide_BD = features_BD if features_BD.dtype == torch.float64 else features_BD.float()
        # from largest to smallest; the gradient of the values alone is stable even where two are equal
        singular_values = torch.linalg.svdvals(wide_BD)
    return singular_values[-num_values:].square().sum()
