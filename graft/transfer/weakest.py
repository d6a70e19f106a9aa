"""Class with the lowest recall of a model, which a mean over all test items hides: N items."""

from collections.abc import Sequence

import numpy as np

from graft.statistics.intervals import share_interval
from graft.statistics.units import num_units
from graft.transfer.verdict import WeakestClass


def weakest_class(
    correct_N: np.ndarray,
    labels_N: np.ndarray,
    classes: Sequence[str],
    *,
    groups_N: np.ndarray | None = None,
    alpha: float,
) -> WeakestClass:
    """Class with the lowest recall among those with a test item; if several are equal, the one with the lowest bound.

    It is chosen after all classes were evaluated, so its interval is one of those that hold simultaneously for all
    classes with a probability of 1 - alpha: each has the level alpha divided by the number of classes (Bonferroni).

    Args:
        correct_N: 1 where the model is correct on an item, else 0.
        labels_N: class of each item.
        classes: all classes that the model predicts.
        groups_N: names of the independent units that the items belong to; None: each item is one.
        alpha: two-sided level.
    """
    tested = [name for name in classes if (labels_N == name).any()]
    untested = [name for name in classes if name not in tested]
    found = []
    for name in tested:
        is_class_N = labels_N == name
        groups = None if groups_N is None else groups_N[is_class_N]
        num_items = int(is_class_N.sum())
        found.append(
            WeakestClass(
                name=name,
                recall=share_interval(correct_N[is_class_N], groups, confidence=1 - alpha / len(tested)),
                num_items=num_items,
                num_units=num_units(groups, num_items),
                untested=untested,
            )
        )
    return min(found, key=lambda score: (score.recall.mean, score.recall.low))
