"""Variance of a mean over seeds and test items, and the variance to expect with more of either.

A arms, S seeds, G units of test items (graft.statistics.units; each item is one, unless items come in groups). Seeds
and units are crossed random samples: another seed gives another model, another unit another score. The score of seed s
on unit g is the sum of a mean, an effect of the seed, an effect of the unit, and a residual. Every arm has its own
seeds; the units are the same for all arms.

This is the design of multi-reader studies in which different readers for each of two tests judge the same cases, and
the variances are the ones used there: mean squares of an analysis of variance. Two measures keep the interval valid
with few data:

- Two units are added to the observed ones, with the lowest and the highest possible score. Otherwise, items that are
  all correct would imply certainty about every other item.
- The variance of each arm's seeds is estimated from these few seeds alone. Each part of the variance has its own
  quantile of Student's t, and the quantiles are weighted by the variances (Cochran and Cox), since Satterthwaite's
  degrees of freedom take two seeds that are alike by chance for seeds that are always alike.

Coverage of the interval: `python -m benchmarks.verdict_worlds`.

Source: Obuchowski and Rockette 1995; Hillis 2007 (doi 10.1002/sim.2532), for the part of the items without their
    residual; Cochran and Cox 1950, "Experimental Designs", section 4.14, for the quantile; Bonett and Price 2012
    for the two units; Cramér 1946, section 27, for what skewness does to the power.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm
from scipy.stats import t as student_t

from graft.core.artifacts import Interval
from graft.statistics.units import NUM_ADDED, added_weight, effective_units, num_units, unit_scores

POWER = 0.8
NUM_REDRAWN = 2000
MAX_SEEDS = 50
MAX_TIMES_UNITS = 100


@dataclass(frozen=True)
class VarianceComponents:
    """Variance components of a sum of arms' mean scores, in the square of the scores' unit (arrays in `_redrawn`)."""

    mean: float
    """Mean over seeds and items."""
    bounds: tuple[float, float]
    """Scores of the two added units."""
    seeds_A: tuple[float, ...]
    """Variance of the mean of one seed, per arm: the effect of the seed, and 1 / G of the residual."""
    units: float
    """Variance of the mean of one unit over the S seeds, summed over the arms: the effect of the unit, and 1 / S of
    the residual."""
    residual_A: tuple[float, ...]
    num_seeds: int
    num_units: int
    effective_units: float
    """Number of units of equal size with the same information about their variance; num_units if all have one size."""
    skewness: float = 0.0
    kurtosis: float = 3.0
    """Skewness and kurtosis of the units' means, 0 and 3 for a normal distribution; used only for the power."""

    @property
    def variance(self) -> Any:
        """Variance of the mean, with the two added units."""
        return self._variance_from_seeds() + self.variance_from_units

    @property
    def centre(self) -> float:
        """Mean with the two added units: the middle of the interval."""
        return (self.num_units * self.mean + sum(self.bounds)) / (self.num_units + NUM_ADDED)

    def interval(self, alpha: float) -> Interval:
        """Two-sided (1 - alpha) interval. It contains the mean, which need not be its middle."""
        half = self.half_width(alpha)
        low, high = min(self.mean, self.centre - half), max(self.mean, self.centre + half)
        return Interval(mean=self.mean, low=low, high=high)

    def half_width(self, alpha: float) -> float:
        """Half the width of the two-sided (1 - alpha) interval; above 0."""
        return float(self._half_widths(alpha))

    def _half_widths(self, alpha: float) -> Any:
        of_seeds, of_units = self._variance_from_seeds(), self.variance_from_units
        quantile_of_seeds = student_t.ppf(1 - alpha / 2, self.num_seeds - 1)
        quantile_of_units = student_t.ppf(1 - alpha / 2, max(1.0, self.effective_units - 1))
        return (of_seeds * quantile_of_seeds + of_units * quantile_of_units) / (of_seeds + of_units) ** 0.5

    @property
    def run_variances_A(self) -> list[Any]:
        """Variance of one run on these units, per arm; at least the residual's share, since a lower value is chance."""
        return [
            np.maximum(variance, residual / self.num_units)
            for variance, residual in zip(self.seeds_A, self.residual_A, strict=True)
        ]

    def _variance_from_seeds(self) -> Any:
        """Part of the variance of the mean that comes from the seeds."""
        return sum(self.run_variances_A) / self.num_seeds

    @property
    def variance_from_units(self) -> Any:
        """Part of the variance of the mean that comes from the units, with the two added ones, but not the residual,
        which is in the seeds' part."""
        number = self.num_units
        squares = number * (self.mean - self.centre) ** 2 + sum((bound - self.centre) ** 2 for bound in self.bounds)
        effect = np.maximum(squares / (number + NUM_ADDED - 1), self.units - sum(self.residual_A) / self.num_seeds)
        return effect / (number + NUM_ADDED)

    @property
    def _sampling_variance(self) -> float:
        """Variance of the mean without the added units, which widen the interval but are not random variation."""
        effect = max(0.0, self.units - sum(self.residual_A) / self.num_seeds)
        return float(self._variance_from_seeds()) + effect / self.num_units

    def power(self, gain: float, alpha: float) -> float:
        """Probability that the interval excludes zero if the true mean is `gain`."""
        return self._power(alpha)(gain)

    def _power(self, alpha: float) -> Callable[[float], float]:
        """Power as a function of the gain. If few units differ, and all in one direction, a low mean comes with units
        that seem to differ little: the interval is narrow when the gain is underestimated. The skewness accounts for
        this."""
        redrawn = self._redrawn()
        scale = self.num_units / (self.num_units + NUM_ADDED)
        half_widths_Q = redrawn._half_widths(alpha) / scale
        covariance = self.skewness * self.units**1.5 / self.num_units
        slope = covariance * self._freedom_of_units() / (2 * self.units**2) if self.units else 0.0
        means_Q = slope * (redrawn.units - self.units)  # expected mean minus the true one
        deviation = max(self._sampling_variance - slope * covariance, 1e-12 * self.variance) ** 0.5

        def power(gain: float) -> float:
            above_Q, below_Q = half_widths_Q - gain - means_Q, -half_widths_Q - gain - means_Q
            return float((norm.sf(above_Q / deviation) + norm.cdf(below_Q / deviation)).mean())

        return power

    def _freedom_of_units(self) -> float:
        """Degrees of freedom of the variance of the units; G - 1 if they are normal."""
        return 2 / ((self.kurtosis - 3) / self.num_units + 2 / (self.num_units - 1))

    def _redrawn(self) -> "VarianceComponents":
        """Simulated estimates (`NUM_REDRAWN`) from as many seeds and units, if these components were the true ones."""
        generator = np.random.default_rng(0)

        def redrawn(variance: Any, freedom: float) -> Any:
            return variance * generator.chisquare(freedom, NUM_REDRAWN) / freedom

        return replace(
            self,
            seeds_A=tuple(redrawn(variance, self.num_seeds - 1) for variance in self.run_variances_A),
            units=redrawn(self.units, self._freedom_of_units()),
        )

    def smallest_detectable(self, alpha: float) -> float:
        """True mean that is distinguished from zero with a probability of `POWER`."""
        power, top = self._power(alpha), self.half_width(alpha)
        while power(top) < POWER:
            top *= 2
        return float(brentq(lambda gain: power(gain) - POWER, 0, top))

    def unexaggerated(self, alpha: float) -> float:
        """Mean corrected for the overestimation of means that are only just significant; between 0 and the mean.

        Estimates that are reported because they exceed a threshold are too high on average, more so the closer they are
        to it. The corrected mean is the true mean for which significant estimates average to the observed mean.
        Source: Zhong and Prentice 2008, "Bias-reduced estimators and confidence intervals for odds ratios in
            genome-wide association studies", section 2 (the conditional mean); Gelman and Carlin 2014 for the size.
        """
        size, deviation = abs(self.mean), self._sampling_variance**0.5
        threshold = self.half_width(alpha) * (1 + NUM_ADDED / self.num_units)
        if size <= threshold or deviation == 0:
            return self.mean

        def expected(true: float) -> float:
            standard = (threshold - true) / deviation
            return true + deviation * float(np.exp(norm.logpdf(standard) - norm.logsf(standard)))

        true = 0.0 if expected(0.0) >= size else float(brentq(lambda mean: expected(mean) - size, 0.0, size))
        return float(np.copysign(true, self.mean))

    def at(self, num_seeds: int, num_units: int) -> "VarianceComponents":
        """Expected components with other numbers of seeds and units."""
        seeds_A = [
            float(variance) + residual / num_units - residual / self.num_units
            for variance, residual in zip(self.run_variances_A, self.residual_A, strict=True)
        ]
        residual = sum(self.residual_A)
        return replace(
            self,
            seeds_A=tuple(seeds_A),
            units=max(0.0, self.units - residual / self.num_seeds) + residual / num_seeds,
            num_seeds=num_seeds,
            num_units=num_units,
            effective_units=self.effective_units * num_units / self.num_units,
        )

    def seeds_for(self, is_enough: Callable[["VarianceComponents"], bool]) -> int | None:
        """Smallest number of seeds above the present one, up to MAX_SEEDS, that is enough; None: none is.

        Args:
            is_enough: whether these components suffice; once true, it must stay true for more seeds.
        """
        numbers = range(self.num_seeds + 1, MAX_SEEDS + 1)
        return _first(numbers, lambda number: is_enough(self.at(number, self.num_units)))

    def units_for(self, is_enough: Callable[["VarianceComponents"], bool]) -> int | None:
        """Smallest number of units above the present one, to two digits and up to MAX_TIMES_UNITS times as many, that
        is enough; None: none is. `is_enough` as in `seeds_for`."""
        numbers = np.geomspace(self.num_units, MAX_TIMES_UNITS * self.num_units, num=200)[1:]
        larger = sorted({rounded for number in numbers if (rounded := int(float(f"{number:.1e}"))) > self.num_units})
        return _first(larger, lambda number: is_enough(self.at(self.num_seeds, number)))


def _first(numbers: Sequence[int], is_enough: Callable[[int], bool]) -> int | None:
    place = bisect_left(numbers, True, key=is_enough)
    return numbers[place] if place < len(numbers) else None


def variance_components(
    *arms_SN: np.ndarray, bounds: tuple[float, float], groups_N: np.ndarray | None = None
) -> VarianceComponents:
    """Components of the sum of the arms' mean scores, or of their difference if one arm's scores are negated.

    Args:
        arms_SN: scores, one array per arm, all with the same items as columns.
        bounds: lowest and highest possible value of one item's sum.
        groups_N: names of the units that the items belong to; None: each item is one.
    """
    num_items = arms_SN[0].shape[1]
    arms_SG = [unit_scores(scores_SN.astype(float), groups_N) for scores_SN in arms_SN]
    num_seeds, number = arms_SG[0].shape
    means_G = np.sum([scores_SG.mean(axis=0) for scores_SG in arms_SG], axis=0)
    deviation = means_G.std()
    standard_G = (means_G - means_G.mean()) / (deviation or 1)
    freedom = (num_seeds - 1) * (number - 1)
    mean, weight = (
        float(means_G.mean()),
        added_weight(np.sum([scores.mean(axis=0) for scores in arms_SN], axis=0), groups_N),
    )
    share = weight * number / num_items
    return VarianceComponents(
        mean=mean,
        bounds=(mean + share * (bounds[0] - mean), mean + share * (bounds[1] - mean)),
        seeds_A=tuple(float(scores_SG.mean(axis=1).var(ddof=1)) for scores_SG in arms_SG),
        units=float(means_G.var(ddof=1)),
        residual_A=tuple(float(np.square(_residual(scores_SG)).sum() / freedom) for scores_SG in arms_SG),
        num_seeds=num_seeds,
        num_units=num_units(groups_N, num_items),
        effective_units=effective_units(groups_N, num_items),
        skewness=float((standard_G**3).mean()),
        kurtosis=float((standard_G**4).mean()) if deviation else 3.0,
    )


def _residual(scores_SG: np.ndarray) -> np.ndarray:
    """Part of the scores that neither the seed nor the unit explains, [S, G]."""
    of_seeds, of_units = scores_SG.mean(axis=1, keepdims=True), scores_SG.mean(axis=0, keepdims=True)
    return scores_SG - of_seeds - of_units + scores_SG.mean()
