"""The gain by class."""

import numpy as np
import pandas as pd
import pytest

from graft.transfer.parts import gains_by_part, harm_in_words
from graft.transfer.predictions import parts_of

COUNTS = {"cat": 200, "dog": 200, "newt": 3}
CLASSES_N = np.repeat(list(COUNTS), list(COUNTS.values()))


def _right(generator: np.random.Generator, by_class: dict[str, float]) -> np.ndarray:
    """Three seeds that mostly agree."""
    hardness_N = generator.random(len(CLASSES_N))
    share_N = np.array([by_class[name] for name in CLASSES_N])
    noise_SN = generator.normal(scale=0.02, size=(3, len(CLASSES_N)))
    return (hardness_N + noise_SN < share_N).astype(int)


def test_a_class_that_is_harmed_is_named_though_the_whole_is_better() -> None:
    generator = np.random.default_rng(0)
    transfer = _right(generator, {"cat": 0.95, "dog": 0.5, "newt": 0.5})
    baseline = _right(generator, {"cat": 0.5, "dog": 0.75, "newt": 0.5})
    assert transfer.mean() > baseline.mean()
    gains = gains_by_part(transfer, baseline, {"class": CLASSES_N}, margin_points=0.5, alpha=0.05)["class"]
    assert [(part.name, part.verdict) for part in gains] == [("cat", "positive"), ("dog", "negative")]
    assert gains[1].gain_points.mean == pytest.approx(100 * (gains[1].transfer_accuracy - gains[1].baseline_accuracy))
    said = harm_in_words({"class": gains, "domain": []})
    assert said.startswith("It is worse on class dog (-")
    assert "200 test items" in said
    assert "cat" not in said


def test_with_many_classes_none_of_identical_arms_is_named() -> None:
    generator = np.random.default_rng(1)
    classes_N = np.repeat([f"class {number}" for number in range(40)], 30)
    named = 0
    for _ in range(50):
        one, other = (generator.random((2, 3, len(classes_N))) < 0.8).astype(int)
        gains = gains_by_part(one, other, {"class": classes_N}, margin_points=0, alpha=0.05)["class"]
        assert len(gains) == 40
        named += any(part.verdict in ("positive", "negative") for part in gains)
    assert named <= 7  # where the true share is 5 %, more happen in a hundredth of such tests


def test_items_of_no_group_make_no_part_and_a_domain_of_all_items_is_none() -> None:
    right = np.ones((2, 150), dtype=int)
    groups_N = np.repeat(["", "module 1", "module 2", "module 3"], [8, 52, 51, 39])
    gains = gains_by_part(right, right, {"group": groups_N}, margin_points=0.5, alpha=0.05)["group"]
    assert [(part.name, part.num_items) for part in gains] == [("module 1", 52), ("module 2", 51)]
    of_one = {"domain": np.repeat("one camera", 20)}
    assert gains_by_part(right, right, of_one, margin_points=0.5, alpha=0.05) == {"domain": []}


def test_parts_are_found_by_sample_whatever_the_order_of_the_tables() -> None:
    predictions = pd.DataFrame({"seed": [0, 0, 1, 1], "sample_id": ["b", "a", "a", "b"], "label": list("yxxy")})
    manifest = pd.DataFrame(
        {"sample_id": ["b", "c", "a"], "domain": ["roof", "lab", "field"], "group": ["g2", "g9", ""]}
    )
    parts = parts_of(predictions, manifest)
    assert {kind: list(parts_N) for kind, parts_N in parts.items()} == {
        "class": ["x", "y"], "domain": ["field", "roof"], "group": ["", "g2"]
    }  # fmt: skip


def test_no_gain_of_a_part_reaches_beyond_what_can_be() -> None:
    generator = np.random.default_rng(0)
    one, other = (generator.random((2, 2, 60)) < np.array([[[0.2], [0.9]], [[0.9], [0.3]]])).astype(int)
    classes_N = np.repeat(list("abcdef"), 10)
    gains = gains_by_part(one, other, {"class": classes_N}, margin_points=0.5, alpha=0.01)["class"]
    assert len(gains) == 6
    assert all(-100 <= part.gain_points.low <= part.gain_points.high <= 100 for part in gains)
    assert any(part.gain_points.high == 100 for part in gains)


def test_classes_domains_and_groups_are_one_family() -> None:
    generator = np.random.default_rng(0)
    one, other = (generator.random((2, 3, 80)) < 0.8).astype(int)
    classes_N = np.repeat(["cat", "dog"], 40)
    alone = gains_by_part(one, other, {"class": classes_N}, margin_points=0.5, alpha=0.05)
    together = gains_by_part(
        one, other, {"class": classes_N, "domain": np.tile(["roof", "lab"], 40)}, margin_points=0.5, alpha=0.05
    )
    for lone, joint in zip(alone["class"], together["class"], strict=True):
        assert joint.gain_points.low < lone.gain_points.low


def test_a_part_with_few_groups_is_left_out_however_many_items_it_has() -> None:
    right = np.ones((2, 200), dtype=int)
    classes_N, groups_N = np.repeat(["cat", "dog"], 100), np.repeat(np.arange(20).astype(str), 10)
    groups_N[100:] = np.repeat(["a", "b"], 50)
    gains = gains_by_part(right, right, {"class": classes_N}, groups_N=groups_N, margin_points=0.5, alpha=0.05)
    assert [(part.name, part.num_items, part.num_units) for part in gains["class"]] == [("cat", 100, 10)]
