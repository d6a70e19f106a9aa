"""Distances between distributions as single numbers. N and M samples, D features, P permutations, C channels."""

import numpy as np
from scipy.spatial.distance import cdist


def frechet_distances(
    mean_C: np.ndarray, deviation_C: np.ndarray, known_mean_C: np.ndarray, known_deviation_C: np.ndarray
) -> np.ndarray:
    """Frechet distance [C] between two normal distributions per channel, in the channel's known standard deviations.

    Source: Dowson and Landau 1982, "The Frechet Distance between Multivariate Normal Distributions".
    """
    return np.hypot(mean_C - known_mean_C, deviation_C - known_deviation_C) / known_deviation_C


def mmd_squared(features_ND: np.ndarray, other_MD: np.ndarray) -> float:
    """Squared maximum mean discrepancy between two sets of features of one backbone; about 0 for equal distributions.

    The estimate is unbiased, so it can be below 0; it is at most 2. The kernel is Gaussian, with the median distance as
    its width.
    Raises:
        ValueError: the features differ in number, a set has fewer than two samples, or numbers are not finite.
    Source: Gretton et al. 2012, "A Kernel Two-Sample Test", eq. 3; the width: section 8.
    """
    kernel = _kernel(features_ND, other_MD)
    return float(_unbiased(kernel, _sides(len(features_ND), len(kernel)))[0])


def mmd_p_value(features_ND: np.ndarray, other_MD: np.ndarray, *, num_permutations: int = 1000, seed: int = 0) -> float:
    """Probability that two sets drawn from the pooled samples are at least as far apart, 1/(P+1) to 1.

    With few samples the value is large even if the distance looks large: it is not significant.
    Raises:
        ValueError: see `mmd_squared`.
    Source: Gretton et al. 2012, section 5; Phipson and Smyth 2010 for adding 1.
    """
    kernel = _kernel(features_ND, other_MD)
    sides = _sides(len(features_ND), len(kernel))
    generator = np.random.default_rng(seed)
    shuffled = generator.permuted(np.repeat(sides, num_permutations, axis=0), axis=1)
    num_as_far = (_unbiased(kernel, shuffled) >= _unbiased(kernel, sides)[0] - 1e-12).sum()
    return float((1 + num_as_far) / (1 + num_permutations))


def _kernel(features_ND: np.ndarray, other_MD: np.ndarray) -> np.ndarray:
    """Kernel matrix [N + M, N + M] with a diagonal of 0: comparing a sample with itself gives no information."""
    if features_ND.ndim != 2 or features_ND.shape[1:] != other_MD.shape[1:] or min(len(features_ND), len(other_MD)) < 2:
        raise ValueError(
            f"two tables of at least two samples with the same features are needed; {features_ND.shape, other_MD.shape}"
        )
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
    """Unbiased estimates [P], one per row of `sides_P` [P, N + M], which is 1 for the first set and 0 for the other."""
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
