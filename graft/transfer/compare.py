"""The comparison of two arms over the same test items: S seeds, N items, G units of these."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from graft.core.artifacts import Interval
from graft.core.errors import UnpairedRunsError
from graft.data.units import unit_numbers
from graft.transfer.improvement import improvement, share_of_pairs
from graft.transfer.item_intervals import item_interval
from graft.transfer.spread import Spread, spread_of
from graft.transfer.units import MIN_UNITS, num_units
from graft.transfer.verdict import VerdictWord

MIN_SEEDS_TO_FORECAST = 3
"""With fewer it is not said how many more would decide: what two runs of an arm differ by says nothing of others."""


@dataclass(frozen=True)
class Comparison:
    gain_points: Interval
    """Transfer minus baseline, in points: hundredths of the score."""
    gain_points_per_seed: list[float]
    num_units: int
    """Independent units among the test items: groups, and items that belong to none."""
    improvement: Interval | None
    """Probability (0..1) that a run with transfer beats one without; None where scores are not right and wrong."""
    share_of_pairs: float
    """Share of the pairs of runs seen in which transfer was better, ties counting half."""
    shipped_gain_points: Interval | None
    """The same difference between the models that each arm would ship; counts units alone. None where it is not known
    which these are."""
    seed_spread_points: float
    """Standard deviation of the gain from seed to seed, on these items."""
    smallest_detectable_points: float
    """True gain that so many seeds and items, as different as these, find with a probability of 80 %."""
    unexaggerated_points: float
    """The gain, less what such gains are overestimated by because they were just found (`Spread.unexaggerated`)."""
    mcnemar_p: float | None
    """None where the scores are not right and wrong."""
    num_only_transfer_right: int
    num_only_baseline_right: int
    verdict: VerdictWord
    seeds_needed: int | None
    """Where inconclusive: so many in all would decide, if gain and spread stay; None: no number of seeds would, or
    there are fewer than MIN_SEEDS_TO_FORECAST to tell it from."""
    units_needed: int | None
    """The same for units of test items, with the seeds that there are."""


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
    """Whether starting from the source helped, hurt, made no difference that matters, or cannot be told.

    Three questions are asked: what is the mean gain over runs (`graft.transfer.spread`), how probable is it that a run
    with transfer beats one without (`graft.transfer.improvement`), and what do the models that would be shipped differ
    by. `verdict_of_all` makes one verdict of them.
    McNemar's exact test is on what more than half of the seeds get right, a second opinion that counts units alone.

    Args:
        transfer_SN, baseline_SN: 1 where the seed's model was right on the item, else 0; or any other score of which
            more is better, as minus the log-loss. Column n is the same test item in both. Rows are seeds; those of the
            two arms share nothing but their number.
        groups_N: names of the independent units that the items belong to; None: each item is one.
        margin_points: differences up to this do not matter.
        alpha: two-sided level of every interval.
        shipped: rows of the models that each arm would ship.
        guessing_N: 1 where always answering the most frequent class is right; see `graft.transfer.improvement`.
    Raises:
        UnpairedRunsError: the two arrays differ in shape, or hold fewer than two seeds or units.
    Source: Wang et al. 2019, "Characterizing and Avoiding Negative Transfer", for the gap; McNemar 1947; Schuirmann
        1987 for equivalence (he takes a (1 - 2 alpha) interval; this one is stricter).
    """
    number = num_units(groups_N, transfer_SN.shape[-1])
    if transfer_SN.shape != baseline_SN.shape or min(*transfer_SN.shape, number) < 2:
        raise UnpairedRunsError(
            f"the arms have {transfer_SN.shape} and {baseline_SN.shape} (seeds, test items) in {number} group(s); they "
            "must have the same, at least two seeds and two groups. Train both arms with the same arms.seeds and "
            "manifest."
        )
    ours_SN, theirs_SN = 100.0 * transfer_SN.astype(float), 100.0 * baseline_SN.astype(float)
    is_right_or_wrong = bool(np.isin([transfer_SN, baseline_SN], [0, 1]).all())
    span = 100.0 if is_right_or_wrong else span_of(ours_SN, theirs_SN)
    spread = gain_spread(ours_SN, theirs_SN, groups_N=groups_N, span=span)
    gain = spread.interval(alpha)
    better = None
    if is_right_or_wrong:
        better = improvement(transfer_SN, baseline_SN, groups_N=groups_N, alpha=alpha, guessing_N=guessing_N)
    of_shipped = None
    if shipped is not None:
        difference_N = ours_SN[shipped[0]] - theirs_SN[shipped[1]]
        of_shipped = item_interval(difference_N, groups_N, bounds=(-span, span), confidence=1 - alpha)
    verdict = verdict_of_all(gain, better, of_shipped, margin_points) if number >= MIN_UNITS else "inconclusive"
    is_open = verdict == "inconclusive"
    may_forecast = is_open and len(transfer_SN) >= MIN_SEEDS_TO_FORECAST

    def decides(other: Spread) -> bool:
        return other.num_units >= MIN_UNITS and verdict_of(other.interval(alpha), margin_points) != "inconclusive"

    only_transfer, only_baseline, mcnemar_p = _mcnemar(transfer_SN, baseline_SN, groups_N)
    differences_S = (ours_SN - theirs_SN).mean(axis=1)
    return Comparison(
        gain_points=gain.within(-span, span),
        gain_points_per_seed=differences_S.tolist(),
        num_units=number,
        improvement=better,
        share_of_pairs=share_of_pairs(transfer_SN, baseline_SN),
        shipped_gain_points=of_shipped,
        seed_spread_points=float(differences_S.std(ddof=1)),
        smallest_detectable_points=spread.smallest_detectable(alpha),
        unexaggerated_points=spread.unexaggerated(alpha),
        mcnemar_p=mcnemar_p,
        num_only_transfer_right=only_transfer,
        num_only_baseline_right=only_baseline,
        verdict=verdict,
        seeds_needed=spread.seeds_for(decides) if may_forecast else None,
        units_needed=spread.units_for(decides) if may_forecast else None,
    )


def gain_spread(
    ours_SN: np.ndarray, theirs_SN: np.ndarray, *, span: float, groups_N: np.ndarray | None = None
) -> Spread:
    """Spread of the mean difference of two arms' scores.

    Args:
        span: the most that two scores of an item can differ by.
    """
    return spread_of(ours_SN, -theirs_SN, bounds=(-span, span), groups_N=groups_N)


def span_of(ours_SN: np.ndarray, theirs_SN: np.ndarray) -> float:
    """The most that two scores of an item can differ by, of scores without known bounds: as far as those seen reach,
    zero included; above 0."""
    lowest, highest = min(ours_SN.min(), theirs_SN.min(), 0.0), max(ours_SN.max(), theirs_SN.max(), 0.0)
    return float(highest - lowest) or 1.0


def crossed_interval(correct_SN: np.ndarray, *, alpha: float, groups_N: np.ndarray | None = None) -> Interval:
    """Accuracy (0..1) of one arm with a two-sided (1 - alpha) interval that counts seeds and units as samples."""
    return spread_of(correct_SN, bounds=(0.0, 1.0), groups_N=groups_N).interval(alpha).within(0, 1)


def verdict_of_all(
    gain: Interval, better: Interval | None, of_shipped: Interval | None, margin_points: float
) -> VerdictWord:
    """One verdict of up to three questions.

    Equivalent: the whole interval of the mean gain lies within the margin, on whichever side of zero; a difference
    that is certain and too small to matter is equivalent too. Positive: the mean gain is surely above zero, or a run
    with transfer surely beats one without more often than not, and no question is surely answered the other way.
    Negative: the mirror image. Else inconclusive.
    """
    if is_within(gain, margin_points):
        return "equivalent"
    sides = [side_of(gain)]
    sides += [side_of(better, middle=0.5)] if better is not None else []
    deciding = set(sides) - {0}
    against = {side_of(of_shipped)} - {0} if of_shipped is not None else set()
    if len(deciding | against) != 1 or not deciding:
        return "inconclusive"
    return "positive" if deciding == {1} else "negative"


def verdict_of(gain: Interval, margin_points: float) -> VerdictWord:
    """Verdict on the mean gain alone: see `verdict_of_all`."""
    return verdict_of_all(gain, None, None, margin_points)


def is_within(gain: Interval, margin_points: float) -> bool:
    return -margin_points < gain.low and gain.high < margin_points


def side_of(interval: Interval, middle: float = 0.0) -> int:
    """1 where all of it lies above the middle, -1 where all of it lies below, else 0."""
    return int(interval.low > middle) - int(interval.high < middle)


def _mcnemar(
    transfer_SN: np.ndarray, baseline_SN: np.ndarray, groups_N: np.ndarray | None
) -> tuple[int, int, float | None]:
    """Items that the majority of the seeds gets right in one arm alone, and the p-value.

    A unit of several items has one vote, for the arm that more of its items speak for (the sign test over units).
    """
    if not np.isin([transfer_SN, baseline_SN], [0, 1]).all():
        return 0, 0, None
    transfer_right_N, baseline_right_N = transfer_SN.mean(axis=0) > 0.5, baseline_SN.mean(axis=0) > 0.5
    only_transfer = int((transfer_right_N & ~baseline_right_N).sum())
    only_baseline = int((baseline_right_N & ~transfer_right_N).sum())
    votes_N = transfer_right_N.astype(float) - baseline_right_N
    votes_G = np.bincount(unit_numbers(groups_N, len(votes_N)), weights=votes_N)
    for_transfer, for_baseline = int((votes_G > 0).sum()), int((votes_G < 0).sum())
    num_votes = for_transfer + for_baseline
    return only_transfer, only_baseline, binomtest(for_transfer, num_votes).pvalue if num_votes else 1.0
