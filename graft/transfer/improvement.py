"""Probability that a run with transfer beats a run without: S seeds, N items, G units, A arms, Q draws.

The mean gain is the wrong question if runs have a long tail: if four of five runs end at 90 % and one at 34 %, their
mean says little about any of them. Whoever trains a model asks how probable it is that one way of training beats the
other.

Accuracies of runs are compared as log-odds, in which distances are ratios of errors, both for a collapse to a third and
for an almost perfect run. The runs of an arm are assumed to be normal, each arm with its own variance. The uncertainty
of means and variances from few runs is drawn, not estimated (generalised pivots), and so is the random variation
between units. Without the normal distribution, five runs against five would not suffice: if one arm's runs are all
alike, the other five are on one side of them with a probability of 2 x 0.5^5, 6 %.

Source: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice", and Bouthillier et
    al. 2021, "Accounting for Variance in Machine Learning Benchmarks", for the question; Weerahandi and Johnson 1992,
    "Testing Reliability in a Stress-Strength Model when X and Y are Normally Distributed", for the interval; Tsui and
    Weerahandi 1989 for its verdict, that of Behrens and Fisher.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.special import logit
from scipy.stats import norm

from graft.core.artifacts import Interval
from graft.statistics.units import effective_units, num_units, unit_scores
from graft.statistics.variance_components import VarianceComponents, variance_components

NUM_DRAWS = 20_000


def improvement(
    transfer_SN: np.ndarray,
    baseline_SN: np.ndarray,
    *,
    groups_N: np.ndarray | None,
    alpha: float,
    guessing_N: np.ndarray | None = None,
) -> Interval:
    """Probability (0..1) that a run with transfer is more accurate than one without, with a (1 - alpha) interval.

    Args:
        transfer_SN, baseline_SN: 1 where the seed's model is correct on the item, else 0.
        groups_N: see `graft.statistics.units.unit_scores`.
        guessing_N: 1 where always predicting the most frequent class is correct. A run that is worse than guessing
            counts as guessing: how far it fell below says nothing about the other runs and would hide their results.
    """
    (ours_SG, our_slope), (theirs_SG, their_slope) = (
        log_odds(_not_below(correct_SN, guessing_N), groups_N) for correct_SN in (transfer_SN, baseline_SN)
    )
    # contribution of a unit that only one arm predicts correctly, whichever arm it is
    largest = max(our_slope, their_slope)
    mean = float(ours_SG.mean() - theirs_SG.mean())
    components = replace(
        variance_components(ours_SG, -theirs_SG, bounds=(mean - largest, mean + largest)),
        effective_units=effective_units(groups_N, transfer_SN.shape[1]),  # the columns are units by now
    )
    return _probability_above(components, alpha, least_deviation=0.5 * largest / transfer_SN.shape[1])


def share_of_pairs(transfer_SN: np.ndarray, baseline_SN: np.ndarray) -> float:
    """Share (0..1) of all pairs of a run with transfer and one without in which the first is more accurate; ties count
    half (Mann and Whitney 1947)."""
    ours_S1, theirs_S = transfer_SN.mean(axis=1)[:, None], baseline_SN.mean(axis=1)
    return float(((ours_S1 > theirs_S) + 0.5 * (ours_S1 == theirs_S)).mean())


def _not_below(correct_SN: np.ndarray, guessing_N: np.ndarray | None) -> np.ndarray:
    if guessing_N is None:
        return correct_SN
    return np.where(correct_SN.mean(axis=1, keepdims=True) < guessing_N.mean(), guessing_N, correct_SN)


def log_odds(correct_SN: np.ndarray, groups_N: np.ndarray | None) -> tuple[np.ndarray, float]:
    """Scores of units [S, G] whose means are the log-odds of each run's accuracy, and the largest slope of these.

    One correct and one wrong unit are added to each run's accuracy, so that it is strictly between 0 and 1. The effect
    of a unit on the log-odds is linearised.
    """
    scores_SG = unit_scores(correct_SN.astype(float), groups_N)
    number = num_units(groups_N, correct_SN.shape[1])
    accuracy_S1 = (number * scores_SG.mean(axis=1, keepdims=True) + 1) / (number + 2)
    slope_S1 = 1 / (accuracy_S1 * (1 - accuracy_S1))
    centred_SG = scores_SG - scores_SG.mean(axis=1, keepdims=True)
    return logit(accuracy_S1) + slope_S1 * centred_SG, float(slope_S1.max())


def _probability_above(components: VarianceComponents, alpha: float, *, least_deviation: float) -> Interval:
    """Probability that a run of the first arm is better than one of the second.

    Args:
        least_deviation: smallest standard deviation of runs; the data cannot show that they differ less.
    """
    drawn = _draws(components.num_seeds, max(1.0, components.effective_units - 1))
    seeds_A = [max(variance, least_deviation**2) for variance in components.run_variances_A]
    deviations_AQ = [(variance * ratio_Q) ** 0.5 for variance, ratio_Q in zip(seeds_A, drawn.ratios_AQ, strict=True)]
    mean_Q = components.mean - components.variance_from_units**0.5 * drawn.units_Q
    for deviation_Q, normal_Q in zip(deviations_AQ, drawn.normals_AQ, strict=True):
        mean_Q = mean_Q - deviation_Q * normal_Q / components.num_seeds**0.5
    probability_Q = norm.cdf(mean_Q / np.hypot(*deviations_AQ))
    mean = float(norm.cdf(components.mean / sum(seeds_A) ** 0.5))
    low, high = np.quantile(probability_Q, [alpha / 2, 1 - alpha / 2])
    return Interval(mean=mean, low=min(mean, float(low)), high=max(mean, float(high)))


@dataclass(frozen=True)
class _Draws:
    """Random draws of the pivots, Q of each."""

    ratios_AQ: np.ndarray
    """Ratio of the true variance of an arm's runs to the estimated one."""
    normals_AQ: np.ndarray
    units_Q: np.ndarray
    """Draws from Student's t distribution."""


@lru_cache
def _draws(num_seeds: int, freedom_of_units: float) -> _Draws:
    generator = np.random.default_rng(0)
    freedom = num_seeds - 1
    return _Draws(
        ratios_AQ=freedom / generator.chisquare(freedom, (2, NUM_DRAWS)),
        normals_AQ=generator.normal(size=(2, NUM_DRAWS)),
        units_Q=generator.standard_t(freedom_of_units, NUM_DRAWS),
    )
