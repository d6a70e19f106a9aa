"""The verdict's arithmetic."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from graft.artifacts import Interval
from graft.errors import UnpairedRunsError
from graft.selection.intervals import resampled_interval
from graft.transfer.compare import Comparison, compare, crossed_interval
from graft.transfer.predictions import claim_of, paired_correct


def _arms(gain: float, *, num_seeds: int = 3, num_items: int = 600, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Right and wrong of two arms that share how hard each item is; `gain` is the true difference (0..1)."""
    generator = np.random.default_rng(seed)
    hardness_N = generator.normal(size=num_items)

    def arm(accuracy: float) -> np.ndarray:
        skill_S1 = generator.normal(stats.norm.ppf(accuracy) * 1.5, 0.05, size=(num_seeds, 1))
        return (skill_S1 + hardness_N + generator.normal(size=(num_seeds, num_items)) * 0.5 > 0).astype(int)

    return arm(0.75 + gain), arm(0.75)


def test_a_clear_gain_is_positive_and_a_clear_loss_is_negative() -> None:
    better, worse = _arms(0.12)
    assert compare(better, worse, alpha=0.05).verdict == "positive"
    assert compare(worse, better, alpha=0.05).verdict == "negative"


def test_arms_that_are_the_same_are_inconclusive() -> None:
    arm, _ = _arms(0.0)
    comparison = compare(arm, arm, alpha=0.05)
    assert comparison.verdict == "inconclusive"
    assert comparison.gain_points.mean == 0
    assert comparison.mcnemar_p == 1


def test_identical_arms_seldom_get_a_verdict() -> None:
    verdicts = [compare(*_arms(0.0, seed=seed, num_items=200), alpha=0.05).verdict for seed in range(300)]
    assert sum(verdict != "inconclusive" for verdict in verdicts) <= 0.05 * 300


def test_swapping_the_arms_mirrors_the_gain() -> None:
    better, worse = _arms(0.05)
    gain, loss = compare(better, worse, alpha=0.05).gain_points, compare(worse, better, alpha=0.05).gain_points
    assert (gain.mean, gain.low, gain.high) == pytest.approx((-loss.mean, -loss.high, -loss.low))


def test_with_many_seeds_that_agree_the_interval_is_that_of_the_items() -> None:
    item_scores_N = np.random.default_rng(0).normal(size=400)
    scores_SN = np.tile(item_scores_N, (50, 1))
    interval = crossed_interval(scores_SN, alpha=0.05)
    expected = stats.t.interval(0.95, 399, loc=item_scores_N.mean(), scale=stats.sem(item_scores_N))
    assert (interval.low, interval.high) == pytest.approx(expected)


def test_seeds_that_disagree_widen_the_interval() -> None:
    calm = np.zeros((3, 100))
    calm[:, :50] = 1
    torn = calm.copy()
    torn[0, :90], torn[2, :] = 1, 0
    widths = [np.ptp(list(crossed_interval(scores, alpha=0.05).model_dump().values())) for scores in (calm, torn)]
    assert widths[1] > 2 * widths[0]


def test_mcnemar_counts_items_that_one_arm_alone_gets_right() -> None:
    transfer, scratch = np.ones((3, 20), dtype=int), np.ones((3, 20), dtype=int)
    scratch[:, :8] = 0
    transfer[:, 19] = 0
    comparison = compare(transfer, scratch, alpha=0.05)
    assert (comparison.num_only_transfer_right, comparison.num_only_scratch_right) == (8, 1)
    assert comparison.mcnemar_p == pytest.approx(stats.binomtest(8, 9).pvalue)


def test_arms_of_different_shape_are_refused() -> None:
    with pytest.raises(UnpairedRunsError, match=r"\(3, 10\) and \(3, 9\)"):
        compare(np.ones((3, 10)), np.ones((3, 9)), alpha=0.05)


def _predictions(seeds: list[int], items: list[str], predicted: str = "a") -> pd.DataFrame:
    rows = [{"seed": seed, "sample_id": item, "label": "a", "predicted": predicted} for seed in seeds for item in items]
    return pd.DataFrame(rows)


def test_predictions_are_paired_by_seed_and_item_whatever_their_order() -> None:
    right, wrong = _predictions([0, 1], ["x", "y", "z"]), _predictions([0, 1], ["x", "y", "z"], predicted="b")
    transfer, scratch = paired_correct(right.sample(frac=1, random_state=0), wrong)
    assert transfer.tolist() == [[1, 1, 1], [1, 1, 1]]
    assert scratch.sum() == 0


def test_predictions_on_other_items_or_seeds_are_refused() -> None:
    with pytest.raises(UnpairedRunsError, match="different runs"):
        paired_correct(_predictions([0, 1], ["x", "y"]), _predictions([0, 1], ["x", "z"]))
    with pytest.raises(UnpairedRunsError, match="different runs"):
        paired_correct(_predictions([0, 1], ["x", "y"]), _predictions([0, 2], ["x", "y"]))


@pytest.mark.parametrize("verdict", ["positive", "negative", "inconclusive"])
def test_the_claim_names_interval_budget_and_convergence(verdict: str) -> None:
    gain = Interval(mean=-3.0, low=-5.0, high=-1.0)
    comparison = Comparison(gain, [-3.0], 0.01, 1, 9, verdict)
    claim = claim_of(comparison, alpha=0.05, source="moon_net", compute_ratio=1.5, convergence="not converged: why")
    for piece in ("moon_net", "-3.0 points [-5.0, -1.0]", "95 %", "1.50 times", "not converged"):
        assert piece in claim


def test_the_resampled_interval_is_wider_than_a_plain_one() -> None:
    scores = np.random.default_rng(0).normal(0.8, 0.03, size=15)
    interval = resampled_interval(scores, num_folds=5)
    plain = stats.t.interval(0.95, 14, loc=scores.mean(), scale=stats.sem(scores))
    assert interval.high - interval.low > 1.5 * (plain[1] - plain[0])
    assert interval.mean == pytest.approx(scores.mean())
