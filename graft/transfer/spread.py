"""How much luck there is in a mean over seeds and test items, and how much there would be with more of either.

S seeds, N items. Seeds and items are crossed random samples: another seed would give another model, another item
another score. The score of seed s on item n is a mean, an effect of the seed, one of the item, and a residual. Every
arm has seeds of its own; the items are the same for all arms.

That is the design of studies in which several readers, others for each of two tests, judge the same cases; the interval
is the one in use there: mean squares of an analysis of variance, degrees of freedom by Satterthwaite with each arm's
seeds for themselves (Welch). How often it holds the truth: `python -m benchmarks.verdict_calibration`.

Source: Obuchowski and Rockette 1995; Hillis 2007 (doi 10.1002/sim.2532), for the part of the items without their
    residual; Satterthwaite 1946; Welch 1947; Cramér 1946, section 27, for what skewness does to the power.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm
from scipy.stats import t as student_t

POWER = 0.8
NUM_REDRAWN = 2000
MAX_SEEDS = 50
MAX_TIMES_ITEMS = 100


@dataclass(frozen=True)
class Spread:
    """Of the sum of some arms' mean scores; variances, in squared units of the scores (arrays in `_redrawn`)."""

    seeds_A: tuple[float, ...]
    """Of the mean of one seed over the N items, by arm: the effect of the seed, and an Nth of the residual."""
    items: float
    """Of the mean of one item over the S seeds, summed over the arms: the effect of the item, and an Sth of the
    residual."""
    residual_A: tuple[float, ...]
    num_seeds: int
    num_items: int
    items_skewness: float = 0.0
    items_kurtosis: float = 3.0
    """Of the means of the items; 0 and 3 are those of normal ones. For the power alone."""

    @property
    def variance(self) -> Any:
        """Of the mean over seeds and items. Both parts hold the residual; that of the items is left out."""
        of_seeds = sum(variance for variance, _, _ in self._of_seeds())
        return of_seeds / self.num_seeds + self._of_items() / self.num_items

    @property
    def degrees_of_freedom(self) -> Any:
        """Satterthwaite's. What few seeds differ by is more often too little than too much, and then he promises too
        many: it counts S / (S - 1) times here, where it is more than the residual's share.

        At least those of one arm's seeds: where the residual is nearly all, what is left of it would have none.
        """
        counted = [(weight * variance / self.num_seeds, freedom) for variance, freedom, weight in self._of_seeds()]
        whole = sum(variance for variance, _ in counted) + self._of_items() / self.num_items
        of_items = (self.items / self.num_items) ** 2 / (self.num_items - 1)
        estimated = whole**2 / (sum(variance**2 / freedom for variance, freedom in counted) + of_items)
        return np.maximum(self.num_seeds - 1.0, estimated)

    def _of_seeds(self) -> list[tuple[Any, Any, Any]]:
        """By arm: variance of the mean of one seed, the degrees of freedom that it is known with, and its weight among
        these.

        It is the residual's share at least; less than that is chance, and would make the effect of the seeds negative.
        """
        freedom, parts = self.num_seeds - 1, []
        for variance, residual in zip(self.seeds_A, self.residual_A, strict=True):
            share = residual / self.num_items
            is_more = variance > share
            parts.append(
                (
                    np.where(is_more, variance, share),
                    np.where(is_more, freedom, freedom * (self.num_items - 1)),
                    np.where(is_more, self.num_seeds / freedom, 1.0),
                )
            )
        return parts

    def _of_items(self) -> Any:
        """Variance of the effect of an item."""
        return np.maximum(0.0, self.items - sum(self.residual_A) / self.num_seeds)

    def half_width(self, alpha: float) -> float:
        """Of the two-sided (1 - alpha) interval."""
        return float(self._half_widths(alpha)) if self.variance else 0.0

    def _half_widths(self, alpha: float) -> Any:
        return student_t.ppf(1 - alpha / 2, self.degrees_of_freedom) * self.variance**0.5

    def power(self, gain: float, alpha: float) -> float:
        """Probability that the interval leaves out zero where the true mean is `gain`."""
        return self._power(alpha)(gain) if self.variance else float(gain != 0)

    def _power(self, alpha: float) -> Callable[[float], float]:
        """By the gain. Where few items differ, and all one way, a low mean comes with items that seem to differ little.
        That makes the interval narrow just when it is needed, and is told by the skewness."""
        redrawn = self._redrawn()
        half_widths_Q = redrawn._half_widths(alpha)
        covariance = self.items_skewness * self.items**1.5 / self.num_items
        slope = covariance * self._freedom_of_items() / (2 * self.items**2) if self.items else 0.0
        means_Q = slope * (redrawn.items - self.items)  # to be expected of the mean, less the true one
        deviation = (self.variance - slope * covariance) ** 0.5

        def power(gain: float) -> float:
            above_Q, below_Q = half_widths_Q - gain - means_Q, -half_widths_Q - gain - means_Q
            return float((norm.sf(above_Q / deviation) + norm.cdf(below_Q / deviation)).mean())

        return power

    def _freedom_of_items(self) -> float:
        """Degrees of freedom that the variance of the items is known with, which are N - 1 if they are normal."""
        return 2 / ((self.items_kurtosis - 3) / self.num_items + 2 / (self.num_items - 1))

    def _redrawn(self) -> "Spread":
        """What else so many seeds and items could be estimated to differ by, if they differ by this: `NUM_REDRAWN`."""
        generator = np.random.default_rng(0)

        def redrawn(variance: Any, freedom: float) -> Any:
            return variance * generator.chisquare(freedom, NUM_REDRAWN) / freedom

        return replace(
            self,
            seeds_A=tuple(redrawn(variance, self.num_seeds - 1) for variance, _, _ in self._of_seeds()),
            items=redrawn(self.items, self._freedom_of_items()),
        )

    def smallest_detectable(self, alpha: float) -> float:
        """The mean that is told from zero with a probability of `POWER`."""
        if not self.variance:
            return 0.0
        power, top = self._power(alpha), 1.0
        while power(top) < POWER:
            top *= 2
        return float(brentq(lambda gain: power(gain) - POWER, 0, top))

    def at(self, num_seeds: int, num_items: int) -> "Spread":
        """What is to be expected of other numbers of seeds and items."""
        changes_A = [residual / num_items - residual / self.num_items for residual in self.residual_A]
        return replace(
            self,
            seeds_A=tuple(
                float(variance) + change for (variance, _, _), change in zip(self._of_seeds(), changes_A, strict=True)
            ),
            items=float(self._of_items()) + sum(self.residual_A) / num_seeds,
            num_seeds=num_seeds,
            num_items=num_items,
        )

    def seeds_for(self, is_enough: Callable[["Spread"], bool]) -> int | None:
        """The smallest number of seeds above the present one, and up to MAX_SEEDS, with which it is."""
        numbers = range(self.num_seeds + 1, MAX_SEEDS + 1)
        return next((number for number in numbers if is_enough(self.at(number, self.num_items))), None)

    def items_for(self, is_enough: Callable[["Spread"], bool]) -> int | None:
        """A number of items above the present one, to two digits, and up to MAX_TIMES_ITEMS times as many, with which
        it is."""
        numbers = np.geomspace(self.num_items, MAX_TIMES_ITEMS * self.num_items, num=200)[1:]
        rounded = (int(float(f"{number:.1e}")) for number in numbers)
        return next((number for number in rounded if is_enough(self.at(self.num_seeds, number))), None)


def spread_of(*arms_SN: np.ndarray) -> Spread:
    """
    Args:
        arms_SN: scores, one array an arm, all with the same items as columns. Their sum is what is looked at: a
            difference where one comes with its sign turned.
    """
    num_seeds, num_items = arms_SN[0].shape
    item_means_N = np.sum([scores_SN.mean(axis=0) for scores_SN in arms_SN], axis=0)
    deviation = item_means_N.std()
    standard_N = (item_means_N - item_means_N.mean()) / (deviation or 1)
    freedom = (num_seeds - 1) * (num_items - 1)
    return Spread(
        seeds_A=tuple(float(scores_SN.mean(axis=1).var(ddof=1)) for scores_SN in arms_SN),
        items=float(item_means_N.var(ddof=1)),
        residual_A=tuple(float(np.square(_residual(scores_SN)).sum() / freedom) for scores_SN in arms_SN),
        num_seeds=num_seeds,
        num_items=num_items,
        items_skewness=float((standard_N**3).mean()),
        items_kurtosis=float((standard_N**4).mean()) if deviation else 3.0,
    )


def _residual(scores_SN: np.ndarray) -> np.ndarray:
    """What neither the seed nor the item explains."""
    of_seeds, of_items = scores_SN.mean(axis=1, keepdims=True), scores_SN.mean(axis=0, keepdims=True)
    return scores_SN - of_seeds - of_items + scores_SN.mean()
