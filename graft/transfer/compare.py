"""The comparison of two arms over paired seeds and paired test items: S seeds, N items."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import binomtest
from scipy.stats import t as student_t

from graft.artifacts import Interval
from graft.errors import UnpairedRunsError


@dataclass(frozen=True)
class Comparison:
    gain_points: Interval
    """transfer minus scratch, in points of test accuracy (-100..100)."""
    gain_points_per_seed: list[float]
    mcnemar_p: float
    num_only_transfer_right: int
    num_only_scratch_right: int
    verdict: Literal["positive", "negative", "inconclusive"]


def compare(transfer_correct_SN: np.ndarray, scratch_correct_SN: np.ndarray, *, alpha: float) -> Comparison:
    """Whether starting from the source helped, hurt, or cannot be told.

    Positive: the whole (1 - alpha) interval of the gain lies above zero; negative: below; else inconclusive.
    McNemar's exact test is on the majority vote of the seeds, a second opinion that counts items alone.

    Args:
        transfer_correct_SN, scratch_correct_SN: 1 where the seed's model was right on the item, else 0; row s of
            both was trained with the same seed, column n is the same test item.
    Raises:
        UnpairedRunsError: the two arrays differ in shape, or hold fewer than two seeds or items.
    Source: Wang et al. 2019, "Characterizing and Avoiding Negative Transfer", for the gap; McNemar 1947.
    """
    if transfer_correct_SN.shape != scratch_correct_SN.shape or min(transfer_correct_SN.shape) < 2:
        raise UnpairedRunsError(
            f"the arms have {transfer_correct_SN.shape} and {scratch_correct_SN.shape} (seeds, test items); they must "
            "have the same, at least two of each. Train both arms with the same arms.seeds and manifest."
        )
    differences_SN = 100.0 * (transfer_correct_SN.astype(float) - scratch_correct_SN.astype(float))
    gain = crossed_interval(differences_SN, alpha=alpha)
    transfer_right_N = transfer_correct_SN.mean(axis=0) > 0.5
    scratch_right_N = scratch_correct_SN.mean(axis=0) > 0.5
    only_transfer = int((transfer_right_N & ~scratch_right_N).sum())
    only_scratch = int((scratch_right_N & ~transfer_right_N).sum())
    discordant = only_transfer + only_scratch
    return Comparison(
        gain_points=gain,
        gain_points_per_seed=differences_SN.mean(axis=1).tolist(),
        mcnemar_p=binomtest(only_transfer, discordant).pvalue if discordant else 1.0,
        num_only_transfer_right=only_transfer,
        num_only_scratch_right=only_scratch,
        verdict="positive" if gain.low > 0 else "negative" if gain.high < 0 else "inconclusive",
    )


def crossed_interval(scores_SN: np.ndarray, *, alpha: float) -> Interval:
    """Mean of scores with a two-sided (1 - alpha) t interval that counts both seeds and items as samples.

    Seeds and items are crossed random effects. The variance of the mean is estimated by the sum of the variance of
    the seed means over S and that of the item means over N; the residual that both contain is not taken out, so the
    interval errs on the wide side. Degrees of freedom by Satterthwaite 1946, with S - 1 and N - 1.
    """
    num_seeds, num_items = scores_SN.shape
    seed_part = scores_SN.mean(axis=1).var(ddof=1) / num_seeds
    item_part = scores_SN.mean(axis=0).var(ddof=1) / num_items
    variance = seed_part + item_part
    mean = scores_SN.mean()
    if variance == 0:
        return Interval(mean=mean, low=mean, high=mean)
    freedom = variance**2 / (seed_part**2 / (num_seeds - 1) + item_part**2 / (num_items - 1))
    half = student_t.ppf(1 - alpha / 2, freedom) * variance**0.5
    return Interval(mean=mean, low=mean - half, high=mean + half)
