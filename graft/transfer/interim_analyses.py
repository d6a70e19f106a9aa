"""Interim analyses: the comparison is repeated after every further pair of seeds until it is decisive.

Each analysis is stricter the more of them there are: graft/statistics/alpha_spending.py.
"""

from dataclasses import dataclass

import numpy as np

from graft.statistics.alpha_spending import level_of
from graft.transfer.compare import Comparison, compare, gain_components, span_of

FEWEST_PAIRS = 3
"""Fewest pairs of seeds at the first analysis: the difference between two runs of an arm says almost nothing about
other runs, and a valid interval from two runs is too wide to be of use."""


def num_first_pairs(num_seeds: int, max_seeds: int) -> int:
    """Number of pairs of seeds at the first analysis.

    Args:
        num_seeds: seeds that the stages of the arms train.
    """
    return max(num_seeds, min(FEWEST_PAIRS, max_seeds))


@dataclass(frozen=True)
class InterimAnalysis:
    comparison: Comparison
    level: float
    """Two-sided level of the intervals of this analysis."""
    goes_on: bool
    """Whether another pair of seeds is to be trained: the verdict is open, and this analysis is not the last."""


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
    """Comparison of all seeds so far, at the level that this many analyses require.

    Args:
        transfer_SN, baseline_SN, margin_points, groups_N, shipped, guessing_N: see `graft.transfer.compare.compare`;
            rows in the order of training.
        num_first: number of seeds of the first analysis; each further analysis has one more.
        max_seeds: number of seeds at which the analyses end at the latest.
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
