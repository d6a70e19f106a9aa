"""The verdict's arithmetic."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from graft.core.errors import UnpairedRunsError
from graft.selection.intervals import resampled_interval
from graft.transfer.compare import Comparison, compare, crossed_interval, gain_spread
from graft.transfer.predictions import paired_correct
from graft.transfer.spread import Spread


def _arms(gain: float, *, num_seeds: int = 3, num_items: int = 600, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Right and wrong of two arms that share how hard each item is; `gain` is the true difference (0..1)."""
    generator = np.random.default_rng(seed)
    hardness_N = generator.normal(size=num_items)

    def arm(accuracy: float) -> np.ndarray:
        skill_S1 = generator.normal(stats.norm.ppf(accuracy) * 1.5, 0.05, size=(num_seeds, 1))
        return (skill_S1 + hardness_N + generator.normal(size=(num_seeds, num_items)) * 0.5 > 0).astype(int)

    return arm(0.75 + gain), arm(0.75)


def _spread(
    seeds: tuple[float, ...],
    units: float,
    residual: tuple[float, ...],
    num_seeds: int,
    num_units: int,
    **changes: float,
) -> Spread:
    return Spread(0.0, (-1.0, 1.0), seeds, units, residual, num_seeds, num_units, num_units, **changes)


def _compared(transfer_SN: np.ndarray, baseline_SN: np.ndarray, margin_points: float = 0) -> Comparison:
    return compare(transfer_SN, baseline_SN, margin_points=margin_points, alpha=0.05)


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
    right_N = np.random.default_rng(0).random(400) < 0.7
    interval = crossed_interval(np.tile(right_N, (50, 1)), alpha=0.05)
    expected = stats.t.interval(0.95, 399, loc=right_N.mean(), scale=stats.sem(right_N))
    assert (interval.low, interval.high) == pytest.approx(expected, abs=0.002)


def test_seeds_that_disagree_widen_the_interval() -> None:
    calm = np.zeros((3, 100))
    calm[:, :50] = 1
    torn = calm.copy()
    torn[0, :90], torn[2, :] = 1, 0
    widths = [np.ptp(list(crossed_interval(scores, alpha=0.05).model_dump().values())) for scores in (calm, torn)]
    assert widths[1] > 2 * widths[0]


def test_mcnemar_counts_items_that_one_arm_alone_gets_right() -> None:
    transfer, baseline = np.ones((3, 20), dtype=int), np.ones((3, 20), dtype=int)
    baseline[:, :8] = 0
    transfer[:, 19] = 0
    comparison = _compared(transfer, baseline)
    assert (comparison.num_only_transfer_right, comparison.num_only_baseline_right) == (8, 1)
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
    spread = gain_spread(100.0 * better, 100.0 * worse, span=100)
    assert open_case.seeds_needed is not None
    assert open_case.units_needed is not None
    for num_seeds, num_units in ((open_case.seeds_needed, 100), (5, open_case.units_needed)):
        assert spread.at(num_seeds, num_units).interval(0.05).low > 0
    assert spread.at(open_case.seeds_needed - 1, 100).interval(0.05).low <= 0
    assert _compared(*_arms(0.12)).seeds_needed is None


def test_the_smallest_detectable_gain_is_found_as_often_as_promised() -> None:
    """Of normal scores; right and wrong, and other sizes: benchmarks/verdict_worlds.py."""
    generator = np.random.default_rng(0)

    def arm(mean: float) -> np.ndarray:
        return mean + 0.1 * generator.normal(size=(5, 1)) + generator.normal(size=300) + generator.normal(size=(5, 300))

    expected = _spread((0.01 + 1 / 300,) * 2, 2 + 2 / 5, (1.0, 1.0), num_seeds=5, num_units=300)
    gain = expected.smallest_detectable(0.05)
    found = [
        abs(better.mean() - worse.mean()) > gain_spread(better, worse, span=1).half_width(0.05)
        for better, worse in ((arm(gain), arm(0.0)) for _ in range(1000))
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.05)
    assert 0.02 < expected.power(0, 0.05) < 0.06


def test_the_promise_holds_where_few_items_differ_and_differ_much() -> None:
    """There the mean and what the items seem to differ by rise and fall together."""
    generator = np.random.default_rng(0)

    def arm(mean: float) -> np.ndarray:
        return mean + 0.1 * generator.normal(size=(3, 50)) + 0.01 * generator.normal(size=(3, 1))

    expected = _spread((1e-4 + 2e-4,) * 2, 1 + 2 * 0.01 / 3, (0.01, 0.01), 3, 50, skewness=2, kurtosis=9)
    gain = expected.smallest_detectable(0.05)
    found = [
        abs(better.mean() - worse.mean()) > gain_spread(better, worse, span=1).half_width(0.05)
        for better, worse in ((arm(gain - 1) + generator.exponential(size=50), arm(0.0)) for _ in range(1000))
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.04)
    as_if_normal = replace(expected, skewness=0, kurtosis=3)
    assert as_if_normal.power(gain, 0.05) < 0.75


def test_more_seeds_and_items_are_expected_to_narrow_the_interval_as_their_variances_say() -> None:
    spread = _spread((4.0, 9.0), 100.0, (20.0, 30.0), 3, 50)
    assert spread.at(3, 50).variance == pytest.approx(spread.variance)
    assert spread.at(3, 50).half_width(0.05) == pytest.approx(spread.half_width(0.05))
    limit = (4 - 20 / 50) / 300 + (9 - 30 / 50) / 300 + (100 - 50 / 3) / 52 + 50 / (300 * 50)
    assert spread.at(300, 50).variance == pytest.approx(limit)


def test_arms_of_different_shape_are_refused() -> None:
    with pytest.raises(UnpairedRunsError, match=r"\(3, 10\) and \(3, 9\)"):
        _compared(np.ones((3, 10)), np.ones((3, 9)))


def _predictions(seeds: list[int], items: list[str], predicted: str = "a") -> pd.DataFrame:
    rows = [{"seed": seed, "sample_id": item, "label": "a", "predicted": predicted} for seed in seeds for item in items]
    return pd.DataFrame(rows)


def test_predictions_are_paired_by_seed_and_item_whatever_their_order() -> None:
    right, wrong = _predictions([0, 1], ["x", "y", "z"]), _predictions([0, 1], ["x", "y", "z"], predicted="b")
    transfer, baseline = paired_correct(right.sample(frac=1, random_state=0), wrong)
    assert transfer.tolist() == [[1, 1, 1], [1, 1, 1]]
    assert baseline.sum() == 0


def test_predictions_on_other_items_or_seeds_are_refused() -> None:
    with pytest.raises(UnpairedRunsError, match="different runs"):
        paired_correct(_predictions([0, 1], ["x", "y"]), _predictions([0, 1], ["x", "z"]))
    with pytest.raises(UnpairedRunsError, match="different runs"):
        paired_correct(_predictions([0, 1], ["x", "y"]), _predictions([0, 2], ["x", "y"]))


def test_the_resampled_interval_is_wider_than_a_plain_one() -> None:
    scores = np.random.default_rng(0).normal(0.8, 0.03, size=15)
    interval = resampled_interval(scores, num_folds=5)
    plain = stats.t.interval(0.95, 14, loc=scores.mean(), scale=stats.sem(scores))
    assert interval.high - interval.low > 1.5 * (plain[1] - plain[0])
    assert interval.mean == pytest.approx(scores.mean())


def test_the_interval_does_not_depend_on_the_unit_of_the_scores() -> None:
    """Seeds that differ by just the residual's share once made two intervals of one: rounding chose."""
    better, worse = _arms(0.05)
    tied = np.tile(np.eye(20)[:, :20], (1, 10))[:3]
    for transfer, baseline in ((better, worse), (tied, 1 - tied)):
        wide, narrow = (_compared(scale * transfer, scale * baseline).gain_points for scale in (1, 0.1))
        assert (narrow.low, narrow.high) == pytest.approx((0.1 * wide.low, 0.1 * wide.high))


def test_nothing_observed_is_not_certainty() -> None:
    all_right, all_wrong = np.ones((3, 10)), np.zeros((3, 5))
    nothing_seen = _compared(all_right, all_right, margin_points=0.5)
    assert nothing_seen.verdict == "inconclusive"
    assert nothing_seen.gain_points.low < -10 < 10 < nothing_seen.gain_points.high
    five_of_five = _compared(np.ones((3, 5)), all_wrong)
    assert five_of_five.gain_points.low < 50
    assert crossed_interval(all_right, alpha=0.05).low < 0.9


def test_a_true_gain_of_twice_the_margin_is_seldom_called_no_difference_near_the_ceiling() -> None:
    generator = np.random.default_rng(0)
    verdicts = [
        _compared(generator.random((3, 50)) < 0.995, generator.random((3, 50)) < 0.985, margin_points=0.5).verdict
        for _ in range(200)
    ]
    assert verdicts.count("equivalent") <= 10


def test_seeds_of_unlike_spread_seldom_make_a_verdict_of_identical_arms() -> None:
    generator = np.random.default_rng(0)

    def arm(deviation: float) -> np.ndarray:
        skill_S1 = stats.norm.ppf(0.85) * (1 + deviation**2) ** 0.5 + deviation * generator.normal(size=(3, 1))
        return (hardness_N + 0.5 * generator.normal(size=(3, 1000)) < skill_S1 * 1.25**0.5).astype(float)

    num_false = 0
    for _ in range(400):
        hardness_N = generator.normal(size=1000)
        num_false += _compared(arm(0.02), arm(0.3)).verdict != "inconclusive"
    assert num_false <= 0.07 * 400


def _runs(accuracies: list[float], num_items: int = 532) -> np.ndarray:
    """Runs of given accuracies on items that are hard for all alike."""
    generator = np.random.default_rng(0)
    hardness_N, noise_SN = generator.normal(size=num_items), generator.normal(size=(len(accuracies), num_items))
    order_SN = np.argsort(np.argsort(hardness_N + 0.7 * noise_SN, axis=1), axis=1)
    return (order_SN < np.round(np.array(accuracies) * num_items)[:, None]).astype(int)


def test_runs_that_beat_all_others_make_a_verdict_though_a_long_tail_hides_the_mean() -> None:
    """Colour photographs of ten classes: every run with transfer beats every run from scratch."""
    transfer, baseline = _runs([0.994, 0.998, 0.998, 0.994, 0.998]), _runs([0.940, 0.669, 0.338, 0.893, 0.895])
    found = compare(transfer, baseline, margin_points=0.5, alpha=0.03, shipped=(1, 0))
    assert found.gain_points.low < 0 < found.gain_points.high
    assert found.verdict == "positive"
    assert found.share_of_pairs == 1
    assert found.improvement is not None
    assert 0.5 < found.improvement.low < 0.99 < found.improvement.mean
    assert found.shipped_gain_points is not None
    assert found.shipped_gain_points.mean == pytest.approx(100 * (transfer[1] - baseline[0]).mean())
    assert compare(baseline, transfer, margin_points=0.5, alpha=0.03, shipped=(0, 1)).verdict == "negative"


def test_what_ships_must_not_surely_say_the_opposite() -> None:
    transfer, baseline = _runs([0.95, 0.95, 0.95, 0.40, 0.95]), _runs([0.80] * 5)
    assert compare(transfer, baseline, margin_points=0.5, alpha=0.05, shipped=(3, 0)).verdict == "inconclusive"


def test_gains_that_were_just_found_are_overestimated_and_what_is_reported_beside_them_is_not() -> None:
    generator = np.random.default_rng(0)
    true, reported, corrected = 4.0, [], []
    for _ in range(400):
        hardness_N = generator.normal(size=150)
        better, worse = (
            (hardness_N + np.tile(generator.normal(size=150), (5, 1)) < stats.norm.ppf(share) * 2**0.5).astype(float)
            for share in (0.72, 0.68)
        )
        found = _compared(better, worse)
        if found.gain_points.low > 0:
            reported.append(found.gain_points.mean)
            corrected.append(found.unexaggerated_points)
    assert len(reported) > 20
    assert np.mean(reported) > 1.5 * true
    assert abs(np.mean(corrected) - true) < 0.5 * abs(np.mean(reported) - true)


def test_a_run_from_baseline_that_falls_below_guessing_does_not_hide_that_transfer_is_better() -> None:
    """Solar cells with 300 labels: two runs from scratch answer with the larger class, one with the smaller."""
    transfer = _runs([0.786, 0.783, 0.809], num_items=1000)
    guessing_N = (np.random.default_rng(1).permutation(1000) < 688).astype(int)
    baseline = np.stack([guessing_N, guessing_N, 1 - guessing_N])
    for ours, theirs, verdict in ((transfer, baseline, "positive"), (baseline, transfer, "negative")):
        assert _compared(ours, theirs).verdict == "inconclusive"
        found = compare(ours, theirs, margin_points=0.5, alpha=0.05, guessing_N=guessing_N)
        assert found.verdict == verdict
