"""The verdict's arithmetic."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from graft.artifacts import Interval
from graft.errors import UnpairedRunsError
from graft.selection.intervals import resampled_interval
from graft.transfer.compare import Comparison, compare, crossed_interval
from graft.transfer.predictions import claim_of, paired_correct, trials_in_words
from graft.transfer.spread import Spread, spread_of


def _arms(gain: float, *, num_seeds: int = 3, num_items: int = 600, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Right and wrong of two arms that share how hard each item is; `gain` is the true difference (0..1)."""
    generator = np.random.default_rng(seed)
    hardness_N = generator.normal(size=num_items)

    def arm(accuracy: float) -> np.ndarray:
        skill_S1 = generator.normal(stats.norm.ppf(accuracy) * 1.5, 0.05, size=(num_seeds, 1))
        return (skill_S1 + hardness_N + generator.normal(size=(num_seeds, num_items)) * 0.5 > 0).astype(int)

    return arm(0.75 + gain), arm(0.75)


def _compared(transfer_SN: np.ndarray, scratch_SN: np.ndarray, margin_points: float = 0) -> Comparison:
    return compare(transfer_SN, scratch_SN, margin_points=margin_points, alpha=0.05)


def test_a_clear_gain_is_positive_and_a_clear_loss_is_negative() -> None:
    better, worse = _arms(0.12)
    assert _compared(better, worse).verdict == "positive"
    assert _compared(worse, better).verdict == "negative"


def test_arms_that_are_the_same_are_inconclusive() -> None:
    arm, _ = _arms(0.0)
    comparison = _compared(arm, arm)
    assert comparison.verdict == "inconclusive"
    assert comparison.gain_points.mean == 0
    assert comparison.mcnemar_p == 1


def test_identical_arms_seldom_get_a_verdict() -> None:
    verdicts = [_compared(*_arms(0.0, seed=seed, num_items=200)).verdict for seed in range(300)]
    assert sum(verdict != "inconclusive" for verdict in verdicts) <= 0.05 * 300


def test_swapping_the_arms_mirrors_the_gain() -> None:
    better, worse = _arms(0.05)
    gain, loss = _compared(better, worse).gain_points, _compared(worse, better).gain_points
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
    comparison = _compared(transfer, scratch)
    assert (comparison.num_only_transfer_right, comparison.num_only_scratch_right) == (8, 1)
    assert comparison.mcnemar_p == pytest.approx(stats.binomtest(8, 9).pvalue)


def test_a_gain_that_surely_lies_within_the_margin_does_not_matter() -> None:
    arm, other = _arms(0.0, num_seeds=5, num_items=5000)
    half_width = _compared(arm, other).gain_points.high - _compared(arm, other).gain_points.mean
    gain = abs(_compared(arm, other).gain_points.mean)
    assert _compared(arm, other, margin_points=gain + 1.01 * half_width).verdict == "equivalent"
    assert _compared(arm, other, margin_points=gain + 0.99 * half_width).verdict == "inconclusive"
    better, worse = _arms(0.12)
    assert _compared(better, worse, margin_points=1).verdict == "positive"
    assert _compared(better, worse, margin_points=50).verdict == "equivalent"


def test_any_score_of_which_more_is_better_can_be_compared() -> None:
    generator = np.random.default_rng(0)
    loss_SN = generator.gamma(1.0, 0.5, size=(3, 400))
    comparison = _compared(-(loss_SN - 0.2), -loss_SN)
    assert comparison.gain_points.mean == pytest.approx(20)
    assert comparison.verdict == "positive"
    assert comparison.mcnemar_p is None


def test_what_would_decide_does_decide() -> None:
    better, worse = _arms(0.05, num_seeds=5, num_items=100)
    open_case = _compared(better, worse)
    assert open_case.verdict == "inconclusive"
    spread, gain = spread_of(100.0 * better, -100.0 * worse), abs(open_case.gain_points.mean)
    assert open_case.seeds_needed is not None
    assert open_case.items_needed is not None
    for num_seeds, num_items in ((open_case.seeds_needed, 100), (5, open_case.items_needed)):
        assert spread.at(num_seeds, num_items).half_width(0.05) < gain
    assert spread.at(open_case.seeds_needed - 1, 100).half_width(0.05) >= gain
    assert _compared(*_arms(0.12)).seeds_needed is None


def test_the_smallest_detectable_gain_is_found_as_often_as_promised() -> None:
    """Of normal scores; right and wrong, and other sizes: benchmarks/verdict_calibration.py."""
    generator = np.random.default_rng(0)

    def arm(mean: float) -> np.ndarray:
        return mean + 0.1 * generator.normal(size=(5, 1)) + generator.normal(size=300) + generator.normal(size=(5, 300))

    expected = Spread((0.01 + 1 / 300,) * 2, 2 + 2 / 5, (1.0, 1.0), num_seeds=5, num_items=300)
    gain = expected.smallest_detectable(0.05)
    found = [
        abs(better.mean() - worse.mean()) > spread_of(better, -worse).half_width(0.05)
        for better, worse in ((arm(gain), arm(0.0)) for _ in range(1000))
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.05)
    assert 0.03 < expected.power(0, 0.05) < 0.06


def test_the_promise_holds_where_few_items_differ_and_differ_much() -> None:
    """There the mean and what the items seem to differ by rise and fall together."""
    generator = np.random.default_rng(0)

    def arm(mean: float) -> np.ndarray:
        return mean + 0.1 * generator.normal(size=(3, 50)) + 0.01 * generator.normal(size=(3, 1))

    expected = Spread((1e-4 + 2e-4,) * 2, 1 + 2 * 0.01 / 3, (0.01, 0.01), 3, 50, items_skewness=2, items_kurtosis=9)
    gain = expected.smallest_detectable(0.05)
    found = [
        abs(better.mean() - worse.mean()) > spread_of(better, -worse).half_width(0.05)
        for better, worse in ((arm(gain - 1) + generator.exponential(size=50), arm(0.0)) for _ in range(1000))
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.04)
    as_if_normal = replace(expected, items_skewness=0, items_kurtosis=3)
    assert as_if_normal.power(gain, 0.05) < 0.75


def test_more_seeds_and_items_are_expected_to_narrow_the_interval_as_their_variances_say() -> None:
    spread = Spread((4.0, 9.0), 100.0, (20.0, 30.0), num_seeds=3, num_items=50)
    assert spread.at(3, 50).variance == pytest.approx(spread.variance)
    assert spread.at(3, 50).degrees_of_freedom == pytest.approx(spread.degrees_of_freedom)
    limit = (4 - 20 / 50) / 300 + (9 - 30 / 50) / 300 + (100 - 50 / 3) / 50 + 50 / (300 * 50)
    assert spread.at(300, 50).variance == pytest.approx(limit)


def test_arms_of_different_shape_are_refused() -> None:
    with pytest.raises(UnpairedRunsError, match=r"\(3, 10\) and \(3, 9\)"):
        _compared(np.ones((3, 10)), np.ones((3, 9)))


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


@pytest.mark.parametrize("verdict", ["positive", "negative", "equivalent", "inconclusive"])
def test_the_claim_names_interval_budget_and_convergence(verdict: str) -> None:
    gain = Interval(mean=-3.0, low=-5.0, high=-1.0)
    comparison = Comparison(gain, [-3.0], 1.0, 4.0, 0.01, 1, 9, verdict, seeds_needed=7, items_needed=2300)
    claim = claim_of(
        comparison, alpha=0.05, source="moon_net", compute_ratio=1.5, convergence="not converged: why",
        remarks=["It harms dog (-3.0 points).", "", "It is tilted."],
    )  # fmt: skip
    assert claim.endswith(" It harms dog (-3.0 points). It is tilted.")
    assert ("7 seeds or 2,300 test items in all would decide" in claim) == (verdict == "inconclusive")
    for piece in ("moon_net", "-3.0 points [-5.0, -1.0]", "95 %", "1.50 times", "not converged"):
        assert piece in claim


def test_arms_that_were_not_tuned_alike_are_told_of() -> None:
    assert trials_in_words(0, 0) == trials_in_words(12, 12) == ""
    assert "12 trials for transfer and 9 for scratch" in trials_in_words(12, 9)


def test_the_resampled_interval_is_wider_than_a_plain_one() -> None:
    scores = np.random.default_rng(0).normal(0.8, 0.03, size=15)
    interval = resampled_interval(scores, num_folds=5)
    plain = stats.t.interval(0.95, 14, loc=scores.mean(), scale=stats.sem(scores))
    assert interval.high - interval.low > 1.5 * (plain[1] - plain[0])
    assert interval.mean == pytest.approx(scores.mean())
