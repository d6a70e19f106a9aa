"""How many labels the transfer saves: F numbers of labels, S seeds, N test items, in units (graft.transfer.units).

The transfer arm's accuracy is followed from few labels to all, and the number is read off with which it reaches what
the baseline arm has with all labels: the horizontal distance between two learning curves. Between the numbers that were
tried, curves are straight lines over the logarithm of the number of labels.

The interval is that of Fieller: all numbers of labels at which the difference between transfer and baseline with all
labels is not shown, by the same interval of that difference that the verdict rests on (graft.transfer.spread), which
knows that two seeds say little of a third. A bootstrap of seeds does not: of two seeds it draws the same one twice in
half of the cases and puts the variance at half of what it is (`python -m benchmarks.labels_saved` compares the two).

Source: Fieller 1954, "Some Problems in Interval Estimation"; Owen 2007, "The pigeonhole bootstrap", for what is drawn
    instead; Viering and Loog 2022, "The Shape of Learning Curves: a Review".
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from scipy.optimize import isotonic_regression

from graft.core.arms import BASELINE, ArmName
from graft.core.artifacts import Artifact, Interval, Link
from graft.transfer.compare import crossed_interval, gain_spread
from graft.transfer.units import items_in_words


class LabelCount(Artifact):
    """Both arms with so many labelled training samples, each seed with samples of its own choice."""

    num_labels: int
    """Mean over the seeds: where samples come in groups, one seed has a few more than another."""
    accuracy: dict[ArmName, Interval]
    """Of the test split."""
    accuracy_per_seed: dict[ArmName, list[float]]
    curve: dict[ArmName, float]
    """Accuracy on the rising curve through the means."""


class NeededLabels(Artifact):
    """With which the transfer arm is as accurate as the baseline arm with all labels.

    Nothing is known below `fewest`: a number that equals it means that, or fewer. None: more than all.
    """

    fewest: int
    """That were tried."""
    all: int
    labels: float | None
    low: float | None
    """Of the two-sided interval, as `high`."""
    high: float | None

    @property
    def share_saved(self) -> float:
        """Of all labels, 0..1; at least that where `labels` equals `fewest`."""
        return self._saved(self.labels)

    @property
    def share_saved_low(self) -> float:
        return self._saved(self.high)

    @property
    def share_saved_high(self) -> float:
        """At least that where `low` equals `fewest`."""
        return self._saved(self.low)

    @property
    def factor(self) -> float:
        """All labels over those needed; 1 where none are saved."""
        return self.all / (self.all if self.labels is None else self.labels)

    def _saved(self, labels: float | None) -> float:
        return 0.0 if labels is None else 1 - labels / self.all

    @property
    def saved_in_words(self) -> str:
        """As "75 % fewer [60 % to 85 %]"."""
        low = "none to " if self.high is None else f"{100 * self.share_saved_low:.0f} % to "
        high = f"{100 * self.share_saved_high:.0f} %"
        if self.labels is None:
            return "none saved" if self.low is None else f"none saved [at most {high}]"
        at_least = "at least " if self.labels == self.fewest else ""
        or_more = " or more" if self.low == self.fewest else ""
        from_low = "" if self.high == self.low else low
        return f"{at_least}{100 * self.share_saved:.0f} % fewer [{from_low}{high}{or_more}]"


class LabelsSaved(Link):
    """What is said of it: artifacts/labels/result.json."""

    NAME: ClassVar = "labels/result.json"

    claim: str
    """One sentence."""
    alpha: float
    """Two-sided, of all intervals here."""
    seeds: list[int]
    num_test: int
    num_test_units: int
    """Groups of test items, and items that belong to none."""
    counts: list[LabelCount]
    """Fewest labels first; the last are all."""
    needed: NeededLabels | None
    """None where all labels are the only number that was tried."""
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
    """
    Args:
        num_labels_F: rising.
        correct: of each arm [F, S, N], 1 where the model of a seed is right on an item, else 0.
        groups_N: names of the units that the items belong to; None: each item is one.
        alpha: two-sided, of the accuracies' intervals (`graft.transfer.compare.crossed_interval`).
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
    """The number of labels with which transfer reaches baseline with all of them, and its interval.

    The interval reaches from the first number of labels at which transfer may be as good (the difference's interval
    ends at zero or above) to the last at which it may be worse (it begins below zero).

    Args:
        num_labels_F: rising, at least two; the last are all.
        transfer_FSN: 1 where the model of a seed is right on an item, else 0.
        baseline_SN: the same, with all labels, of the same items.
        groups_N: names of the units that the items belong to; None: each item is one.
        alpha: two-sided.
    """
    gains_F = [
        gain_spread(transfer_SN, baseline_SN, groups_N=groups_N, span=1.0).interval(alpha)
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
        # the curve rises, the gains need not: what it says is never left out
        low=low if labels is None or low is None else min(low, labels),
        high=high if labels is None or high is None else max(high, labels),
    )


def rising_curve(values_F: np.ndarray) -> np.ndarray:
    """The nearest values, by least squares, that never fall as the labels become more (isotonic regression)."""
    return isotonic_regression(values_F).x


def first_not_below_zero(num_labels_F: Sequence[int], values_F: np.ndarray) -> float | None:
    """Labels at which the line through the values first reaches zero; None: it never does."""
    reached = np.flatnonzero(values_F >= 0)
    if not len(reached):
        return None
    return _zero_before(num_labels_F, values_F, int(reached[0]))


def last_below_zero(num_labels_F: Sequence[int], values_F: np.ndarray) -> float | None:
    """Labels from which on the line through the values stays at zero or above; None: it ends below."""
    below = np.flatnonzero(values_F < 0)
    if len(below) and below[-1] == len(values_F) - 1:
        return None
    return _zero_before(num_labels_F, values_F, int(below[-1]) + 1 if len(below) else 0)


def _zero_before(num_labels_F: Sequence[int], values_F: np.ndarray, number: int) -> float:
    """Where the line from the number before, which is below zero, to this one reaches zero; over the logarithm."""
    if number == 0:
        return float(num_labels_F[0])
    before, here = values_F[number - 1], values_F[number]
    share = -before / (here - before)
    logs = np.log([num_labels_F[number - 1], num_labels_F[number]])
    return float(np.exp(logs[0] + share * (logs[1] - logs[0])))


def claim_of(needed: NeededLabels | None) -> str:
    """One sentence that the numbers support."""
    if needed is None:
        return "How many labels the transfer saves was not looked at: both arms were trained with all labels only."
    of_all = f"{needed.all:,} labels"
    if needed.labels is None:
        return (
            f"Transfer does not reach, with all {of_all}, what training {BASELINE.how} reaches with them: "
            f"{needed.saved_in_words}."
        )
    or_fewer = " or fewer (the fewest that were tried)" if needed.labels == needed.fewest else ""
    or_more = " or more" if or_fewer else ""
    return (
        f"With {math.ceil(needed.labels):,} of {of_all}{or_fewer} transfer is as accurate as training {BASELINE.how} "
        f"with all of them: {needed.saved_in_words}, a factor of {needed.factor:.1f}{or_more}."
    )
