"""Labels that the transfer saves: F numbers of labels, S seeds, N test items, in units (graft.statistics.units).

The transfer arm is trained with few labels up to all of them. The needed number is where its accuracy reaches that of
the baseline arm with all labels: the horizontal distance between two learning curves. Between the numbers that were
tried, curves are straight lines over the logarithm of the number of labels.

The interval is Fieller's: all numbers of labels at which transfer and the baseline with all labels do not differ
significantly, by the interval that the verdict rests on (graft.statistics.variance_components), which accounts for two
seeds saying little about a third. A bootstrap of seeds does not: from two seeds it draws the same one twice in half of
the cases and halves the variance (`python -m benchmarks.labels_saved` compares the two).

Source: Fieller 1954, "Some Problems in Interval Estimation"; Owen 2007, "The pigeonhole bootstrap", for the bootstrap;
    Viering and Loog 2022, "The Shape of Learning Curves: a Review".
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from scipy.optimize import isotonic_regression

from graft.core.arms import BASELINE, ArmName
from graft.core.artifacts import Artifact, Interval, Link
from graft.statistics.units import items_in_words
from graft.transfer.compare import crossed_interval, gain_components


class LabelCount(Artifact):
    """Results of both arms with one number of labelled training samples; each seed has its own choice of samples."""

    num_labels: int
    """Mean over the seeds; if samples come in groups, seeds differ by a few samples."""
    accuracy: dict[ArmName, Interval]
    """Test accuracy, 0..1."""
    accuracy_per_seed: dict[ArmName, list[float]]
    curve: dict[ArmName, float]
    """Accuracy on the monotonic curve through the means, 0..1."""


class NeededLabels(Artifact):
    """Number of labels with which the transfer arm is as accurate as the baseline arm with all labels.

    Nothing is known below `fewest`: a number that equals it means that number or fewer. None: more than all labels.
    """

    fewest: int
    """Smallest number of labels tried."""
    all: int
    labels: float | None
    low: float | None
    """Lower end of the two-sided interval."""
    high: float | None
    """Upper end of the interval."""

    @property
    def share_saved(self) -> float:
        """Share of all labels that is saved, 0..1; a lower bound if `labels` equals `fewest`."""
        return self._saved(self.labels)

    @property
    def share_saved_low(self) -> float:
        return self._saved(self.high)

    @property
    def share_saved_high(self) -> float:
        """Upper end of the interval, 0..1; a lower bound of it if `low` equals `fewest`."""
        return self._saved(self.low)

    @property
    def factor(self) -> float:
        """Ratio of all labels to those needed; 1 if none are saved."""
        return self.all / (self.all if self.labels is None else self.labels)

    def _saved(self, labels: float | None) -> float:
        return 0.0 if labels is None else 1 - labels / self.all

    @property
    def saved_in_words(self) -> str:
        """Share of the labels saved, such as "75 % fewer [60 % to 85 %]"."""
        low = "none to " if self.high is None else f"{100 * self.share_saved_low:.0f} % to "
        high = f"{100 * self.share_saved_high:.0f} %"
        if self.labels is None:
            return "none saved" if self.low is None else f"none saved [at most {high}]"
        at_least = "at least " if self.labels == self.fewest else ""
        or_more = " or more" if self.low == self.fewest else ""
        from_low = "" if self.high == self.low else low
        return f"{at_least}{100 * self.share_saved:.0f} % fewer [{from_low}{high}{or_more}]"


class LabelsSaved(Link):
    """Result of the stage count_labels: artifacts/labels/result.json."""

    NAME: ClassVar = "labels/result.json"

    claim: str
    """One sentence."""
    alpha: float
    """Two-sided level of all intervals here."""
    seeds: list[int]
    num_test: int
    num_test_units: int
    """Number of groups of test items, plus items that belong to none."""
    counts: list[LabelCount]
    """Results per number of labels, smallest number first; the last has all labels."""
    needed: NeededLabels | None
    """None if only all labels were tried."""
    skipped: dict[str, str]
    """Fraction of the labels -> why nothing was trained with it."""

    @property
    def test_in_words(self) -> str:
        return items_in_words(self.num_test, self.num_test_units)


def counts_of(
    num_labels_F: Sequence[int],
    correct: dict[ArmName, np.ndarray],
    *,
    groups_N: np.ndarray | None = None,
    alpha: float,
) -> list[LabelCount]:
    """Results per number of labels.

    Args:
        num_labels_F: in increasing order.
        correct: arrays [F, S, N] by arm: 1 where the model of a seed is correct on an item, else 0.
        groups_N: names of the units that the items belong to; None: each item is one.
        alpha: two-sided level of the accuracies' intervals (`graft.transfer.compare.crossed_interval`).
    """
    curves = {arm: rising_curve(correct_FSN.mean(axis=(1, 2))) for arm, correct_FSN in correct.items()}
    return [
        LabelCount(
            num_labels=num_labels,
            accuracy={
                arm: crossed_interval(correct_FSN[number], groups_N=groups_N, alpha=alpha)
                for arm, correct_FSN in correct.items()
            },
            accuracy_per_seed={arm: correct_FSN[number].mean(axis=1).tolist() for arm, correct_FSN in correct.items()},
            curve={arm: float(curve_F[number]) for arm, curve_F in curves.items()},
        )
        for number, num_labels in enumerate(num_labels_F)
    ]


def needed_labels(
    num_labels_F: Sequence[int],
    transfer_FSN: np.ndarray,
    baseline_SN: np.ndarray,
    *,
    groups_N: np.ndarray | None = None,
    alpha: float,
) -> NeededLabels:
    """Number of labels with which transfer reaches the baseline with all of them, and its interval.

    The interval extends from the first number of labels at which transfer may be as good (the difference's interval
    ends at zero or above) to the last at which it may be worse (it begins below zero).

    Args:
        num_labels_F: in increasing order, at least two; the last is all labels.
        transfer_FSN: 1 where the model of a seed is correct on an item, else 0.
        baseline_SN: the same for the baseline with all labels, on the same items.
        groups_N: names of the units that the items belong to; None: each item is one.
        alpha: two-sided level.
    """
    gains_F = [
        gain_components(transfer_SN, baseline_SN, groups_N=groups_N, span=1.0).interval(alpha)
        for transfer_SN in transfer_FSN
    ]
    mean_F = rising_curve(np.array([gain.mean for gain in gains_F]))
    labels = first_not_below_zero(num_labels_F, mean_F)
    low = first_not_below_zero(num_labels_F, np.array([gain.high for gain in gains_F]))
    high = last_below_zero(num_labels_F, np.array([gain.low for gain in gains_F]))
    return NeededLabels(
        fewest=num_labels_F[0],
        all=num_labels_F[-1],
        labels=labels,
        # the curve is monotonic, the gains need not be: the interval always includes its number
        low=low if labels is None or low is None else min(low, labels),
        high=high if labels is None or high is None else max(high, labels),
    )


def rising_curve(values_F: np.ndarray) -> np.ndarray:
    """Nearest values, by least squares, that never fall as the number of labels grows (isotonic regression)."""
    return isotonic_regression(values_F).x


def first_not_below_zero(num_labels_F: Sequence[int], values_F: np.ndarray) -> float | None:
    """Number of labels at which the line through the values first reaches zero; None: it never does."""
    reached = np.flatnonzero(values_F >= 0)
    if not len(reached):
        return None
    return _zero_before(num_labels_F, values_F, int(reached[0]))


def last_below_zero(num_labels_F: Sequence[int], values_F: np.ndarray) -> float | None:
    """Number of labels from which the line through the values stays at zero or above; None: it ends below."""
    below = np.flatnonzero(values_F < 0)
    if len(below) and below[-1] == len(values_F) - 1:
        return None
    return _zero_before(num_labels_F, values_F, int(below[-1]) + 1 if len(below) else 0)


def _zero_before(num_labels_F: Sequence[int], values_F: np.ndarray, number: int) -> float:
    """Number of labels at which the line from the previous value, below zero, reaches zero; over the logarithm."""
    if number == 0:
        return float(num_labels_F[0])
    before, here = values_F[number - 1], values_F[number]
    share = -before / (here - before)
    logs = np.log([num_labels_F[number - 1], num_labels_F[number]])
    return float(np.exp(logs[0] + share * (logs[1] - logs[0])))


def claim_of(needed: NeededLabels | None) -> str:
    """Sentence that the numbers support."""
    if needed is None:
        return "The number of labels saved was not measured: both arms were trained with all labels only."
    of_all = f"{needed.all:,} labels"
    if needed.labels is None:
        return (
            f"With all {of_all}, transfer does not reach the accuracy of training {BASELINE.how}: "
            f"{needed.saved_in_words}."
        )
    or_fewer = " or fewer (the smallest number tried)" if needed.labels == needed.fewest else ""
    or_more = " or more" if or_fewer else ""
    return (
        f"With {math.ceil(needed.labels):,} of {of_all}{or_fewer} transfer is as accurate as training {BASELINE.how} "
        f"with all of them: {needed.saved_in_words}, a factor of {needed.factor:.1f}{or_more}."
    )
