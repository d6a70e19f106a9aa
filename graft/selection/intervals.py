"""How sure a mean over samples or over folds is. M samples, G groups, F folds."""

import math

import numpy as np
from scipy.stats import t as student_t

from graft.core.artifacts import Interval
from graft.data.units import unit_numbers


def mean_interval(values_M: np.ndarray, *, confidence: float, groups_M: np.ndarray | None = None) -> Interval:
    """Student's t over held-out samples; it does not count the luck of a training.

    With groups the group is the unit: the mean stays that over samples, its variance is that of a ratio, from each
    group's sum of deviations, with as many degrees of freedom as groups less one.
    Source: Cochran 1977, "Sampling Techniques", section 9A.1 (cluster sampling, ratio to size).
    Args:
        groups_M: samples with equal entries are one unit; None: each sample is its own. A single unit gives an interval
            without ends.
    """
    mean = float(values_M.mean())
    units_M = unit_numbers(groups_M, len(values_M))
    num_units = int(units_M.max()) + 1
    if num_units < 2:
        return Interval(mean=mean, low=-math.inf, high=math.inf)
    sums_G = np.bincount(units_M, weights=values_M - mean)
    variance = num_units / (num_units - 1) * (sums_G**2).sum() / len(values_M) ** 2
    half = float(student_t.ppf(0.5 + confidence / 2, num_units - 1) * variance**0.5)
    return Interval(mean=mean, low=mean - half, high=mean + half)


def bounded_interval(
    values_M: np.ndarray, *, least: float, most: float, confidence: float, groups_M: np.ndarray | None = None
) -> Interval:
    """`mean_interval` of values that lie between two bounds, which has a width where all values are the same.

    One value at each bound is added, as a unit of its own: what was not observed is not excluded. The mean is that
    without them.
    Source: Agresti and Min 2005, "Simple improved confidence intervals for comparing matched proportions", section 2.
    """
    units_M = unit_numbers(groups_M, len(values_M))
    interval = mean_interval(
        np.append(values_M, [least, most]),
        confidence=confidence,
        groups_M=np.append(units_M, units_M.max() + np.array([1, 2])),
    )
    mean = float(values_M.mean())
    return Interval(mean=mean, low=min(mean, interval.low), high=max(mean, interval.high)).within(least, most)


def resampled_interval(scores_F: np.ndarray, *, num_folds: int, confidence: float = 0.95) -> Interval:
    """Mean of cross-validation scores with the corrected resampled t interval.

    Folds share training data, so the plain standard error is too small; the variance is scaled by
    1/F + (test size / training size) = 1/F + 1/(num_folds - 1).
    Source: Nadeau and Bengio 2003, "Inference for the Generalization Error", section 4.
    """
    num_scores = len(scores_F)
    variance = scores_F.var(ddof=1) * (1 / num_scores + 1 / (num_folds - 1))
    half = student_t.ppf(0.5 + confidence / 2, num_scores - 1) * variance**0.5
    mean = scores_F.mean()
    return Interval(mean=mean, low=mean - half, high=mean + half)
