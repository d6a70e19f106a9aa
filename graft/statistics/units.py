"""Items that come in units: scores of independent units, and their effective number. S seeds, N items, G units.

Items of one group are correlated, so the group is what was sampled. Everything that is computed from the mean and the
variance of items uses units instead, each with the weight of its items. An item in no group is a unit by itself; if all
items are, nothing changes.
"""

import numpy as np

NUM_ADDED = 2
"""Number of units that every interval adds to the observed ones (graft.statistics.variance_components)."""
MIN_UNITS = 5
"""Fewest units with which a verdict is given. With fewer, intervals would be valid (benchmarks/verdict_worlds.py), but
would depend more on the two added units than on the observed ones."""


def unit_numbers(groups_N: np.ndarray | None, num_items: int) -> np.ndarray:
    """Number of each item's unit [N], int, 0..G-1; without groups each item is a unit."""
    if groups_N is None:
        return np.arange(num_items)
    return np.unique(groups_N, return_inverse=True)[1]


def unit_scores(scores_SN: np.ndarray, groups_N: np.ndarray | None) -> np.ndarray:
    """Scores of units [S, G]: the mean of a row is that over items, its variance that of a mean over groups of items.

    A mean over groups of different sizes is a ratio of two sums, which is linearised here: each unit counts by the sum
    of its items' deviations from their seed's mean.

    Args:
        groups_N: names of the units; None: each item is one.
    Source: Cochran 1977, "Sampling Techniques", section 9A.1 (ratio to size), which is also the cluster-robust variance
        of Liang and Zeger 1986 for a mean.
    """
    if groups_N is None:
        return scores_SN
    _, unit_of_N, sizes_G = np.unique(groups_N, return_inverse=True, return_counts=True)
    num_units = len(sizes_G)
    sums_SG = np.stack([np.bincount(unit_of_N, weights=row, minlength=num_units) for row in scores_SN])
    means_S1 = scores_SN.mean(axis=1, keepdims=True)
    return means_S1 + (sums_SG - sizes_G * means_S1) * (num_units / scores_SN.shape[1])


def effective_units(groups_N: np.ndarray | None, num_items: int) -> float:
    """Number of units of equal size with the same information about a variance: at most G, 1 if one unit has all items.

    Satterthwaite's approximation for items that are alike within a unit, which is when units matter.
    """
    if groups_N is None:
        return float(num_items)
    sizes_G = np.unique(groups_N, return_counts=True)[1].astype(float)
    return float((sizes_G**2).sum() ** 2 / (sizes_G**4).sum())


def num_units(groups_N: np.ndarray | None, num_items: int) -> int:
    return num_items if groups_N is None else len(np.unique(groups_N))


def added_weight(scores_N: np.ndarray, groups_N: np.ndarray | None) -> float:
    """Number of items that an added unit stands for, from 1 to N / G.

    What was not observed may be a single item, or a whole unit whose items all agree. An added unit therefore counts as
    many items as one independent item is worth (the design effect: the ratio of the units' variance to that of units
    with independent items). If hardly any units differ, the design effect is unknown, and a whole unit is used.

    Source: Kish 1965, "Survey Sampling", section 8.2, for the design effect.
    """
    if groups_N is None:
        return 1.0
    units_G = unit_scores(scores_N[None], groups_N)[0]
    mean_size, of_items = len(scores_N) / len(units_G), scores_N.var()
    differing = np.abs(units_G - units_G.mean()) > 1e-9 * (np.abs(units_G).max() or 1)
    effect = float(np.clip(mean_size * units_G.var(ddof=1) / of_items, 1, mean_size)) if of_items else mean_size
    return float((differing.sum() * effect + NUM_ADDED * mean_size) / (differing.sum() + NUM_ADDED))


def design_effect(values_N: np.ndarray, groups_N: np.ndarray | None) -> float:
    """Number of items with the information of one independent item: 1 to N / G (`added_weight`); N if all items are one
    unit."""
    return added_weight(values_N, groups_N) if num_units(groups_N, len(values_N)) > 1 else float(len(values_N))


def correlation_within(values_N: np.ndarray, groups_N: np.ndarray | None) -> float:
    """Intraclass correlation of the items of a unit, 0..1, that corresponds to the design effect.

    Source: Kish 1965, "Survey Sampling", section 5.4.
    """
    mean_size = len(values_N) / num_units(groups_N, len(values_N))
    return (design_effect(values_N, groups_N) - 1) / (mean_size - 1) if mean_size > 1 else 0.0


def items_in_words(num_items: int, num_units: int, what: str = "test items") -> str:
    """Number of items in words: "420 test items", or "420 test items in 21 groups" if there are fewer groups."""
    return f"{num_items:,} {what}" + (f" in {num_units:,} groups" if num_units < num_items else "")
