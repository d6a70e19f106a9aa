"""Comparison of two arms on the same test items: S seeds, N items, G units of items."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from graft.core.artifacts import Interval
from graft.core.errors import UnpairedRunsError
from graft.statistics.intervals import item_interval
from graft.statistics.units import MIN_UNITS, num_units, unit_numbers
from graft.statistics.variance_components import VarianceComponents, variance_components
from graft.transfer.improvement import improvement, share_of_pairs
from graft.transfer.verdict import VerdictWord

MIN_SEEDS_TO_FORECAST = 3
"""Fewest seeds from which a needed number is forecast: the difference between two runs says nothing about others."""


@dataclass(frozen=True)
class Comparison:
    gain_points: Interval
    """Transfer minus baseline, in points: hundredths of the score."""
    gain_points_per_seed: list[float]
    num_units: int
    """Independent units among the test items: groups, and items that belong to none."""
    improvement: Interval | None
    """Probability (0..1) that a run with transfer beats one without; None if scores are not 1 or 0."""
    share_of_pairs: float
    """Share of the observed pairs of runs in which transfer was better; ties count half."""
    shipped_gain_points: Interval | None
    """Difference between the models that each arm would export; the interval counts units alone. None if these models
    are not known."""
    seed_spread_points: float
    """Standard deviation of the gain between seeds, on these items."""
    smallest_detectable_points: float
    """True gain that is found with a probability of 80 % with this number and variance of seeds and items."""
    unexaggerated_points: float
    """Gain, corrected for the overestimation of gains that are only just significant: see
    `VarianceComponents.unexaggerated`."""
    mcnemar_p: float | None
    """None if scores are not 1 or 0."""
    num_only_transfer_right: int
    num_only_baseline_right: int
    verdict: VerdictWord
    seeds_needed: int | None
    """Total number of seeds that would decide an inconclusive verdict if gain and variance stayed the same; None: no
    number would, it is decided, or there are fewer than MIN_SEEDS_TO_FORECAST seeds."""
    units_needed: int | None
    """Total number of units of test items that would decide, with the present seeds; None as for `seeds_needed`."""


def compare(
    transfer_SN: np.ndarray,
    baseline_SN: np.ndarray,
    *,
    groups_N: np.ndarray | None = None,
    margin_points: float,
    alpha: float,
    shipped: tuple[int, int] | None = None,
    guessing_N: np.ndarray | None = None,
) -> Comparison:
    """Verdict on starting from the source: it helped, hurt, made no difference that matters, or is inconclusive.

    Three quantities are estimated: the mean gain over runs (`graft.statistics.variance_components`), the probability
    that a run with transfer beats one without (`graft.transfer.improvement`), and the difference between the models
    that would be exported. `verdict_of_all` combines them into one verdict.
    McNemar's exact test on the items that more than half of the seeds predict correctly is a second opinion that counts
    units alone.

    Args:
        transfer_SN, baseline_SN: 1 where the seed's model is correct on the item, else 0; or any other score of which
            more is better, such as minus the log-loss. Column n is the same test item in both. Rows are seeds; those of
            the two arms share only their number.
        groups_N: names of the independent units that the items belong to; None: each item is one.
        margin_points: largest difference that does not matter.
        alpha: two-sided level of every interval.
        shipped: rows of the models that each arm would export.
        guessing_N: 1 where always predicting the most frequent class is correct; see `graft.transfer.improvement`.
    Raises:
        UnpairedRunsError: the two arrays differ in shape, or hold fewer than two seeds or units.
    Source: Wang et al. 2019, "Characterizing and Avoiding Negative Transfer", for the gap; McNemar 1947; Schuirmann
        1987 for equivalence (he takes a (1 - 2 alpha) interval; this one is stricter).
    """
    number = num_units(groups_N, transfer_SN.shape[-1])
    if transfer_SN.shape != baseline_SN.shape or min(*transfer_SN.shape, number) < 2:
        raise UnpairedRunsError(
            f"the arms have {transfer_SN.shape} and {baseline_SN.shape} (seeds, test items) in {number} group(s); both "
            "need the same shape, and at least two seeds and two groups. Train both arms with the same arms.seeds and "
            "manifest."
        )
    ours_SN, theirs_SN = 100.0 * transfer_SN.astype(float), 100.0 * baseline_SN.astype(float)
    is_zero_or_one = bool(np.isin([transfer_SN, baseline_SN], [0, 1]).all())
    span = 100.0 if is_zero_or_one else span_of(ours_SN, theirs_SN)
    components = gain_components(ours_SN, theirs_SN, groups_N=groups_N, span=span)
    gain = components.interval(alpha)
    better = None
    if is_zero_or_one:
        better = improvement(transfer_SN, baseline_SN, groups_N=groups_N, alpha=alpha, guessing_N=guessing_N)
    exported_gain = None
    if shipped is not None:
        difference_N = ours_SN[shipped[0]] - theirs_SN[shipped[1]]
        exported_gain = item_interval(difference_N, groups_N, bounds=(-span, span), confidence=1 - alpha)
    verdict = verdict_of_all(gain, better, exported_gain, margin_points) if number >= MIN_UNITS else "inconclusive"
    is_open = verdict == "inconclusive"
    may_forecast = is_open and len(transfer_SN) >= MIN_SEEDS_TO_FORECAST

    def decides(other: VarianceComponents) -> bool:
        return other.num_units >= MIN_UNITS and verdict_of(other.interval(alpha), margin_points) != "inconclusive"

    only_transfer, only_baseline, mcnemar_p = _mcnemar(transfer_SN, baseline_SN, groups_N)
    differences_S = (ours_SN - theirs_SN).mean(axis=1)
    return Comparison(
        gain_points=gain.within(-span, span),
        gain_points_per_seed=differences_S.tolist(),
        num_units=number,
        improvement=better,
        share_of_pairs=share_of_pairs(transfer_SN, baseline_SN),
        shipped_gain_points=exported_gain,
        seed_spread_points=float(differences_S.std(ddof=1)),
        smallest_detectable_points=components.smallest_detectable(alpha),
        unexaggerated_points=components.unexaggerated(alpha),
        mcnemar_p=mcnemar_p,
        num_only_transfer_right=only_transfer,
        num_only_baseline_right=only_baseline,
        verdict=verdict,
        seeds_needed=components.seeds_for(decides) if may_forecast else None,
        units_needed=components.units_for(decides) if may_forecast else None,
    )


def gain_components(
    ours_SN: np.ndarray, theirs_SN: np.ndarray, *, span: float, groups_N: np.ndarray | None = None
) -> VarianceComponents:
    """Variance components of the mean difference between two arms' scores.

    Args:
        span: largest possible difference between two scores of an item.
    """
    return variance_components(ours_SN, -theirs_SN, bounds=(-span, span), groups_N=groups_N)


def span_of(ours_SN: np.ndarray, theirs_SN: np.ndarray) -> float:
    """Largest possible difference between two scores of an item if the scores have no known bounds: the observed range,
    zero included; above 0."""
    lowest, highest = min(ours_SN.min(), theirs_SN.min(), 0.0), max(ours_SN.max(), theirs_SN.max(), 0.0)
    return float(highest - lowest) or 1.0


def crossed_interval(correct_SN: np.ndarray, *, alpha: float, groups_N: np.ndarray | None = None) -> Interval:
    """Accuracy (0..1) of one arm with a two-sided (1 - alpha) interval that counts seeds and units as samples."""
    return variance_components(correct_SN, bounds=(0.0, 1.0), groups_N=groups_N).interval(alpha).within(0, 1)


def verdict_of_all(
    gain: Interval, better: Interval | None, exported_gain: Interval | None, margin_points: float
) -> VerdictWord:
    """One verdict from up to three intervals.

    Equivalent: the whole interval of the mean gain is within the margin, on either side of zero; a difference that is
    significant but too small to matter is equivalent too. Positive: the interval of the mean gain is above zero, or
    that of the probability of improvement above one half, and no interval is on the opposite side. Negative: the mirror
    image. Otherwise inconclusive.
    """
    if is_within(gain, margin_points):
        return "equivalent"
    sides = [side_of(gain)]
    sides += [side_of(better, middle=0.5)] if better is not None else []
    deciding = set(sides) - {0}
    against = {side_of(exported_gain)} - {0} if exported_gain is not None else set()
    if len(deciding | against) != 1 or not deciding:
        return "inconclusive"
    return "positive" if deciding == {1} else "negative"


def verdict_of(gain: Interval, margin_points: float) -> VerdictWord:
    """Verdict on the mean gain alone: see `verdict_of_all`."""
    return verdict_of_all(gain, None, None, margin_points)


def is_within(gain: Interval, margin_points: float) -> bool:
    return -margin_points < gain.low and gain.high < margin_points


def side_of(interval: Interval, middle: float = 0.0) -> int:
    """1 if the whole interval is above the middle, -1 if it is below, else 0."""
    return int(interval.low > middle) - int(interval.high < middle)


def _mcnemar(
    transfer_SN: np.ndarray, baseline_SN: np.ndarray, groups_N: np.ndarray | None
) -> tuple[int, int, float | None]:
    """Numbers of items that most seeds predict correctly in one arm only, and the p-value.

    A unit of several items has one vote, for the arm that is better on more of its items (the sign test over units).
    """
    if not np.isin([transfer_SN, baseline_SN], [0, 1]).all():
        return 0, 0, None
    transfer_correct_N, baseline_correct_N = transfer_SN.mean(axis=0) > 0.5, baseline_SN.mean(axis=0) > 0.5
    only_transfer = int((transfer_correct_N & ~baseline_correct_N).sum())
    only_baseline = int((baseline_correct_N & ~transfer_correct_N).sum())
    votes_N = transfer_correct_N.astype(float) - baseline_correct_N
    votes_G = np.bincount(unit_numbers(groups_N, len(votes_N)), weights=votes_N)
    for_transfer, for_baseline = int((votes_G > 0).sum()), int((votes_G < 0).sum())
    num_votes = for_transfer + for_baseline
    return only_transfer, only_baseline, binomtest(for_transfer, num_votes).pvalue if num_votes else 1.0
