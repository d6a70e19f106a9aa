"""Worse pictures, and which arm takes them worse."""

import hashlib

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from graft.core.arms import ArmName
from graft.core.artifacts import Interval
from graft.examination.corruptions import CORRUPTIONS, SEVERITIES, corrupted, frame_side_px
from graft.examination.result import CorruptionName
from graft.examination.robustness import (
    VARIANTS,
    breaks_first_in_words,
    correct_on_corrupted,
    corrupted_scores,
    drop_differences,
    variants_of,
)  # fmt: skip

pytestmark = pytest.mark.unit

SAMPLE_IDS = [hashlib.sha256(bytes([number])).hexdigest() for number in range(3)]


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_each_strength_changes_a_picture_more_and_equal_input_gives_equal_pixels(corruption: CorruptionName) -> None:
    picture = _picture(0)
    made = [corrupted(picture, corruption, severity, sample_id=SAMPLE_IDS[0], seed=0) for severity in SEVERITIES]
    changes = [np.abs(changed.astype(float) - picture).mean() for changed in made]
    assert 0 < changes[0] < changes[1] < changes[2] < 128
    again = corrupted(picture, corruption, SEVERITIES[1], sample_id=SAMPLE_IDS[0], seed=0)
    np.testing.assert_array_equal(again, made[1])
    assert all(changed.shape == picture.shape and changed.dtype == np.uint8 for changed in made)


def test_noise_follows_from_the_sample_and_the_seed_and_has_the_deviation_of_imagenet_c() -> None:
    grey = np.full((224, 224, 3), 128, dtype=np.uint8)
    one, same, of_other_sample, of_other_seed = (
        corrupted(grey, "noise", 1, sample_id=sample_id, seed=seed)
        for sample_id, seed in ((SAMPLE_IDS[0], 0), (SAMPLE_IDS[0], 0), (SAMPLE_IDS[1], 0), (SAMPLE_IDS[0], 1))
    )
    np.testing.assert_array_equal(one, same)
    assert (one != of_other_sample).mean() > 0.9
    assert (one != of_other_seed).mean() > 0.9
    assert one.std() == pytest.approx(0.08 * 255, rel=0.02)


def test_a_larger_frame_is_blurred_by_the_same_share_of_its_side() -> None:
    point = np.zeros((448, 448, 3), dtype=np.uint8)
    point[224, 224] = 255
    spread = corrupted(np.kron(point[::2, ::2, :1], np.ones((2, 2, 3), dtype=np.uint8)), "blur", 1,
                       sample_id=SAMPLE_IDS[0], seed=0)  # fmt: skip
    assert spread.shape == (448, 448, 3)
    expected = gaussian_filter(np.kron(point[::2, ::2, 0].astype(float), np.ones((2, 2))), 2, mode="nearest")
    np.testing.assert_allclose(spread[..., 0], expected, atol=0.6)


def test_brightness_adds_to_the_largest_channel_and_keeps_the_hue() -> None:
    colours = np.array([[[100, 50, 0], [0, 0, 0], [250, 125, 250]]], dtype=np.uint8)
    brighter = corrupted(colours, "brightness", 1, sample_id=SAMPLE_IDS[0], seed=0)
    assert brighter.tolist() == [[[126, 63, 0], [26, 26, 26], [255, 128, 255]]]


def test_the_frame_is_never_smaller_than_what_the_network_sees() -> None:
    assert (frame_side_px(64), frame_side_px(384)) == (224, 384)


def test_a_picture_has_one_clean_variant_and_one_a_corruption_and_severity() -> None:
    variants = variants_of(_picture(0), SAMPLE_IDS[0], seed=0)
    assert len(variants) == 1 + len(CORRUPTIONS) * len(SEVERITIES) == 13
    np.testing.assert_array_equal(variants[0], _picture(0))


def test_both_arms_are_asked_about_the_same_pictures_and_judged_by_the_labels() -> None:
    asked: dict[str, list[torch.Tensor]] = {"transfer": [], "baseline": []}

    def answers(arm: str, answer: int, pictures: torch.Tensor) -> np.ndarray:
        asked[arm].append(pictures)
        return np.eye(2)[[answer] * len(pictures)]

    right = correct_on_corrupted(
        [(_picture(number), SAMPLE_IDS[number]) for number in range(2)],
        np.array([0, 1]),
        {
            "transfer": lambda pictures: answers("transfer", 0, pictures),
            "baseline": lambda p: answers("baseline", 1, p),
        },
        seed=0,
    )
    assert right["transfer"].tolist() == [[1] * 13, [0] * 13]
    assert right["baseline"].tolist() == [[0] * 13, [1] * 13]
    assert all(torch.equal(*pair) for pair in zip(asked["transfer"], asked["baseline"], strict=True))


def test_the_drop_is_paired_by_item_with_an_interval() -> None:
    right_NV = _right(100, {("blur", 5): 30})
    scores = {(score.corruption, score.severity): score for score in corrupted_scores(right_NV)}
    assert len(scores) == 12
    assert scores["blur", 5].accuracy.mean == 0.7
    assert scores["blur", 5].drop_points.mean == 30
    assert 20 < scores["blur", 5].drop_points.low < 30 < scores["blur", 5].drop_points.high < 40
    unchanged = scores["noise", 1].drop_points
    assert unchanged.mean == 0
    assert unchanged.low < -1 < 1 < unchanged.high


def test_the_arm_that_loses_more_is_named_and_the_others_are_left_open() -> None:
    fragile = _right(200, {("noise", 3): 60, ("noise", 5): 120, ("jpeg", 5): 4})
    sturdy = _right(200, {("jpeg", 5): 2})
    found = {item.corruption: item for item in drop_differences({"transfer": fragile, "baseline": sturdy})}
    assert found["noise"].points.mean == pytest.approx(30)  # (0 + 30 + 60) / 3
    assert {name: item.breaks_first for name, item in found.items()} == {
        "blur": None, "noise": "transfer", "brightness": None, "jpeg": None,
    }  # fmt: skip
    words = breaks_first_in_words(list(found.values()), 200, 200)
    assert words.startswith("Under noise transfer breaks first (accuracy falls by 30.0 points more, ")
    assert "under blur, brightness and JPEG compression neither arm is shown to break first" in words
    assert "200 test items" in words
    mirrored = drop_differences({"transfer": sturdy, "baseline": fragile})
    assert [item.breaks_first for item in mirrored] == [None, "baseline", None, None]


def test_arms_that_are_equally_fragile_are_hardly_ever_told_apart() -> None:
    generator = np.random.default_rng(0)
    num_told = 0
    for _ in range(100):
        arms: dict[ArmName, np.ndarray] = {
            arm: (generator.random((60, 13)) < 0.75).astype(float) for arm in ("transfer", "baseline")
        }
        num_told += any(found.breaks_first for found in drop_differences(arms))
    assert num_told <= 10


def test_a_drop_on_pictures_that_come_in_series_is_as_sure_as_of_the_series_alone() -> None:
    of_series = _right(40, {("blur", 5): 12, ("noise", 3): 3})
    steady = _right(40, {})
    series_N = np.repeat(np.arange(40), 20)
    alone, repeated = (
        corrupted_scores(of_series),
        corrupted_scores(np.repeat(of_series, 20, axis=0), series_N),
    )
    for one, other in zip(alone, repeated, strict=True):
        assert other.drop_points.mean == pytest.approx(one.drop_points.mean)
        assert _width(other.drop_points) == pytest.approx(_width(one.drop_points), rel=0.05)
        assert _width(other.accuracy) > 0.9 * _width(one.accuracy)
    arms: dict[ArmName, np.ndarray] = {"transfer": of_series, "baseline": steady}
    differences = zip(
        drop_differences(arms),
        drop_differences({arm: np.repeat(right, 20, axis=0) for arm, right in arms.items()}, series_N),
        strict=True,
    )
    for one, other in differences:
        assert other.breaks_first == one.breaks_first
        assert _width(other.points) == pytest.approx(_width(one.points), rel=0.05)


def test_the_sentence_names_the_groups_that_stand_behind_it() -> None:
    found = drop_differences({"transfer": _right(40, {}), "baseline": _right(40, {})})
    assert "(40 test items, 95 %" in breaks_first_in_words(found, 40, 40)
    assert "(800 test items in 40 groups, 95 %" in breaks_first_in_words(found, 800, 40)


def _width(interval: Interval) -> float:
    return interval.high - interval.low


def _picture(number: int) -> np.ndarray:
    """A square of 224 px with smooth patches: neither flat nor noise."""
    noise = np.random.default_rng(number).uniform(0, 255, (224, 224, 3))
    smooth = gaussian_filter(noise, (6, 6, 0))
    return (60 + 100 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)


def _right(num_items: int, num_wrong: dict[tuple[str, int], int]) -> np.ndarray:
    """[N, V]: all right, but for so many of the first items of some variants."""
    right_NV = np.ones((num_items, 1 + len(VARIANTS)))
    for column, variant in enumerate(VARIANTS, start=1):
        right_NV[: num_wrong.get(variant, 0), column] = 0
    return right_NV
