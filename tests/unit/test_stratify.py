"""Every class in every split, where the hash alone leaves one short; and nothing that was given a split loses it."""

import hashlib
import json
from collections.abc import Collection
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import NOTHING_GIVEN, RULES, build_all, folder_of_classes, save_noise

from graft.core.errors import ClassesError, ContentChangedError
from graft.data.manifest import read_manifest
from graft.data.profile import Profile, check_classes
from graft.data.shortage import shortages
from graft.data.splits import SPLITS, SplitRule
from graft.data.stratify import (
    MIN_PER_SPLIT,
    SplitMemory,
    count_used,
    moves_for_short_classes,
    units_of_small_classes,
)

KEY = str(RULES["split_key"])
PROFILE = Profile(
    classes=["a", "b"], num_samples=0, num_unlabelled=0, num_quarantined=0, num_duplicates=0, num_leaks=0,
    num_not_described=0, counts={}, quarantined={}, quarantine_codes={},
)  # fmt: skip


def _samples(sizes: dict[str, int], *, first: int = 0, group_size: int = 0) -> pd.DataFrame:
    """So many samples of each class; each its own, or in groups of a class."""
    rows = [
        (hashlib.sha256(f"{label} {number}".encode()).hexdigest(), f"{label}/{number}.png", label,
         f"{label} {number // group_size}" if group_size else "")
        for label, size in sizes.items()
        for number in range(first, first + size)
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["sample_id", "path", "label", "group"])
    return table.assign(own_split="", split="", duplicate_of="", status="ok")


def _rule(memory: SplitMemory, test_fraction: float = 0.25) -> SplitRule:
    return SplitRule(KEY, test_fraction, 0.1, memory.given(KEY).units)


def _by(rule: SplitRule, samples: pd.DataFrame) -> pd.DataFrame:
    return samples.assign(
        split=[rule.split_for(*row) for row in samples[["own_split", "group", "sample_id"]].to_numpy()]
    )


def _split(
    samples: pd.DataFrame, memory: SplitMemory = NOTHING_GIVEN, test_fraction: float = 0.25
) -> tuple[pd.DataFrame, SplitMemory, list[str]]:
    """As ingest does it, without the pictures: the samples, what is remembered, and the complaints."""
    rule, before = _rule(memory, test_fraction), memory.given(KEY)
    own_paths = set(samples.loc[samples["own_split"] != "", "path"])
    moves = moves_for_short_classes(_by(rule, samples), rule, before, own_paths)
    found = _by(rule.with_moves(moves), samples)
    counts = count_used(found)
    memory = memory.plus(rule, counts, {**units_of_small_classes(found, counts, own_paths), **moves})
    return found, memory, shortages(found, before, own_paths)


def _fewest(samples: pd.DataFrame, splits: Collection[str] = SPLITS) -> int:
    counts = count_used(samples)
    return min(counts[split][label] for split in splits for label in set(samples["label"]))


@pytest.mark.parametrize(
    "sizes",
    [{f"photo {number}": 50 for number in range(8)}, {f"flower {number:03}": 40 for number in range(102)},
     {"akiec": 10, "bcc": 15, "bkl": 33, "df": 6, "mel": 33, "nv": 200, "vasc": 7}, {"a": 15, "b": 15},
     {"a": 6, "b": 6}],
    ids=["8 x 50", "102 x 40", "7 unbalanced", "2 x 15", "2 x 6"],
)  # fmt: skip
def test_small_classes_have_two_samples_in_every_split_at_the_first_run(sizes: dict[str, int]) -> None:
    samples = _samples(sizes)
    found, _, complaints = _split(samples)
    assert _fewest(found) >= MIN_PER_SPLIT
    assert complaints == []
    by_hash = _by(_rule(NOTHING_GIVEN), samples)
    assert (found["split"] != by_hash["split"]).mean() <= 0.25


def test_where_the_hash_suffices_nothing_moves_and_no_sample_is_listed() -> None:
    samples = _samples({"defective": 821, "functional": 1803})
    found, memory, _ = _split(samples)
    pd.testing.assert_frame_equal(found, _by(_rule(NOTHING_GIVEN), samples))
    assert (memory.given(KEY).large_classes, memory.given(KEY).units) == (["defective", "functional"], {})


def test_the_hash_gives_what_it_always_gave() -> None:
    rule = _rule(NOTHING_GIVEN)
    tested = [number for number in range(30) if rule.split_for("", f"module {number}", "") == "test"]
    assert tested == [3, 7, 12, 14, 16, 22, 23, 24, 27]


def test_the_nearest_by_hash_are_moved() -> None:
    samples = _samples({"c": 14})
    rule = _rule(NOTHING_GIVEN)
    by_hash, (found, _, _) = _by(rule, samples), _split(samples)
    moved = found[found["split"] != by_hash["split"]]
    assert len(moved)
    for split in set(moved["split"]):
        distance = found["sample_id"].map(lambda unit, split=split: rule.distance(unit, split))
        rest = distance[(by_hash["split"] != split) & (found["split"] == by_hash["split"])]
        assert distance[moved.index[moved["split"] == split]].max() < rest.min()


def test_four_samples_are_enough_and_do_without_validation() -> None:
    found, _, complaints = _split(_samples({"rare": 4, "common": 60}))
    counts = count_used(found)
    assert [counts[split]["rare"] for split in SPLITS] == [2, 0, 2]
    assert complaints == []


@given(st.lists(st.sets(st.integers(0, 39), min_size=1), min_size=2, max_size=5), st.sampled_from([0, 3]))
@settings(deadline=None, max_examples=15)
def test_whatever_is_added_and_removed_no_sample_ever_changes_its_split(runs: list[set[int]], group_size: int) -> None:
    everything = _samples({"a": 12, "b": 28}, group_size=group_size)
    seen: dict[str, str] = {}
    memory = NOTHING_GIVEN
    for chosen in runs:
        found, memory, _ = _split(everything.iloc[sorted(chosen)].reset_index(drop=True), memory)
        for sample_id, split in zip(found["sample_id"], found["split"], strict=True):
            assert seen.setdefault(sample_id, split) == split
        assert (found[found["group"] != ""].groupby("group")["split"].nunique() <= 1).all()


def test_without_its_memory_a_test_sample_would_become_a_training_sample() -> None:
    few, more = _samples({"rare": 6, "b": 60}), _samples({"rare": 60, "b": 60})
    first, memory, _ = _split(few)
    was_tested = set(first.loc[first["split"] == "test", "sample_id"])

    def now_learnt_from(memory: SplitMemory) -> set[str]:
        found, _, _ = _split(more, memory)
        return was_tested & set(found.loc[found["split"] == "train", "sample_id"])

    assert now_learnt_from(NOTHING_GIVEN)
    assert not now_learnt_from(memory)


def test_new_samples_fill_what_has_become_short() -> None:
    first, memory, _ = _split(_samples({"a": 9, "b": 60}))
    kept = first[~((first["label"] == "a") & (first["split"] == "test"))]
    _, _, complaints = _split(kept, memory)
    (complaint,) = complaints
    assert "class 'a' (" in complaint
    assert "split by an earlier run (splits.json) and stay where they are. Add samples" in complaint
    found, _, complaints = _split(pd.concat([kept, _samples({"a": 4}, first=100)], ignore_index=True), memory)
    assert complaints == []
    old = found.merge(kept, on="sample_id", suffixes=("", "_before"))
    assert (old["split"] == old["split_before"]).all()


def test_a_large_class_that_has_shrunk_learns_from_nothing_that_it_was_tested_on() -> None:
    first, memory, _ = _split(_samples({"a": 200, "b": 200}))
    kept = first[(first["label"] == "b") | (first["split"] == "test")]
    found, _, (complaint,) = _split(kept, memory)
    assert (found["split"] == kept["split"]).all()
    assert "class 'a' (0 in train" in complaint


def test_other_fractions_move_nothing_of_a_small_class() -> None:
    first, memory, _ = _split(_samples({"a": 12, "b": 12}))
    again, _, _ = _split(first, memory, test_fraction=0.5)
    pd.testing.assert_frame_equal(first, again)


def test_a_group_moves_as_a_whole_and_the_smallest_first() -> None:
    samples = _samples({"a": 60, "b": 200}, group_size=10)
    samples.loc[:2, "group"] = "a small one"
    found, _, complaints = _split(samples)
    assert complaints == []
    assert (found.groupby("group")["split"].nunique() == 1).all()
    assert _fewest(found) >= MIN_PER_SPLIT


def test_near_duplicates_move_as_a_whole_and_what_was_set_aside_is_used_again() -> None:
    samples = _by(_rule(NOTHING_GIVEN), _samples({"a": 40, "b": 200}))
    of_a = samples["label"] == "a"
    series = samples.index[of_a] // 8
    samples.loc[of_a, "duplicate_of"] = [f"a/{8 * number}.png" if row % 8 else "" for row, number in enumerate(series)]
    is_test = (samples["split"] == "test").where(of_a)
    straddles = is_test[of_a].groupby(series).transform("any") & ~is_test[of_a].astype(bool)
    samples.loc[straddles.index[straddles], "status"] = "leak"
    assert count_used(samples)["train"]["a"] == 0
    moves = moves_for_short_classes(samples, _rule(NOTHING_GIVEN), NOTHING_GIVEN.given(KEY), set())
    to_train = [unit for unit, split in moves.items() if split == "train"]
    assert len(to_train) == 8
    moved = samples[samples["sample_id"].isin(to_train)]
    assert moved.index.min() % 8 == 0
    assert moved.index.max() - moved.index.min() == 7


def test_a_split_that_the_table_names_is_obeyed_even_where_a_class_is_short() -> None:
    samples = _samples({"a": 30, "b": 60})
    samples.loc[samples["label"] == "a", "own_split"] = "train"
    found, _, (complaint,) = _split(samples)
    assert (found.loc[found["label"] == "a", "split"] == "train").all()
    assert "the table names the split of 30 of its 30 samples" in complaint
    samples.loc[:5, "own_split"] = ""
    found, _, complaints = _split(samples)
    assert complaints == []
    assert (found.loc[6:29, "split"] == "train").all()


@pytest.mark.parametrize(
    ("sizes", "group_size", "cause"),
    [
        (
            {"rare": 3, "b": 60},
            0,
            "class 'rare' .*: 3 usable sample.* at least 4 are needed.*Add samples, merge the class",
        ),
        ({"one patient": 40, "b": 60}, 40, "40 samples are 1 group.*the largest of 40.*name smaller groups"),
        ({"a": 4, "b": 4}, 0, "all classes .0 in validation.*One class of 6"),
    ],
)
def test_where_nothing_helps_the_message_has_the_cause_and_what_to_do(
    sizes: dict[str, int], group_size: int, cause: str
) -> None:
    samples = _samples(sizes, group_size=group_size)
    samples.loc[samples["label"] == "b", "group"] = ""
    _, _, complaints = _split(samples)
    assert len(complaints) == 1
    with pytest.raises(ClassesError, match=cause):
        check_classes(PROFILE, complaints)


def test_pictures_of_a_small_class_are_split_and_remembered(tmp_path: Path) -> None:
    data_dir = folder_of_classes(tmp_path / "data", 110)
    for number in range(6):
        save_noise(data_dir / "rare" / f"{number}.png", 5000 + number)
    built = build_all(data_dir)
    check_classes(built.profile, built.shortages)
    assert {built.profile.counts[split]["rare"] for split in SPLITS} == {2}
    assert built.num_moved > 0
    manifest = read_manifest(tmp_path / "artifacts" / "manifest.parquet")
    path = tmp_path / "splits.json"
    built.memory.save(path)
    remembered = SplitMemory.load(path).given(KEY)
    assert "rare" in remembered.small_classes
    rare = manifest[manifest["label"] == "rare"]
    assert [remembered.units[sample_id] for sample_id in rare["sample_id"]] == rare["split"].to_list()
    assert build_all(data_dir, built.memory).memory == built.memory


def test_a_memory_that_is_none_is_named_with_its_remedy(tmp_path: Path) -> None:
    path = tmp_path / "splits.json"
    assert SplitMemory.load(path) == NOTHING_GIVEN
    path.write_text(json.dumps({"by_key": {"graft": {"units": {"x": "holdout"}}}}))
    with pytest.raises(ContentChangedError, match=r"git checkout -- splits\.json"):
        SplitMemory.load(path)
