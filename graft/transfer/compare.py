"""The comparison of two arms over the same test items: S seeds, N items."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from graft.artifacts import Interval
from graft.errors import UnpairedRunsError
from graft.transfer.spread import Spread, spread_of
from graft.transfer.verdict import VerdictWord


@dataclass(frozen=True)
class Comparison:
    gain_points: Interval
    """transfer minus scratch, in points: hundredths of the score."""
    gain_points_per_seed: list[float]
    seed_spread_points: float
    """Standard deviation of the gain from seed to seed, on these items."""
    smallest_detectable_points: float
    """True gain that so many seeds and items, as different as these, find with a probability of 80 %."""
    mcnemar_p: float | None
    """None where the scores are not right and wrong."""
    num_only_transfer_right: int
    num_only_scratch_right: int
    verdict: VerdictWord
    seeds_needed: int | None
    """Where inconclusive: so many in all would decide, if gain and spread stay; None: no number of seeds would."""
    items_needed: int | None
    """The same for test items, with the seeds that there are."""


def compare(
    transfer_correct_SN: np.ndarray, scratch_correct_SN: np.ndarray, *, margin_points: float, alpha: float
) -> Comparison:
    """Whether starting from the source helped, hurt, made no difference that matters, or cannot be told.

    Equivalent: the whole (1 - alpha) interval of the gain lies within the margin, on whichever side of zero; a
    difference that is certain and too small to matter is equivalent too. Positive: the interval lies above zero;
    negative: below; else inconclusive. How the interval comes about: `graft.transfer.spread`.
    McNemar's exact test is on what more than half of the seeds get right, a second opinion that counts items alone.

    Args:
        transfer_correct_SN, scratch_correct_SN: 1 where the seed's model was right on the item, else 0; or any other
            score of which more is better, as minus the log-loss. Column n is the same test item in both. Rows are
            seeds; those of the two arms share nothing but their number.
        margin_points: differences up to this do not matter.
    Raises:
        UnpairedRunsError: the two arrays differ in shape, or hold fewer than two seeds or items.
    Source: Wang et al. 2019, "Characterizing and Avoiding Negative Transfer", for the gap; McNemar 1947; Schuirmann
        1987 for equivalence (he takes a (1 - 2 alpha) interval; this one is stricter).
    """
    if transfer_correct_SN.shape != scratch_correct_SN.shape or min(transfer_correct_SN.shape) < 2:
        raise UnpairedRunsError(
            f"the arms have {transfer_correct_SN.shape} and {scratch_correct_SN.shape} (seeds, test items); they must "
            "have the same, at least two of each. Train both arms with the same arms.seeds and manifest."
        )
    transfer_SN, scratch_SN = 100.0 * transfer_correct_SN.astype(float), 100.0 * scratch_correct_SN.astype(float)
    differences_S = (transfer_SN - scratch_SN).mean(axis=1)
    spread = spread_of(transfer_SN, -scratch_SN)
    gain = interval_of(differences_S.mean(), spread, alpha)
    verdict = verdict_of(gain, margin_points)
    is_open = verdict == "inconclusive"

    def decides(other: Spread) -> bool:
        return verdict_of(interval_of(gain.mean, other, alpha), margin_points) != "inconclusive"

    only_transfer, only_scratch, mcnemar_p = _mcnemar(transfer_correct_SN, scratch_correct_SN)
    return Comparison(
        gain_points=gain,
        gain_points_per_seed=differences_S.tolist(),
        seed_spread_points=float(differences_S.std(ddof=1)),
        smallest_detectable_points=spread.smallest_detectable(alpha),
        mcnemar_p=mcnemar_p,
        num_only_transfer_right=only_transfer,
        num_only_scratch_right=only_scratch,
        verdict=verdict,
        seeds_needed=spread.seeds_for(decides) if is_open else None,
        items_needed=spread.items_for(decides) if is_open else None,
    )


def crossed_interval(scores_SN: np.ndarray, *, alpha: float) -> Interval:
    """Mean of one arm's scores with a two-sided (1 - alpha) interval that counts both seeds and items as samples."""
    return interval_of(scores_SN.mean(), spread_of(scores_SN.astype(float)), alpha)


def interval_of(mean: float, spread: Spread, alpha: float) -> Interval:
    """Two-sided, of level 1 - alpha."""
    half = spread.half_width(alpha)
    return Interval(mean=mean, low=mean - half, high=mean + half)


def verdict_of(gain: Interval, margin_points: float) -> VerdictWord:
    """See `compare`."""
    if -margin_points < gain.low and gain.high < margin_points:
        return "equivalent"
    return "positive" if gain.low > 0 else "negative" if gain.high < 0 else "inconclusive"


def _mcnemar(transfer_SN: np.ndarray, scratch_SN: np.ndarray) -> tuple[int, int, float | None]:
    """Items that the majority of the seeds gets right in one arm alone, and the p-value."""
    if not np.isin([transfer_SN, scratch_SN], [0, 1]).all():
        return 0, 0, None
    transfer_right_N, scratch_right_N = transfer_SN.mean(axis=0) > 0.5, scratch_SN.mean(axis=0) > 0.5
    only_transfer = int((transfer_right_N & ~scratch_right_N).sum())
    only_scratch = int((scratch_right_N & ~transfer_right_N).sum())
    discordant = only_transfer + only_scratch
    return only_transfer, only_scratch, binomtest(only_transfer, discordant).pvalue if discordant else 1.0
