"""Bootstrap of test items that come in units. N items, G units, D drawn units, M items of a resample.

Units are drawn, not items, since items of one unit are correlated. Two units are added to those that can be drawn:
observed units whose items are made correct, or wrong. Otherwise, items that are all correct would imply certainty about
every other item.

Source: Davison and Hinkley 1997, "Bootstrap Methods and their Application", section 3.8, for whole units; Bonett and
    Price 2012 for the two added units.
"""

from collections.abc import Callable

import numpy as np
from scipy.stats import bootstrap

from graft.statistics.units import NUM_ADDED, design_effect, num_units, unit_numbers

Statistic = Callable[[np.ndarray, np.ndarray], float]
"""Function of items' positions [M] and of the forced outcomes [M]: 1 made correct, -1 made wrong, 0 as observed."""


def percentile_ends(
    statistic: Statistic,
    correct_N: np.ndarray,
    groups_N: np.ndarray | None,
    *,
    confidence: float,
    num_resamples: int,
    generator: np.random.Generator,
) -> tuple[float, float]:
    """Both ends of the percentile interval; infinite if there is a single unit, which says nothing about others.

    Args:
        correct_N: 1 where the model is correct, else 0.
        groups_N: names of the units that the items belong to; None: each item is one.
    """
    num_items = len(correct_N)
    number = num_units(groups_N, num_items)
    if number < 2:
        return -np.inf, np.inf
    unit_of_N = unit_numbers(groups_N, num_items)
    by_unit_N, sizes_G = np.argsort(unit_of_N, kind="stable"), np.bincount(unit_of_N)
    starts_G = np.cumsum(sizes_G) - sizes_G
    share_forced = design_effect(correct_N, groups_N) * number / num_items
    forced_G = np.repeat([0, 1, -1], [number, 1, 1])

    def of_drawn(drawn_D: np.ndarray) -> float:
        units_D = np.where(drawn_D < number, drawn_D, generator.integers(number, size=len(drawn_D)))
        sizes_D = sizes_G[units_D]
        first_M = np.repeat(starts_G[units_D] - (np.cumsum(sizes_D) - sizes_D), sizes_D)
        rows_M = by_unit_N[first_M + np.arange(len(first_M))]
        is_forced_M = generator.random(len(rows_M)) < share_forced
        return statistic(rows_M, np.repeat(forced_G[drawn_D], sizes_D) * is_forced_M)

    found = bootstrap(
        (np.arange(number + NUM_ADDED),), of_drawn, vectorized=False, n_resamples=num_resamples,
        confidence_level=confidence, method="percentile", rng=generator,
    ).confidence_interval  # fmt: skip
    return float(found.low), float(found.high)
