"""Intervals of one model's scores on test items, or of what two models differ by on the same items. N items, G units.

Units of items are the only sample here (graft.transfer.units); another seed could differ by more.
"""

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student_t

from graft.core.artifacts import Interval
from graft.transfer.spread import spread_of
from graft.transfer.units import added_weight, effective_units, num_units


def item_interval(
    values_N: np.ndarray, groups_N: np.ndarray | None = None, *, bounds: tuple[float, float], confidence: float
) -> Interval:
    """Mean over the items with a two-sided interval that counts units, two of which are added: one of the lowest value
    and one of the highest.

    Args:
        groups_N: names of the units that the items belong to; None: each item is one.
        bounds: the lowest and the highest value that an item can have. Where a single unit was seen they are the
            interval.
        confidence: 0..1.
    Source: Bonett and Price 2012, "Adjusted Wald Confidence Interval for a Difference of Binomial Proportions Based on
        Paired Data", for the two added; `graft.transfer.spread` for the rest.
    """
    if num_units(groups_N, len(values_N)) < 2:
        return Interval(mean=float(values_N.mean()), low=bounds[0], high=bounds[1])
    twice_2N = np.stack([values_N, values_N])  # as of two seeds that do not differ, which add nothing
    return spread_of(twice_2N, bounds=bounds, groups_N=groups_N).interval(1 - confidence)


def share_interval(right_N: np.ndarray, groups_N: np.ndarray | None = None, *, confidence: float) -> Interval:
    """Share of ones (0..1) with Wilson's two-sided interval, of as many items as the units are worth.

    Args:
        right_N: ones and zeros.
        groups_N, confidence: see `item_interval`.
    Source: Franco et al. 2019, "Comparative Study of Confidence Intervals for Proportions in Complex Sample Surveys",
        for Wilson's interval of the effective number; Korn and Graubard 1998 for the quantile of few units.
    """
    num_items, share = len(right_N), float(right_N.mean())
    by_freedom = [
        student_t.ppf(0.5 + confidence / 2, max(1.0, number - 1))
        for number in (effective_units(groups_N, num_items), num_items)
    ]
    number = num_items / design_effect(right_N, groups_N) * (by_freedom[1] / by_freedom[0]) ** 2
    quantile = norm.ppf(0.5 + confidence / 2)
    shrunk = 1 + quantile**2 / number
    centre = (share + quantile**2 / (2 * number)) / shrunk
    half = quantile / shrunk * (share * (1 - share) / number + (quantile / (2 * number)) ** 2) ** 0.5
    return Interval(mean=share, low=max(0.0, min(share, centre - half)), high=min(1.0, max(share, centre + half)))


def design_effect(values_N: np.ndarray, groups_N: np.ndarray | None) -> float:
    """How many items tell as much as one independent item would: 1 to N / G (`graft.transfer.units.added_weight`);
    all of them where they are one unit."""
    return added_weight(values_N, groups_N) if num_units(groups_N, len(values_N)) > 1 else float(len(values_N))


def correlation_within(values_N: np.ndarray, groups_N: np.ndarray | None) -> float:
    """How alike the items of a unit are, 0..1: the intraclass correlation that the design effect stands for.

    Source: Kish 1965, "Survey Sampling", section 5.4.
    """
    mean_size = len(values_N) / num_units(groups_N, len(values_N))
    return (design_effect(values_N, groups_N) - 1) / (mean_size - 1) if mean_size > 1 else 0.0
