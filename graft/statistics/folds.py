"""Folds that do not split sampling units. N samples, K classes."""

import warnings

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from graft.statistics.units import unit_numbers

Fold = tuple[np.ndarray, np.ndarray]
"""Positions of the training samples and of the test samples."""


def num_folds_possible(labels_N: np.ndarray, num_folds: int, groups_N: np.ndarray | None = None) -> int:
    """Smaller of `num_folds` and the number of units of the smallest class; classes with one unit are ignored.

    Raises:
        ValueError: a class has one sample, or all samples are in one unit, so nothing is left to test on.
    """
    labels, counts_K = np.unique(labels_N, return_counts=True)
    if counts_K.min() < 2:
        alone = labels[counts_K < 2]
        raise ValueError(
            f"{len(alone)} of {len(labels)} classes have one sample (label {alone[0]} is the first); "
            "cross-validation needs two of each"
        )
    units_N = unit_numbers(groups_N, len(labels_N))
    num_units = len(np.unique(units_N))
    if num_units < 2:
        raise ValueError(f"all {len(labels_N)} samples are one group; cross-validation needs at least two groups")
    units_K = [len(np.unique(units_N[labels_N == label])) for label in labels]
    return min([num_folds, num_units, *(count for count in units_K if count > 1)])


def grouped_folds(
    labels_N: np.ndarray, groups_N: np.ndarray | None, *, num_folds: int, seed: int | np.random.RandomState
) -> list[Fold]:
    """Folds in which every sample is tested once; units stay whole, and classes keep their shares as far as possible.

    Args:
        num_folds: see `num_folds_possible`.
    """
    units_N = unit_numbers(groups_N, len(labels_N))
    if len(np.unique(units_N)) == len(units_N):
        plain = StratifiedKFold(num_folds, shuffle=True, random_state=seed)
        return list(plain.split(labels_N, labels_N))
    grouped = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # callers report classes with fewer samples than folds
        warnings.filterwarnings("ignore", category=UserWarning, module="sklearn")
        return [fold for fold in grouped.split(labels_N, labels_N, units_N) if len(fold[1])]
