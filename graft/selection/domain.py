"""How far a target lies from what a source has seen: shown, never decided upon.

N and M samples, D features, P permutations, B batch, C channels, H height, W width.
"""

import numpy as np
import torch
from scipy.spatial.distance import cdist
from torch import Tensor, nn

from graft.core.device import forward_precision, reduced_precision

BATCH_SIZE = 16


def mmd_squared(features_ND: np.ndarray, other_MD: np.ndarray) -> float:
    """Squared maximum mean discrepancy of two sets of samples seen by one backbone; about 0 for one distribution.

    Unbiased, so it can be below 0; the kernel is Gaussian, as wide as the median distance. It is at most 2.
    Raises:
        ValueError: other features, fewer than two samples on a side, or numbers that are not finite.
    Source: Gretton et al. 2012, "A Kernel Two-Sample Test", eq. 3; the width: section 8.
    """
    kernel = _kernel(features_ND, other_MD)
    return float(_unbiased(kernel, _sides(len(features_ND), len(kernel)))[0])


def mmd_p_value(features_ND: np.ndarray, other_MD: np.ndarray, *, num_permutations: int = 1000, seed: int = 0) -> float:
    """How often two sets drawn from the pooled samples lie at least as far apart, 1/(P+1) to 1.

    Few samples give a large value though the distance looks large: they do not show it.
    Raises:
        ValueError: see `mmd_squared`.
    Source: Gretton et al. 2012, section 5; the 1 that is added: Phipson and Smyth 2010.
    """
    kernel = _kernel(features_ND, other_MD)
    sides = _sides(len(features_ND), len(kernel))
    generator = np.random.default_rng(seed)
    shuffled = generator.permuted(np.repeat(sides, num_permutations, axis=0), axis=1)
    num_as_far = (_unbiased(kernel, shuffled) >= _unbiased(kernel, sides)[0] - 1e-12).sum()
    return float((1 + num_as_far) / (1 + num_permutations))


def _kernel(features_ND: np.ndarray, other_MD: np.ndarray) -> np.ndarray:
    """[N + M, N + M], its diagonal 0: a sample says nothing when compared with itself."""
    if features_ND.ndim != 2 or features_ND.shape[1:] != other_MD.shape[1:] or min(len(features_ND), len(other_MD)) < 2:
        raise ValueError(f"two tables of two samples or more of the same features; {features_ND.shape, other_MD.shape}")
    pooled = np.concatenate([features_ND, other_MD]).astype(np.float64)
    if not np.isfinite(pooled).all():
        raise ValueError("features are NaN or infinite")
    squares = cdist(pooled, pooled, "sqeuclidean")
    median = np.median(squares[np.triu_indices(len(pooled), 1)])
    kernel = np.exp(-squares / (median or 1.0))
    np.fill_diagonal(kernel, 0)
    return kernel


def _sides(num_first: int, num_all: int) -> np.ndarray:
    return (np.arange(num_all) < num_first).astype(np.float64)[None]


def _unbiased(kernel: np.ndarray, sides_P: np.ndarray) -> np.ndarray:
    """[P]: for each row of `sides_P` [P, N + M], 1 for the first set and 0 for the second."""
    num_first = int(sides_P[0].sum())
    num_second = len(kernel) - num_first
    to_first = sides_P @ kernel
    within_first = (to_first * sides_P).sum(axis=1)
    across = to_first.sum(axis=1) - within_first
    within_second = kernel.sum() - within_first - 2 * across
    return (
        within_first / (num_first * (num_first - 1))
        + within_second / (num_second * (num_second - 1))
        - 2 * across / (num_first * num_second)
    )


@torch.inference_mode()
def batchnorm_shift(backbone: nn.Module, normalised_N3HW: Tensor) -> float | None:
    """How far the target's activations lie from what the source saw in pretraining, in its standard deviations.

    A BatchNorm layer remembers mean and variance of each channel of its input. Here those of the target's pictures are
    held against them: per channel the Frechet distance of the two normal distributions over the remembered standard
    deviation, averaged over the channels of a layer, then over layers. 0: the statistics match. A hundred pictures
    are plenty: twenty solar cells gave what 120 gave within 3 %. None: the backbone has no BatchNorm.

    The backbone is left as it was.

    Source: the statistics as a picture of the source domain: Li et al. 2016, "Revisiting Batch Normalization For
        Practical Domain Adaptation" (arXiv 1603.04779); the distance: Dowson and Landau 1982.
    """
    layers = [
        module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d) and module.track_running_stats
    ]
    if not layers:
        return None
    sums: dict[nn.Module, Tensor] = {layer: torch.zeros(3, layer.num_features, dtype=torch.float64) for layer in layers}

    def add(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        channels_C = inputs[0].float().transpose(0, 1).flatten(1)
        count_C = torch.full((len(channels_C),), channels_C.shape[1])
        sums[layer] += torch.stack([count_C, channels_C.sum(dim=1).cpu(), channels_C.square().sum(dim=1).cpu()])

    device = normalised_N3HW.device
    were_training = [(module, module.training) for module in backbone.modules()]
    hooks = [layer.register_forward_pre_hook(add) for layer in layers]
    try:
        backbone.eval()
        for pictures_B3HW in normalised_N3HW.split(BATCH_SIZE):
            with reduced_precision(device, forward_precision(device)):
                backbone(pictures_B3HW.contiguous(memory_format=torch.channels_last))
    finally:
        for hook in hooks:
            hook.remove()
        for module, was_training in were_training:
            module.training = was_training
    return float(np.mean([_distance(layer, sums[layer]) for layer in layers if sums[layer][0, 0] > 0]))


def _distance(layer: nn.BatchNorm2d, sums_3C: Tensor) -> float:
    assert layer.running_mean is not None
    assert layer.running_var is not None
    count, total_C, squares_C = sums_3C
    mean_C = total_C / count
    deviation_C = (squares_C / count - mean_C.square()).clamp(min=0).sqrt()
    known_C = layer.running_mean.cpu().double()
    known_variance_C = layer.running_var.cpu().double() + layer.eps
    between_C = (mean_C - known_C).square() + (deviation_C - known_variance_C.sqrt()).square()
    return float((between_C / known_variance_C).sqrt().mean())
