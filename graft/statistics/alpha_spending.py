"""Alpha spent over interim analyses, so that analysing again after every further pair of seeds keeps its word.

K analyses, P and Q nodes of an integral.

A pair of seeds more is trained where the interval decides nothing, and the interval is computed again. If each analysis
were no stricter than a single one, a chance difference would be taken for a real one in more than `alpha` of all cases.
So `alpha` is spent over the analyses, by how much of all the information each has.

The mean gain after j seeds and the one after k > j have the variance of the later one in common: the items are the
same, and the seeds' luck averages. That is the joint distribution for which Lan and DeMets spend alpha; the information
of an analysis is one over its variance. Where most of the luck lies in the items, the first analysis has nearly all the
information that there will be, and may spend most of alpha. Where it lies in the seeds, little is spent on the first
analyses: the difference of two or three seeds says little of others.

Levels are those of normal means, and are used with the quantiles of Student's t that each analysis has. How often
identical arms get a verdict all the same: `python -m benchmarks.verdict_worlds`.

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

WORTH_IT = 0.9
"""Largest width of the interval that `max_seeds` would give, over the present one, at which more seeds are worth their
training."""
SHARE = 0.75
"""Share of alpha that is spent: the levels are a little too lax for the quantiles of t that few seeds have, as
simulations say (benchmarks/verdict_worlds.py)."""
LEAST_STEP = 0.2
"""Least step, as a share of the information that is still missing: estimates of it go up and down, and what is spent
cannot be taken back."""
KEPT_BACK = 0.01
"""Share of the information kept back for every analysis that may follow: that much is new to it at least."""
NUM_NODES = 801
WIDEST = 8.0
"""Standard deviations within which a bound is looked for."""
NUM_KEPT = 1024
"""Analyses whose integral is remembered: a further one goes on from it."""


def level_of(components_K: list[VarianceComponents], max_seeds: int, alpha: float) -> tuple[float, bool]:
    """The two-sided level of the last of the analyses so far, and whether it is the last of all.

    Args:
        components_K: one per analysis, of the seeds that it had.
        max_seeds: seeds at which the analyses end at the latest.
        alpha: level of all analyses together.
    """
    fractions: list[float] = []
    for components in components_K:
        known = fractions[-1] if fractions else 0.0
        least = known + max(KEPT_BACK, LEAST_STEP * (1 - known))
        most = 1 - KEPT_BACK * (max_seeds - components.num_seeds)
        is_last = _is_last(components, max_seeds, alpha)
        fractions.append(1.0 if is_last else round(min(most, max(least, _information(components, max_seeds))), 2))
    share = 1.0 if components_K[0].num_seeds >= max_seeds else SHARE
    return levels(tuple(fractions), share * alpha)[-1], is_last


def levels(fractions_K: tuple[float, ...], alpha: float) -> list[float]:
    """Two-sided level of each analysis, of a mean of normal values.

    Args:
        fractions_K: share of the whole information that each has, 0..1, rising.
    """
    return [_after(fractions_K[:number], alpha).level for number in range(1, len(fractions_K) + 1)]


@dataclass(frozen=True)
class _Seen:
    """State after an analysis."""

    level: float
    nodes_P: np.ndarray
    """Values of the sum so far at which the experiment goes on."""
    masses_P: np.ndarray
    """Probability of each."""


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
    """How much more than `to_spend` the next analysis spends, if it stops beyond +-bound."""
    outside_P = norm.sf((bound - nodes_P) / step) + norm.cdf((-bound - nodes_P) / step)
    return float(masses_P @ outside_P) - to_spend


def spending(fraction: float, alpha: float) -> float:
    """How much of `alpha` may be spent up to an analysis with this fraction of the information."""
    return float(4 * norm.sf(norm.isf(alpha / 4) / fraction**0.5)) if fraction else 0.0


def _is_last(components: VarianceComponents, max_seeds: int, alpha: float) -> bool:
    if components.num_seeds >= max_seeds:
        return True
    now, then = (components.at(number, components.num_units) for number in (components.num_seeds, max_seeds))
    return then.half_width(alpha) >= WORTH_IT * now.half_width(alpha)


def _information(components: VarianceComponents, max_seeds: int) -> float:
    """Information of an analysis, as a fraction of that of `max_seeds`. Both are expected values for so many seeds: two
    seeds happen to differ by too little as often as by too much."""
    now, then = (components.at(number, components.num_units) for number in (components.num_seeds, max_seeds))
    return then.variance / now.variance
