"""Two-sided intervals of a mean over items or over folds. N items, G units, F folds.

Units of items are the sample, never seeds: another training could differ by more.

`item_interval` and `bounded_interval` both add one unit at each bound. Verdicts and examinations report the first: its
added units weigh as many items as one independent item is worth, and its degrees of freedom are lower if units differ
in size. The second decides between sources on a few held-out samples: each added unit is one sample.
"""

import math

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student_t

from graft.core.artifacts import Interval
from graft.statistics.units import design_effect, effective_units, num_units, unit_numbers
from graft.statistics.variance_components import variance_components


def item_interval(
    values_N: np.ndarray, groups_N: np.ndarray | None = None, *, bounds: tuple[float, float], confidence: float
) -> Interval:
    """Mean over the items with a two-sided interval that counts units; two units are added, with the lowest and the
    highest possible value.

    Args:
        groups_N: names of the units that the items belong to; None: each item is one.
        bounds: lowest and highest possible value of an item; they are the interval if there is only one unit.
        confidence: 0..1.
    Source: Bonett and Price 2012, "Adjusted Wald Confidence Interval for a Difference of Binomial Proportions Based on
        Paired Data", for the two added units; `graft.statistics.variance_components` for the rest.
    """
    if num_units(groups_N, len(values_N)) < 2:
        return Interval(mean=float(values_N.mean()), low=bounds[0], high=bounds[1])
    twice_2N = np.stack([values_N, values_N])  # as two identical seeds, which add no variance
    return variance_components(twice_2N, bounds=bounds, groups_N=groups_N).interval(1 - confidence)


def share_interval(correct_N: np.ndarray, groups_N: np.ndarray | None = None, *, confidence: float) -> Interval:
    """Share of ones (0..1) with Wilson's two-sided interval for the effective number of items.

    Args:
        correct_N: ones and zeros.
        groups_N, confidence: see `item_interval`.
    Source: Franco et al. 2019, "Comparative Study of Confidence Intervals for Proportions in Complex Sample Surveys",
        for Wilson's interval of the effective number; Korn and Graubard 1998 for the quantile of few units.
    """
    num_items, share = len(correct_N), float(correct_N.mean())
    by_freedom = [
        student_t.ppf(0.5 + confidence / 2, max(1.0, number - 1))
        for number in (effective_units(groups_N, num_items), num_items)
    ]
    number = num_items / design_effect(correct_N, groups_N) * (by_freedom[1] / by_freedom[0]) ** 2
    quantile = norm.ppf(0.5 + confidence / 2)
    shrunk = 1 + quantile**2 / number
    centre = (share + quantile**2 / (2 * number)) / shrunk
    half = quantile / shrunk * (share * (1 - share) / number + (quantile / (2 * number)) ** 2) ** 0.5
    return Interval(mean=share, low=max(0.0, min(share, centre - half)), high=min(1.0, max(share, centre + half)))


def mean_interval(values_N: np.ndarray, groups_N: np.ndarray | None = None, *, confidence: float) -> Interval:
    """Mean over the items with the interval of Student's t.

    The mean is over items even if they come in units; its variance is that of a ratio, from each unit's sum of
    deviations, with one degree of freedom less than there are units.

    Args:
        groups_N: names of the units that the items belong to; None: each item is one. A single unit gives an infinite
            interval.
    Source: Cochran 1977, "Sampling Techniques", section 9A.1 (cluster sampling, ratio to size).
    """
    mean = float(values_N.mean())
    unit_of_N = unit_numbers(groups_N, len(values_N))
    number = int(unit_of_N.max()) + 1
    if number < 2:
        return Interval(mean=mean, low=-math.inf, high=math.inf)
    sums_G = np.bincount(unit_of_N, weights=values_N - mean)
    variance = number / (number - 1) * (sums_G**2).sum() / len(values_N) ** 2
    half = float(student_t.ppf(0.5 + confidence / 2, number - 1) * variance**0.5)
    return Interval(mean=mean, low=mean - half, high=mean + half)


def bounded_interval(
    values_N: np.ndarray, groups_N: np.ndarray | None = None, *, bounds: tuple[float, float], confidence: float
) -> Interval:
    """`mean_interval` of values between two bounds; its width is above zero even if all values are equal.

    One value at each bound is added, as a separate unit: what was not observed is not impossible. The mean does not
    include them.

    Source: Agresti and Min 2005, "Simple improved confidence intervals for comparing matched proportions", section 2.
    """
    unit_of_N = unit_numbers(groups_N, len(values_N))
    interval = mean_interval(
        np.append(values_N, bounds), np.append(unit_of_N, unit_of_N.max() + np.array([1, 2])), confidence=confidence
    )
    mean = float(values_N.mean())
    return Interval(mean=mean, low=min(mean, interval.low), high=max(mean, interval.high)).within(*bounds)


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
