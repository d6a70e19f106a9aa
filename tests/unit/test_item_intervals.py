"""Which samples are one unit, and intervals of items that come in units."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from graft.data.units import sampling_units, units_by_id
from graft.statistics.intervals import item_interval, share_interval
from graft.statistics.units import items_in_words
from graft.transfer.predictions import correct_SN, units_of

pytestmark = pytest.mark.unit

SIZE = 20
"""Items of a group."""


def test_units_join_groups_and_duplicate_clusters_through_each_other() -> None:
    samples = _samples("aab---", ["", "", "1", "1", "", "elsewhere"])
    units_N = sampling_units(samples)
    assert len(set(units_N[:4])) == 1
    assert len(set(units_N)) == 3
    apart = sampling_units(_samples("aab---", ["", "", "1", "", "3", "elsewhere"]))
    assert (apart[0], apart[3]) == (apart[1], apart[4])
    assert len(set(apart)) == 3


def test_units_follow_the_order_of_the_ids_and_see_what_is_set_aside() -> None:
    samples = _samples("a-a--", ["", "", "", "", ""])
    samples.loc[3, ["duplicate_of", "status"]] = ["4", "leak"]
    samples.loc[4, "duplicate_of"] = "1"
    units_N = units_by_id(["id2", "id4", "id0", "id1"], samples)
    assert units_N[0] == units_N[2]
    assert units_N[1] == units_N[3]
    assert len(set(units_N)) == 2


def test_files_in_quarantine_have_no_id_and_join_nothing() -> None:
    samples = _samples("aabb", [""] * 4)
    samples.loc[[0, 2], ["sample_id", "status"]] = ["", "damaged: cut off"]
    assert len(set(units_by_id(["id1", "id3"], samples))) == 2


def test_units_of_predictions_stand_in_the_order_of_their_columns() -> None:
    samples = _samples("ba-ab", [""] * 5)
    predictions = pd.DataFrame(
        [(seed, f"id{number}", "x", "x") for seed in (0, 1) for number in (4, 2, 0, 3, 1)],
        columns=["seed", "sample_id", "predicted", "label"],
    )
    by_id = dict(zip(correct_SN(predictions).columns, units_of(predictions, samples), strict=True))
    assert by_id["id0"] == by_id["id4"] != by_id["id1"] == by_id["id3"]
    assert len(set(by_id.values())) == 3


def test_items_that_are_repeated_in_groups_have_the_interval_of_the_groups() -> None:
    values_G = np.random.default_rng(0).normal(size=40)
    alone = item_interval(values_G, bounds=(-5, 5), confidence=0.95)
    repeated = item_interval(*_repeated(values_G), bounds=(-5, 5), confidence=0.95)
    assert repeated.mean == pytest.approx(alone.mean)
    assert [repeated.low, repeated.high] == pytest.approx([alone.low, alone.high], rel=0.02)


def test_a_share_of_items_that_are_repeated_in_groups_is_as_sure_as_of_the_groups() -> None:
    right_G = np.repeat([1.0, 0.0], [30, 10])
    alone, repeated = share_interval(right_G, confidence=0.95), share_interval(*_repeated(right_G), confidence=0.95)
    assert [repeated.low, repeated.high] == pytest.approx([alone.low, alone.high], abs=0.01)


def test_groups_of_one_item_change_nothing() -> None:
    values_N = np.random.default_rng(0).integers(2, size=50).astype(float)
    for interval in (item_interval, share_interval):
        settings = {"confidence": 0.95} | ({"bounds": (0, 1)} if interval is item_interval else {})
        assert interval(values_N, np.arange(50), **settings) == interval(values_N, **settings)


def test_one_group_tells_nothing_of_others() -> None:
    ones_N, groups_N = _repeated(np.ones(1))
    assert item_interval(ones_N, groups_N, bounds=(-1, 1), confidence=0.95).low == -1
    assert share_interval(ones_N, groups_N, confidence=0.95).low < 0.05


def test_items_that_are_all_alike_do_not_speak_for_every_other_item() -> None:
    same = item_interval(np.zeros(20), bounds=(-100, 100), confidence=0.95)
    assert same.mean == 0
    assert same.low == -same.high < -5
    assert share_interval(np.ones(20), confidence=0.95).low == pytest.approx(0.839, abs=1e-3)  # 20 / (20 + 1.96²)
    assert share_interval(*_repeated(np.ones(20)), confidence=0.95).low == pytest.approx(0.82, abs=0.02)


@pytest.mark.parametrize("accuracy", [0.7, 0.95])
@pytest.mark.parametrize("shared", [0.5, 1.0])
def test_the_interval_of_grouped_items_holds_the_truth_as_often_as_it_says(accuracy: float, shared: float) -> None:
    """A standard error of 1.3 points; an interval that takes the items for independent holds it in 20 to 70 %."""
    generator, num_groups, num_draws = np.random.default_rng(0), 30, 300
    held = 0
    for _ in range(num_draws):
        hardness_N, groups_N = _repeated(generator.normal(size=num_groups))
        latent_N = shared**0.5 * hardness_N + (1 - shared) ** 0.5 * generator.normal(size=len(hardness_N))
        found = share_interval((latent_N < norm.ppf(accuracy)).astype(float), groups_N, confidence=0.95)
        held += found.low <= accuracy <= found.high
    assert held / num_draws > 0.92


def test_groups_are_named_where_they_are_fewer_than_items() -> None:
    assert items_in_words(1420, 1420) == "1,420 test items"
    assert items_in_words(1420, 71, "validation items") == "1,420 validation items in 71 groups"


def _samples(groups: str, duplicate_of: list[str]) -> pd.DataFrame:
    """One a letter; "-": no group."""
    numbers = range(len(groups))
    return pd.DataFrame(
        {
            "sample_id": [f"id{number}" for number in numbers],
            "path": [str(number) for number in numbers],
            "group": ["" if name == "-" else name for name in groups],
            "duplicate_of": duplicate_of,
            "status": "ok",
        }
    )


def _repeated(values_G: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and groups of items that are all as their group is."""
    return np.repeat(values_G, SIZE), np.repeat(np.arange(len(values_G)), SIZE)
