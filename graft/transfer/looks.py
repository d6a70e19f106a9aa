"""How strict each look must be, so that looking again after every further pair of seeds keeps its word: K looks.

A pair of seeds more is trained where the interval decides nothing, and the interval is looked at again. If each look
were no stricter than a single one, a chance difference would be taken for a real one in more than `alpha` of all cases.
So `alpha` is spent over the looks, by how much of all the information each has.

The mean gain after j seeds and the one after k > j have the variance of the later one in common: the items are the
same, and the seeds' luck averages. That is the joint distribution for which Lan and DeMets spend alpha; the information
of a look is one over its variance. Where most of the luck lies in the items, the first look has nearly all the
information that there will be, and may spend most of alpha. Where it lies in the seeds, little is spent on the first
looks: what two or three seeds differ by says little of what others would.

Levels are those of normal means, and are used with the quantiles of Student's t that each look has. How often identical
arms get a verdict all the same: `python -m benchmarks.verdict_worlds`.

Source: Lan and DeMets 1983 (their function like the bounds of O'Brien and Fleming); Armitage, McPherson and Rowe 1969
    for the integral; Jennison and Turnbull 1989 for intervals that hold at every look, and 1999, section 3.8, for the
    quantiles of t.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from graft.transfer.compare import Comparison, compare, gain_spread, span_of
from graft.transfer.spread import Spread

FEWEST_PAIRS = 3
"""Of seeds, at the first look: what two runs of an arm differ by says next to nothing of what others would, and an
interval that is honest about it reaches nowhere."""
WORTH_IT = 0.9
"""The interval that `max_seeds` would give, over the one there is; if it is no narrower than that, seeds are not worth
their training."""
SHARE = 0.75
"""Of alpha that is spent: the levels are a little too lax for the quantiles of t that few seeds have, as simulations
say (benchmarks/verdict_worlds.py)."""
LEAST_STEP = 0.2
"""Of the information that is still missing: estimates of it go up and down, and what is spent cannot be taken back."""
KEPT_BACK = 0.01
"""Of the information, for every look that may follow: that much is new to it at least."""
NUM_NODES = 801
WIDEST = 8.0
"""Standard deviations within which a bound is looked for."""
NUM_KEPT = 1024
"""Looks whose integral is remembered: a further one goes on from it."""


def first_look(num_seeds: int, max_seeds: int) -> int:
    """Pairs of seeds at the first look, of an experiment that starts with so many."""
    return max(num_seeds, min(FEWEST_PAIRS, max_seeds))


@dataclass(frozen=True)
class Look:
    comparison: Comparison
    level: float
    """Two-sided, of the intervals of this look."""
    goes_on: bool
    """Nothing is decided, and another pair of seeds may."""


def look(
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
) -> Look:
    """The comparison of all seeds so far, as strict as this many looks make it.

    Args:
        transfer_SN, baseline_SN, margin_points, groups_N, shipped, guessing_N: see `graft.transfer.compare.compare`;
            rows in the order of training.
        num_first: seeds of the first look; each further one had one more.
        max_seeds: the looks end there at the latest.
        alpha: of all looks together.
    Raises:
        UnpairedRunsError: see `graft.transfer.compare.compare`.
    """
    numbers = range(num_first, len(transfer_SN) + 1)
    span = span_of(transfer_SN, baseline_SN)
    spreads_K = [
        gain_spread(transfer_SN[:number], baseline_SN[:number], span=span, groups_N=groups_N) for number in numbers
    ]
    level, is_last = level_of(spreads_K, max_seeds, alpha)
    comparison = compare(
        transfer_SN,
        baseline_SN,
        groups_N=groups_N,
        margin_points=margin_points,
        alpha=level,
        shipped=shipped,
        guessing_N=guessing_N,
    )
    return Look(comparison, level, goes_on=comparison.verdict == "inconclusive" and not is_last)


def level_of(spreads_K: list[Spread], max_seeds: int, alpha: float) -> tuple[float, bool]:
    """The two-sided level of the last of the looks so far, and whether it is the last of all.

    Args:
        spreads_K: one a look, of the seeds that it had.
        max_seeds, alpha: see `look`.
    """
    fractions: list[float] = []
    for spread in spreads_K:
        known = fractions[-1] if fractions else 0.0
        least = known + max(KEPT_BACK, LEAST_STEP * (1 - known))
        most = 1 - KEPT_BACK * (max_seeds - spread.num_seeds)
        is_last = _is_last(spread, max_seeds, alpha)
        fractions.append(1.0 if is_last else round(min(most, max(least, _information(spread, max_seeds))), 2))
    share = 1.0 if spreads_K[0].num_seeds >= max_seeds else SHARE
    return levels(tuple(fractions), share * alpha)[-1], is_last


def levels(fractions_K: tuple[float, ...], alpha: float) -> list[float]:
    """Two-sided level of each look, of a mean of normal values.

    Args:
        fractions_K: of the whole information, 0..1, rising.
    """
    return [_after(fractions_K[:number], alpha).level for number in range(1, len(fractions_K) + 1)]


@dataclass(frozen=True)
class _Seen:
    """After a look."""

    level: float
    nodes_P: np.ndarray
    """Where the sum of what was seen may stand, of those that were not stopped."""
    masses_P: np.ndarray
    """How likely each is."""


@lru_cache(maxsize=NUM_KEPT)
def _after(fractions_K: tuple[float, ...], alpha: float) -> _Seen:
    if not fractions_K:
        return _Seen(0.0, np.zeros(1), np.ones(1))
    before, fraction = _after(fractions_K[:-1], alpha), fractions_K[-1]
    known = fractions_K[-2] if len(fractions_K) > 1 else 0.0
    step, to_spend = (fraction - known) ** 0.5, spending(fraction, alpha) - spending(known, alpha)
    bound = float(brentq(_spent_beyond, 0, WIDEST, args=(before.nodes_P, before.masses_P, step, to_spend)))
    nodes_Q = np.linspace(-bound, bound, NUM_NODES)
    density_Q = norm.pdf((nodes_Q[:, None] - before.nodes_P) / step) @ before.masses_P / step
    masses_Q = density_Q * (nodes_Q[1] - nodes_Q[0])
    masses_Q[[0, -1]] /= 2
    return _Seen(float(2 * norm.sf(bound / fraction**0.5)), nodes_Q, masses_Q)


def _spent_beyond(bound: float, nodes_P: np.ndarray, masses_P: np.ndarray, step: float, to_spend: float) -> float:
    """How much more than `to_spend` the next look spends, if it stops beyond +-bound."""
    outside_P = norm.sf((bound - nodes_P) / step) + norm.cdf((-bound - nodes_P) / step)
    return float(masses_P @ outside_P) - to_spend


def spending(fraction: float, alpha: float) -> float:
    """How much of `alpha` may be spent up to a look with this fraction of the information."""
    return float(4 * norm.sf(norm.isf(alpha / 4) / fraction**0.5)) if fraction else 0.0


def _is_last(spread: Spread, max_seeds: int, alpha: float) -> bool:
    if spread.num_seeds >= max_seeds:
        return True
    now, then = (spread.at(number, spread.num_units) for number in (spread.num_seeds, max_seeds))
    return then.half_width(alpha) >= WORTH_IT * now.half_width(alpha)


def _information(spread: Spread, max_seeds: int) -> float:
    """Of a look, as a fraction of that of `max_seeds`. Both are what is expected of so many seeds: what two of them
    differ by happens to be too little as often as too much."""
    now, then = (spread.at(number, spread.num_units) for number in (spread.num_seeds, max_seeds))
    return then.variance / now.variance
