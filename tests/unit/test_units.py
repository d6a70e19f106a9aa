"""Items that come in groups: the group is what was sampled."""

import numpy as np
import pandas as pd
import pytest

from graft.data.units import sampling_units
from graft.transfer.compare import compare, crossed_interval, gain_spread
from graft.transfer.units import MIN_UNITS, added_weight, effective_units, unit_scores


def _compared(transfer_SN: np.ndarray, baseline_SN: np.ndarray, groups_N: np.ndarray | None = None):
    return compare(transfer_SN, baseline_SN, groups_N=groups_N, margin_points=0.5, alpha=0.05)


def test_samples_that_share_a_group_or_look_alike_are_one_unit_by_way_of_others_too() -> None:
    samples = pd.DataFrame(
        {
            "sample_id": list("abcdefg"),
            "path": [f"{name}.png" for name in "abcdefg"],
            "group": ["m1", "m1", "", "m2", "", "", ""],
            "duplicate_of": ["", "", "b.png", "", "d.png", "x.png", ""],  # x.png is not among these
        }
    )
    units = sampling_units(samples)
    assert [sorted(samples["sample_id"][units == unit]) for unit in pd.unique(units)] == [
        ["a", "b", "c"],
        ["d", "e"],
        ["f"],
        ["g"],
    ]


def test_identical_arms_on_grouped_items_seldom_get_a_verdict() -> None:
    """200 items in groups of 20: taken as independent, a verdict came in 24 to 43 % of draws."""
    generator = np.random.default_rng(0)
    groups_N = np.repeat(np.arange(10), 20)

    def effect_N() -> np.ndarray:
        return generator.normal(size=10)[groups_N]

    num_false, num_false_ungrouped = 0, 0
    for _ in range(300):
        hardness_N = effect_N()
        one, other = ((hardness_N + effect_N() + generator.normal(size=(5, 200)) < 1.8).astype(int) for _ in range(2))
        num_false += _compared(one, other, groups_N).verdict != "inconclusive"
        num_false_ungrouped += _compared(one, other).verdict != "inconclusive"
    assert num_false <= 0.07 * 300
    assert num_false_ungrouped > 0.2 * 300  # what naming no group costs


def test_groups_of_one_item_change_nothing() -> None:
    one, other = np.random.default_rng(0).integers(0, 2, size=(2, 3, 60))
    assert _compared(one, other, np.arange(60)) == _compared(one, other)


def test_items_that_repeat_their_group_tell_no_more_than_one_of_it() -> None:
    one, other = np.random.default_rng(0).integers(0, 2, size=(2, 3, 40))
    groups_N = np.repeat(np.arange(40).astype(str), 20)
    repeated = gain_spread(np.repeat(one, 20, axis=1), np.repeat(other, 20, axis=1), span=1, groups_N=groups_N)
    single = gain_spread(one, other, span=1)
    assert repeated.num_units == 40
    assert repeated.half_width(0.05) == pytest.approx(single.half_width(0.05), rel=0.02)
    wide, narrow = (crossed_interval(np.repeat(one, 20, axis=1), alpha=0.05, groups_N=by) for by in (groups_N, None))
    assert wide.high - wide.low > 1.8 * (narrow.high - narrow.low)


def test_the_mean_over_units_is_the_mean_over_items_whatever_their_sizes() -> None:
    generator = np.random.default_rng(0)
    scores_SN, groups_N = generator.random((3, 100)), generator.integers(0, 9, size=100) ** 2
    assert unit_scores(scores_SN, groups_N).mean(axis=1) == pytest.approx(scores_SN.mean(axis=1))


def test_a_group_that_holds_nearly_all_items_leaves_few_effective_units() -> None:
    groups_N = np.concatenate([np.zeros(500), np.arange(1, 31)])
    assert effective_units(groups_N, 530) == pytest.approx(1, abs=0.01)
    assert effective_units(np.repeat(np.arange(30), 7), 210) == pytest.approx(30)


def test_an_added_unit_is_a_whole_group_where_nothing_differs_and_an_item_where_groups_hardly_matter() -> None:
    groups_N = np.repeat(np.arange(50), 10)
    assert added_weight(np.ones(500), groups_N) == 10
    independent_N = np.random.default_rng(0).integers(0, 2, size=500)
    assert added_weight(independent_N, groups_N) < 2.5
    assert added_weight(np.repeat([0, 1] * 25, 10), groups_N) == pytest.approx(10, rel=0.05)


def test_too_few_groups_get_no_verdict_however_many_items_they_hold() -> None:
    better, worse = np.ones((3, 400), dtype=int), np.zeros((3, 400), dtype=int)
    few = _compared(better, worse, np.repeat(np.arange(MIN_UNITS - 1), 400)[: 400 * (MIN_UNITS - 1) : MIN_UNITS - 1])
    assert few.num_units < MIN_UNITS
    assert few.verdict == "inconclusive"
    assert _compared(better, worse, np.repeat(np.arange(20), 20)).verdict == "positive"


def test_mcnemar_gives_a_group_one_vote() -> None:
    transfer, baseline = np.ones((3, 60), dtype=int), np.ones((3, 60), dtype=int)
    baseline[:, :20] = 0
    by_items, by_groups = _compared(transfer, baseline), _compared(transfer, baseline, np.repeat(np.arange(6), 10))
    assert by_items.mcnemar_p is not None
    assert by_items.mcnemar_p < 1e-4
    assert by_groups.mcnemar_p == pytest.approx(0.5)  # two groups for, none against
    assert by_groups.num_only_transfer_right == 20


def test_what_is_needed_is_counted_in_groups() -> None:
    generator = np.random.default_rng(4)
    groups_N = np.repeat(np.arange(30), 10)
    hardness_N = np.repeat(generator.normal(size=30), 10)
    better, worse = (
        (hardness_N + 0.15 * generator.normal(size=(5, 300)) < threshold).astype(int) for threshold in (0.85, 0.75)
    )
    found = _compared(better, worse, groups_N)
    assert found.verdict == "inconclusive"
    assert found.units_needed is not None
    assert 30 < found.units_needed < 300
