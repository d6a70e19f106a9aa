"""How many labels the transfer saves: the distance between two curves, and how sure it is."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from benchmarks.labels_saved import NUM_LABELS, World, covers
from graft.experiment.subsets import stratified_subset
from graft.transfer.labels_saved import NeededLabels, claim_of, counts_of, needed_labels

COUNTS = [100, 200, 400, 800]


def _right(*accuracies: float, num_seeds: int = 2, num_items: int = 1000) -> np.ndarray:
    """[F, S, N] of models that get the first items right, and no others."""
    is_right_FN = np.arange(num_items) < num_items * np.array(accuracies)[:, None]
    return np.repeat(is_right_FN[:, None].astype(int), num_seeds, axis=1)


def _needed(transfer: tuple[float, ...], baseline: float) -> NeededLabels:
    """Of arms that are right on the same items as far as they can be."""
    return needed_labels(COUNTS, _right(*transfer), _right(baseline)[0], alpha=0.05)


def _needed_of_unlike(transfer: tuple[float, ...], baseline: float) -> NeededLabels:
    """Of arms that are right on others."""
    return needed_labels(COUNTS, _right(*transfer), _right(baseline)[0][:, ::-1], alpha=0.05)


def test_known_curves_give_the_known_distance() -> None:
    needed = _needed((0.6, 0.7, 0.8, 0.9), 0.75)
    assert needed.labels == pytest.approx((200 * 400) ** 0.5)
    assert needed.low is not None
    assert needed.high is not None
    assert 200 < needed.low < needed.labels < needed.high < 400
    assert needed.factor == pytest.approx(800 / 80000**0.5)
    assert needed.share_saved == pytest.approx(1 - 80000**0.5 / 800)
    assert _needed((0.6, 0.7, 0.8, 0.9), 0.8).labels == pytest.approx(400)


def test_a_curve_that_dips_is_taken_as_the_nearest_that_rises() -> None:
    counts = counts_of(COUNTS, {"transfer": _right(0.5, 0.7, 0.6, 0.9)}, alpha=0.05)
    assert [count.curve["transfer"] for count in counts] == pytest.approx([0.5, 0.65, 0.65, 0.9])
    dipping = _needed((0.5, 0.7, 0.6, 0.9), 0.66)
    assert dipping.labels == pytest.approx(400 * 2 ** (0.01 / 0.25))
    assert dipping.low is not None
    assert dipping.low < 200, "with 200 labels it was better than that already"


def test_what_the_fewest_labels_reach_already_may_need_fewer_still() -> None:
    needed = _needed((0.8, 0.8, 0.85, 0.9), 0.7)
    assert (needed.labels, needed.low, needed.high) == (100, 100, 100)
    words = claim_of(needed)
    assert "With 100 of 800 labels or fewer (the smallest number tried)" in words
    assert "at least 88 % fewer [88 % or more], a factor of 8.0 or more" in words


def test_what_all_labels_do_not_reach_is_not_saved() -> None:
    never = _needed((0.5, 0.5, 0.5, 0.5), 0.9)
    assert (never.labels, never.low, never.high) == (None, None, None)
    assert never.factor == 1
    assert claim_of(never).endswith("none saved.")
    perhaps = _needed_of_unlike((0.5, 0.6, 0.7, 0.895), 0.9)
    assert perhaps.labels is None
    assert perhaps.low is not None
    assert 400 < perhaps.low < 800
    assert "none saved [at most " in claim_of(perhaps)


def test_a_gain_that_is_not_shown_may_save_nothing() -> None:
    needed = _needed_of_unlike((0.6, 0.7, 0.8, 0.805), 0.8)
    assert needed.labels == pytest.approx(400)
    assert needed.high is None
    assert "50 % fewer [none to " in claim_of(needed)


def test_the_interval_is_wider_where_seeds_differ_more_and_where_items_are_fewer() -> None:
    def width(**changes: float) -> float:
        settings = {"num_seeds": 3, "num_items": 2000, "seed_deviation": 0.02, "true_share": 0.3} | changes
        generator = np.random.default_rng(0)
        found = [
            needed_labels(NUM_LABELS, *World(**settings).draw(generator), alpha=0.05)  # type: ignore[arg-type]
            for _ in range(30)
        ]
        return float(np.median([(each.high or 2 * each.all) / (each.low or each.all) for each in found]))

    assert width(seed_deviation=0.2) > 1.5 * width()
    assert width(num_items=200) > 1.5 * width()


@pytest.mark.parametrize("true_share", [0.08, 0.35, 1.3])
def test_the_interval_of_two_seeds_holds_the_truth_as_often_as_it_says(true_share: float) -> None:
    world = World(num_seeds=2, num_items=300, seed_deviation=0.15, true_share=true_share)
    generator = np.random.default_rng(0)
    found = [needed_labels(NUM_LABELS, *world.draw(generator), alpha=0.05) for _ in range(100)]
    assert np.mean([covers(each, world.true_labels) for each in found]) > 0.93


def test_test_items_that_come_in_groups_are_as_sure_as_the_groups_alone() -> None:
    transfer_FSN, baseline_SN = World(5, 200, 0.0, 0.35).draw(np.random.default_rng(0))
    alone = needed_labels(NUM_LABELS, transfer_FSN, baseline_SN, alpha=0.05)
    groups_N = np.repeat(np.arange(200), 20)
    repeated_FSN, repeated_SN = transfer_FSN[..., groups_N], baseline_SN[:, groups_N]
    repeated = needed_labels(NUM_LABELS, repeated_FSN, repeated_SN, groups_N=groups_N, alpha=0.05)
    assert repeated.labels == pytest.approx(alone.labels)
    assert alone.low is not None
    assert alone.high is not None
    assert (repeated.low, repeated.high) == pytest.approx((alone.low, alone.high), rel=0.05)
    as_items = needed_labels(NUM_LABELS, repeated_FSN, repeated_SN, alpha=0.05)
    assert as_items.low is not None
    assert as_items.high is not None
    assert as_items.high / as_items.low < 0.8 * alone.high / alone.low
    ours, theirs = (
        counts_of(NUM_LABELS, {"transfer": correct_FSN}, groups_N=groups, alpha=0.05)[0].accuracy["transfer"]
        for correct_FSN, groups in ((repeated_FSN, groups_N), (transfer_FSN, None))
    )
    assert ours.high - ours.low == pytest.approx(theirs.high - theirs.low, rel=0.05)


def test_arms_that_are_both_always_right_are_not_sure_to_save_labels() -> None:
    needed = _needed((1.0, 1.0, 1.0, 1.0), 1.0)
    assert needed.labels == 100
    assert needed.high is None


def test_the_interval_of_grouped_test_items_holds_the_truth_as_often_as_it_says() -> None:
    world, generator = World(2, 30, 0.05, 0.35), np.random.default_rng(0)
    held, groups_N = 0, np.repeat(np.arange(30), 10)
    for _ in range(200):
        transfer_FSN, baseline_SN = world.draw(generator)
        found = needed_labels(
            NUM_LABELS, transfer_FSN[..., groups_N], baseline_SN[:, groups_N], groups_N=groups_N, alpha=0.05
        )
        held += covers(found, world.true_labels)
    assert held >= 186


def test_a_larger_subset_has_all_samples_of_a_smaller_one_and_the_same_share_of_every_class() -> None:
    samples = _samples(["a"] * 90 + ["b"] * 30)
    subsets = [set(stratified_subset(samples, fraction, "0").tolist()) for fraction in (0.1, 0.25, 0.5, 1)]
    assert all(smaller < larger for smaller, larger in pairwise(subsets))
    shares = [samples.iloc[sorted(subset)]["label"].value_counts().to_dict() for subset in subsets]
    assert shares == [{"a": 9, "b": 3}, {"a": 23, "b": 8}, {"a": 45, "b": 15}, {"a": 90, "b": 30}]


def test_a_subset_depends_on_the_samples_and_the_key_and_not_on_their_order() -> None:
    samples = _samples(["a", "b"] * 30)
    turned = samples.iloc[::-1].reset_index(drop=True)

    def chosen(table: pd.DataFrame, key: str) -> set[str]:
        return set(table.iloc[stratified_subset(table, 0.5, key).numpy()]["sample_id"])

    assert chosen(samples, "0") == chosen(turned, "0")
    assert chosen(samples, "0") != chosen(samples, "1")


def test_a_subset_has_whole_groups_and_of_every_class_what_was_asked_for() -> None:
    groups = [f"patient {number // 6}" for number in range(240)]
    samples = _samples(["a", "a", "b"] * 80, group=groups)
    samples.loc[200:201, "duplicate_of"] = "000"
    small, large = (samples.iloc[stratified_subset(samples, fraction, "0").tolist()] for fraction in (0.1, 0.4))
    assert set(small["sample_id"]) < set(large["sample_id"])
    for subset, fraction in ((small, 0.1), (large, 0.4)):
        assert samples["group"].isin(subset["group"]).sum() == len(subset)
        assert len({"patient 0", "patient 33"} & set(subset["group"])) in {0, 2}, "their pictures are nearly the same"
        shares = subset["label"].value_counts() / samples["label"].value_counts()
        assert (shares >= fraction).all()
        assert (shares < fraction + 0.06).all()


def _samples(labels: list[str], **columns: object) -> pd.DataFrame:
    names = [f"{number:03}" for number in range(len(labels))]
    described = {"sample_id": names, "path": names, "label": labels, "group": "", "duplicate_of": ""}
    return pd.DataFrame(described | columns)
