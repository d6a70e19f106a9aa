"""Interim analyses: the comparison is made again after every further pair of seeds, until it decides something.

Each is as strict as so many of them ask for: graft/statistics/alpha_spending.py.
"""

from dataclasses import dataclass

import numpy as np

from graft.statistics.alpha_spending import level_of
from graft.transfer.compare import Comparison, compare, gain_components, span_of

FEWEST_PAIRS = 3
"""Pairs of seeds at the first analysis, at least: the difference of two runs of an arm says next to nothing of others,
and an interval that is honest about it reaches nowhere."""


def num_first_pairs(num_seeds: int, max_seeds: int) -> int:
    """Pairs of seeds at the first analysis, of an experiment that starts with so many."""
    return max(num_seeds, min(FEWEST_PAIRS, max_seeds))


@dataclass(frozen=True)
class InterimAnalysis:
    comparison: Comparison
    level: float
    """Two-sided level of the intervals of this analysis."""
    goes_on: bool
    """Nothing is decided, and another pair of seeds may."""


def interim_analysis(
    transfer_SN: np.ndarray,
    baseline_SN: np.ndarray,
    *,
    num_first: int,
    max_seeds: int,
    margin_points: float,
    alpha: float,
    groups_N: np.ndarray | None = None,
    shipped: tuple[int, int] | None = None,
    guessing_N: np.ndarray | None = None,
) -> InterimAnalysis:
    """The comparison of all seeds so far, as strict as this many analyses make it.

    Args:
        transfer_SN, baseline_SN, margin_points, groups_N, shipped, guessing_N: see `graft.transfer.compare.compare`;
            rows in the order of training.
        num_first: seeds of the first analysis; each further one had one more.
        max_seeds: seeds at which the analyses end at the latest.
        alpha: level of all analyses together.
    Raises:
        UnpairedRunsError: see `graft.transfer.compare.compare`.
    """
    numbers = range(num_first, len(transfer_SN) + 1)
    span = span_of(transfer_SN, baseline_SN)
    components_K = [
        gain_components(transfer_SN[:number], baseline_SN[:number], span=span, groups_N=groups_N) for number in numbers
    ]
    level, is_last = level_of(components_K, max_seeds, alpha)
    comparison = compare(
        transfer_SN,
        baseline_SN,
        groups_N=groups_N,
        margin_points=margin_points,
        alpha=level,
        shipped=shipped,
        guessing_N=guessing_N,
    )
    return InterimAnalysis(comparison, level, goes_on=comparison.verdict == "inconclusive" and not is_last)
