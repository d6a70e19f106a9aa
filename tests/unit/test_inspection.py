"""A look at the data: what was planted stands first."""

import hashlib

import numpy as np
import pandas as pd
import pytest

from graft.inspection.ranking import (
    LIST_COLUMNS,
    Ranking,
    rank_blurry,
    rank_bright,
    rank_dark,
    rank_labels,
    rank_outliers,
    robust_deviations,
)  # fmt: skip

NUM_SAMPLES = 300
PROBE = {"num_folds": 5, "regularisation_strength": 100.0, "seed": 0}


def _samples(**columns: object) -> pd.DataFrame:
    paths = [f"{number:03}.png" for number in range(NUM_SAMPLES)]
    return pd.DataFrame(
        {
            "sample_id": [hashlib.sha256(path.encode()).hexdigest() for path in paths],
            "path": paths,
            "label": ["cat", "dog", "owl"] * (NUM_SAMPLES // 3),
            "group": "",
            "duplicate_of": "",
            "weight": 1.0,
            "brightness": np.linspace(0.4, 0.6, NUM_SAMPLES, dtype=np.float32),
            "sharpness": np.linspace(20, 30, NUM_SAMPLES, dtype=np.float32),
        }
        | columns
    )


def _features(spread: float = 1.0) -> np.ndarray:
    """Three classes, four standard deviations apart, in 20 dimensions."""
    noise = np.random.default_rng(0).normal(size=(NUM_SAMPLES, 20)) * spread
    noise[np.arange(NUM_SAMPLES), np.arange(NUM_SAMPLES) % 3] += 4
    return noise.astype(np.float32)


def _first(ranking: Ranking, count: int) -> list[str]:
    return list(ranking.samples["path"].head(count))


def test_wrong_labels_come_first_with_the_right_one_suggested() -> None:
    samples = _samples()
    samples.loc[[4, 50, 200], "label"] = "cat"
    ranking = rank_labels(samples, _features(), **PROBE)
    assert set(_first(ranking, 3)) == {"004.png", "050.png", "200.png"}
    first = ranking.samples.head(3).set_index("path")
    assert first["suggested_label"].to_dict() == {"004.png": "dog", "050.png": "owl", "200.png": "owl"}
    assert first["words"].str.match(r"the probe predicts cat with \d+ %, (dog|owl) with \d+ %").all()
    assert ranking.num_suspicious in {2, 3, 4}
    assert list(ranking.samples.columns) == LIST_COLUMNS
    assert ranking.samples["score"].is_monotonic_increasing
    assert ranking.samples["score"].between(0, 1).all()
    assert (ranking.samples["suggested_label"].tail(200) == "").all()


def test_equal_inputs_give_equal_lists() -> None:
    first, second = (rank_labels(_samples(), _features(), **PROBE) for _ in range(2))
    pd.testing.assert_frame_equal(first.samples, second.samples)


@pytest.mark.parametrize("kin", ["group", "duplicate_of"])
def test_copies_of_a_wrongly_labelled_picture_do_not_vouch_for_it(kin: str) -> None:
    copies = [1, 4, 7, 10, 13, 16]
    samples, features_ND = _samples(), _features()
    features_ND[copies] = 4 * features_ND[1]
    samples.loc[copies, "label"] = "cat"
    torn = rank_labels(samples, features_ND, **PROBE).samples.set_index("path")["score"]
    samples.loc[copies[1:] if kin == "duplicate_of" else copies, kin] = "001.png"
    kept = rank_labels(samples, features_ND, **PROBE).samples.set_index("path")["score"]
    names = [f"{number:03}.png" for number in copies]
    assert (kept[names] < 0.02).all()
    assert (torn[names] > 0.2).all()


def test_a_class_that_lies_in_one_group_is_not_judged() -> None:
    samples = _samples()
    samples.loc[samples["label"] == "owl", "group"] = "one night"
    ranking = rank_labels(samples, _features(), **PROBE)
    assert set(ranking.samples["label"]) == {"cat", "dog"}
    assert len(ranking.samples) == 200


@pytest.mark.parametrize("groups", [["all"], ["cat", "dog", "owl"], ["a", "b"]])
def test_groups_too_few_to_fold_give_a_shorter_list_and_no_crash(groups: list[str]) -> None:
    samples = _samples(group=np.resize(groups, NUM_SAMPLES))
    assert len(rank_labels(samples, _features(), **PROBE).samples) in {0, NUM_SAMPLES}


def test_a_picture_far_from_all_others_is_the_first_outlier() -> None:
    features_ND = _features(spread=0.5)
    features_ND[77, :6] = 0
    features_ND[77, 6:] = -9
    ranking = rank_outliers(_samples(), features_ND)
    assert _first(ranking, 1) == ["077.png"]
    assert ranking.num_suspicious >= 1


def test_dark_and_bright_pictures_stand_first_and_are_counted() -> None:
    samples = _samples()
    samples.loc[[10, 20], "brightness"] = np.float32([0.01, 0.02])
    samples.loc[[30, 40], "brightness"] = np.float32([1.0, 0.99])
    dark, bright = rank_dark(samples), rank_bright(samples)
    assert _first(dark, 2) == ["010.png", "020.png"]
    assert _first(bright, 2) == ["030.png", "040.png"]
    assert dark.num_suspicious == bright.num_suspicious == 2
    assert dark.samples["words"].iloc[0] == "brightness 0.01 (median 0.50)"
    assert dark.samples["score"].is_monotonic_decreasing


def test_blurry_pictures_stand_first_and_half_the_light_is_no_blur() -> None:
    samples = _samples()
    samples.loc[60, ["brightness", "sharpness"]] = samples.loc[60, ["brightness", "sharpness"]] / 2
    samples.loc[50, "sharpness"] = np.float32(1)
    ranking = rank_blurry(samples)
    assert _first(ranking, 1) == ["050.png"]
    assert ranking.num_suspicious == 1
    assert "060.png" not in _first(ranking, 60)


def test_pictures_that_are_all_alike_are_not_suspicious() -> None:
    samples = _samples(brightness=np.float32(0.5), sharpness=np.float32(0))
    assert rank_dark(samples).num_suspicious == rank_blurry(samples).num_suspicious == 0
    assert rank_outliers(samples, np.ones((NUM_SAMPLES, 4), dtype=np.float32)).num_suspicious == 0


def test_deviations_are_about_standard_deviations_and_outliers_do_not_move_them() -> None:
    values = np.random.default_rng(0).normal(5, 2, 10_000)
    spoilt = np.append(values, [1e6] * 100)
    assert robust_deviations(values)[0] == pytest.approx((values[0] - 5) / 2, abs=0.1)
    assert robust_deviations(spoilt)[0] == pytest.approx(robust_deviations(values)[0], abs=0.05)
    assert robust_deviations(np.array([1.0] * 9 + [5.0]))[-1] > 3.5
