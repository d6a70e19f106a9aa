"""Items that come in units: scores of independent units, and what an item is worth. S seeds, N items, G units.

Items that share a group share its luck, so the group is what was sampled. Everything that is computed from a mean over
items and from how much the items differ takes units in their place, each with the weight of its items. An item that
belongs to nothing is a unit of its own; then nothing changes.
"""

import numpy as np

NUM_ADDED = 2
"""Units that every interval adds to those that were seen (graft.statistics.variance_components)."""
MIN_UNITS = 5
"""With fewer, no verdict is given. Intervals would hold (benchmarks/verdict_worlds.py), but they would be made of the
two added units rather than of what was seen."""


def unit_numbers(groups_N: np.ndarray | None, num_items: int) -> np.ndarray:
    """[N] int, 0..G-1: equal numbers for items of one unit; without groups each item is its own."""
    if groups_N is None:
        return np.arange(num_items)
    return np.unique(groups_N, return_inverse=True)[1]


def unit_scores(scores_SN: np.ndarray, groups_N: np.ndarray | None) -> np.ndarray:
    """[S, G]: the mean of a row is the mean over the items, and its variance that of a mean over groups of items.

    A mean over groups of unlike sizes is a ratio of two sums; this is its linearisation: each unit counts by how far
    its items together lie from their seed's mean.

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
    """How many units of equal size would tell as much about a variance: at most G, 1 where one unit holds all items.

    Satterthwaite's approximation where the items of a unit are alike, which is when units matter.
    """
    if groups_N is None:
        return float(num_items)
    sizes_G = np.unique(groups_N, return_counts=True)[1].astype(float)
    return float((sizes_G**2).sum() ** 2 / (sizes_G**4).sum())


def num_units(groups_N: np.ndarray | None, num_items: int) -> int:
    return num_items if groups_N is None else len(np.unique(groups_N))


def added_weight(scores_N: np.ndarray, groups_N: np.ndarray | None) -> float:
    """How many items, of the N / G in a unit, an added unit stands for: from 1 to N / G.

    What was not seen may be a single item, or a whole unit whose items go the same way. So it is as many items as one
    independent item is worth here (the design effect: how much more the units differ than they would if their items
    were independent). Where hardly any unit differs that is not known, and a whole unit is taken.

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
    """How many items tell as much as one independent item would: 1 to N / G (`added_weight`); all of them where they
    are one unit."""
    return added_weight(values_N, groups_N) if num_units(groups_N, len(values_N)) > 1 else float(len(values_N))


def correlation_within(values_N: np.ndarray, groups_N: np.ndarray | None) -> float:
    """How alike the items of a unit are, 0..1: the intraclass correlation that the design effect stands for.

    Source: Kish 1965, "Survey Sampling", section 5.4.
    """
    mean_size = len(values_N) / num_units(groups_N, len(values_N))
    return (design_effect(values_N, groups_N) - 1) / (mean_size - 1) if mean_size > 1 else 0.0


def items_in_words(num_items: int, num_units: int, what: str = "test items") -> str:
    """Number of items in words: "420 test items", or "420 test items in 21 groups" where these are fewer."""
    return f"{num_items:,} {what}" + (f" in {num_units:,} groups" if num_units < num_items else "")
