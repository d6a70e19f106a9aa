"""Alpha spent over interim analyses, so that repeating the analysis after every pair of seeds does not exceed alpha.

K analyses, P and Q nodes of an integral.

If the interval is inconclusive, another pair of seeds is trained and the interval is computed again. If each analysis
were no stricter than a single one, a chance difference would be taken for a real one in more than `alpha` of all cases.
`alpha` is therefore spent over the analyses, according to the share of the total information that each has.

The mean gain after j seeds and the one after k > j have the variance of the later one in common: the items are the
same, and the random variation of the seeds averages out. This is the joint distribution for which Lan and DeMets spend
alpha; the information of an analysis is one over its variance. If most of the variation is between items, the first
analysis has nearly all of the information and may spend most of alpha. If it is between seeds, little is spent on the
first analyses: the difference between two or three seeds says little about others.

Levels are those of normal means, and are used with the quantiles of Student's t of each analysis. How often identical
arms still get a verdict: `python -m benchmarks.verdict_worlds`.

Source: Lan and DeMets 1983 (their function like the bounds of O'Brien and Fleming); Armitage, McPherson and Rowe 1969
    for the integral; Jennison and Turnbull 1989 for intervals that hold at every analysis, and 1999, section 3.8, for
    the quantiles of t.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from graft.statistics.variance_components import VarianceComponents

MAX_RELATIVE_WIDTH = 0.9
"""Largest ratio of the interval's width with `max_seeds` to its present width at which training more seeds pays off."""
SPENT_SHARE = 0.75
"""Share of alpha that is spent: with the quantiles of t of few seeds, simulations show that the levels are slightly too
lax (benchmarks/verdict_worlds.py)."""
MIN_STEP = 0.2
"""Smallest step, as a share of the information that is still missing: estimates of it fluctuate, and alpha that was
spent cannot be recovered."""
RESERVED_INFORMATION = 0.01
"""Share of the information reserved for every analysis that may follow; each adds at least this much."""
NUM_NODES = 801
MAX_BOUND = 8.0
"""Largest bound that is searched, in standard deviations."""
NUM_CACHED = 1024
"""Number of analyses whose integral is cached; the next analysis continues from it."""


def level_of(components_K: list[VarianceComponents], max_seeds: int, alpha: float) -> tuple[float, bool]:
    """Two-sided level of the latest analysis, and whether it is the last one.

    Args:
        components_K: variance components of each analysis so far, from the seeds that it had.
        max_seeds: number of seeds at which the analyses end at the latest.
        alpha: level of all analyses together.
    """
    fractions: list[float] = []
    for components in components_K:
        known = fractions[-1] if fractions else 0.0
        least = known + max(RESERVED_INFORMATION, MIN_STEP * (1 - known))
        most = 1 - RESERVED_INFORMATION * (max_seeds - components.num_seeds)
        is_last = _is_last(components, max_seeds, alpha)
        fractions.append(1.0 if is_last else round(min(most, max(least, _information(components, max_seeds))), 2))
    share = 1.0 if components_K[0].num_seeds >= max_seeds else SPENT_SHARE
    return levels(tuple(fractions), share * alpha)[-1], is_last


def levels(fractions_K: tuple[float, ...], alpha: float) -> list[float]:
    """Two-sided level of each analysis, for a mean of normal values.

    Args:
        fractions_K: share of the total information that each analysis has, 0..1, increasing.
    """
    return [_after(fractions_K[:number], alpha).level for number in range(1, len(fractions_K) + 1)]


@dataclass(frozen=True)
class _AnalysisState:
    """State after an analysis."""

    level: float
    nodes_P: np.ndarray
    """Values of the sum so far at which the experiment continues."""
    masses_P: np.ndarray
    """Probability of each."""


@lru_cache(maxsize=NUM_CACHED)
def _after(fractions_K: tuple[float, ...], alpha: float) -> _AnalysisState:
    if not fractions_K:
        return _AnalysisState(0.0, np.zeros(1), np.ones(1))
    before, fraction = _after(fractions_K[:-1], alpha), fractions_K[-1]
    known = fractions_K[-2] if len(fractions_K) > 1 else 0.0
    step, to_spend = (fraction - known) ** 0.5, spending(fraction, alpha) - spending(known, alpha)
    bound = float(brentq(_spent_beyond, 0, MAX_BOUND, args=(before.nodes_P, before.masses_P, step, to_spend)))
    nodes_Q = np.linspace(-bound, bound, NUM_NODES)
    density_Q = norm.pdf((nodes_Q[:, None] - before.nodes_P) / step) @ before.masses_P / step
    masses_Q = density_Q * (nodes_Q[1] - nodes_Q[0])
    masses_Q[[0, -1]] /= 2
    return _AnalysisState(float(2 * norm.sf(bound / fraction**0.5)), nodes_Q, masses_Q)


def _spent_beyond(bound: float, nodes_P: np.ndarray, masses_P: np.ndarray, step: float, to_spend: float) -> float:
    """Alpha that the next analysis spends in excess of `to_spend`, if it stops beyond +-bound."""
    outside_P = norm.sf((bound - nodes_P) / step) + norm.cdf((-bound - nodes_P) / step)
    return float(masses_P @ outside_P) - to_spend


def spending(fraction: float, alpha: float) -> float:
    """Part of `alpha` that may be spent up to an analysis with this fraction of the information."""
    return float(4 * norm.sf(norm.isf(alpha / 4) / fraction**0.5)) if fraction else 0.0


def _is_last(components: VarianceComponents, max_seeds: int, alpha: float) -> bool:
    if components.num_seeds >= max_seeds:
        return True
    now, then = (components.at(number, components.num_units) for number in (components.num_seeds, max_seeds))
    return then.half_width(alpha) >= MAX_RELATIVE_WIDTH * now.half_width(alpha)


def _information(components: VarianceComponents, max_seeds: int) -> float:
    """Information of an analysis, as a fraction of that with `max_seeds`. Both are expected values for that number of
    seeds: two seeds happen to differ by too little as often as by too much."""
    now, then = (components.at(number, components.num_units) for number in (components.num_seeds, max_seeds))
    return then.variance / now.variance
