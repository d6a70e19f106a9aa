"""Accuracy that both arms lose on corrupted images. N items, V variants of each: the clean one, then every corruption.

There is one kept model per arm: units of items are the sample (graft.statistics.units), and all differences are paired
by item. `groups_N` names the unit of each item; None: each item is one.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from graft.core.arms import ArmName
from graft.core.artifacts import Interval
from graft.core.finite import predicted_classes
from graft.examination.corruptions import CORRUPTIONS, SEVERITIES, corrupted
from graft.examination.result import IN_WORDS, CorruptedScore, DropDifference
from graft.statistics.calibration import CONFIDENCE
from graft.statistics.intervals import item_interval, share_interval
from graft.statistics.units import items_in_words

VARIANTS = [(name, severity) for name in CORRUPTIONS for severity in SEVERITIES]
"""Corruption and severity of each variant after the clean image, which is variant 0."""


def variants_of(image_SS3: np.ndarray, sample_id: str, *, seed: int) -> np.ndarray:
    """Variants of an image [V, S, S, 3], uint8."""
    made = [corrupted(image_SS3, name, severity, sample_id=sample_id, seed=seed) for name, severity in VARIANTS]
    return np.stack([image_SS3, *made])


def correct_on_corrupted(
    images: Iterable[tuple[np.ndarray, str]],
    labels_N: np.ndarray,
    predict: dict[ArmName, Callable[[Tensor], np.ndarray]],
    *,
    seed: int,
) -> dict[ArmName, np.ndarray]:
    """Correctness by arm [N, V]: 1 where the prediction is correct, else 0, also if probabilities are not finite.

    Args:
        images: arrays [S, S, 3], uint8, each with its sample_id.
        labels_N: class indices.
        predict: function of each arm from images [V, S, S, 3] to probabilities [V, K].
    """
    correct: dict[ArmName, list[np.ndarray]] = {arm: [] for arm in predict}
    for (image_SS3, sample_id), label in zip(images, labels_N, strict=True):
        variants_VSS3 = torch.from_numpy(variants_of(image_SS3, sample_id, seed=seed))
        for arm, probabilities_of in predict.items():
            correct[arm].append(predicted_classes(probabilities_of(variants_VSS3)) == label)
    return {arm: np.array(rows, dtype=float) for arm, rows in correct.items()}


def clean_accuracy(correct_NV: np.ndarray, groups_N: np.ndarray | None = None) -> Interval:
    return share_interval(correct_NV[:, 0], groups_N, confidence=CONFIDENCE)


def corrupted_scores(correct_NV: np.ndarray, groups_N: np.ndarray | None = None) -> list[CorruptedScore]:
    """One score per corruption and severity, in the order of `VARIANTS`."""
    return [
        CorruptedScore(
            corruption=name,
            severity=severity,
            accuracy=share_interval(correct_NV[:, column], groups_N, confidence=CONFIDENCE),
            drop_points=item_interval(
                100 * (correct_NV[:, 0] - correct_NV[:, column]), groups_N, bounds=(-100, 100), confidence=CONFIDENCE
            ),
        )
        for column, (name, severity) in enumerate(VARIANTS, start=1)
    ]


def drop_differences(correct: dict[ArmName, np.ndarray], groups_N: np.ndarray | None = None) -> list[DropDifference]:
    """One difference per corruption: which arm loses more accuracy, over its severities.

    The drop is averaged over severities, as in the corruption error of ImageNet-C, and relative to the clean images, as
    in its relative corruption error (Hendrycks and Dietterich 2019, section 4.2). All intervals hold simultaneously
    with a probability of 95 %: each has the level 5 % divided by the number of corruptions (Bonferroni).
    """
    confidence = 1 - (1 - CONFIDENCE) / len(CORRUPTIONS)
    differences = []
    for name in CORRUPTIONS:
        points_N = _drops(correct["transfer"], name) - _drops(correct["baseline"], name)
        points = item_interval(points_N, groups_N, bounds=(-200, 200), confidence=confidence)  # +-100 for each arm
        first: ArmName | None = "transfer" if points.low > 0 else "baseline" if points.high < 0 else None
        differences.append(DropDifference(corruption=name, points=points, breaks_first=first))
    return differences


def breaks_first_in_words(differences: list[DropDifference], num_items: int, num_units: int) -> str:
    """Sentence on which arm breaks first, with the number of items."""
    shown = [
        f"under {IN_WORDS[found.corruption]} {found.breaks_first} breaks first (accuracy falls by {_size_of(found)})"
        for found in differences
        if found.breaks_first
    ]
    undecided = [IN_WORDS[found.corruption] for found in differences if not found.breaks_first]
    if undecided:
        shown.append(f"under {_listing(undecided)} neither arm is shown to break first")
    sentence = "; ".join(shown)
    counted = items_in_words(num_items, num_units)
    return f"{sentence[0].upper()}{sentence[1:]} ({counted}, 95 % for all corruptions together)."


def _size_of(found: DropDifference) -> str:
    low, high = sorted((abs(found.points.low), abs(found.points.high)))
    return f"{abs(found.points.mean):.1f} points more, {low:.1f} to {high:.1f}"


def _listing(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _drops(correct_NV: np.ndarray, name: str) -> np.ndarray:
    """Drop of each item [N], in points, averaged over the severities of a corruption."""
    columns = [column for column, (corruption, _) in enumerate(VARIANTS, start=1) if corruption == name]
    return 100 * (correct_NV[:, [0]] - correct_NV[:, columns]).mean(axis=1)
