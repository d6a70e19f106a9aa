"""What corrupted pictures cost the two arms. N items, V variants of each: the clean one, then every corruption.

One kept model an arm: units of items are the sample (graft.transfer.units), and all is paired by item. `groups_N` names
the unit of each item; None: each is one.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from graft.core.arms import ArmName
from graft.core.artifacts import Interval
from graft.core.finite import predicted_classes
from graft.examination.calibration import CONFIDENCE
from graft.examination.corruptions import CORRUPTIONS, SEVERITIES, corrupted
from graft.examination.result import IN_WORDS, CorruptedScore, DropDifference
from graft.transfer.item_intervals import item_interval, share_interval
from graft.transfer.units import items_in_words

VARIANTS = [(name, severity) for name in CORRUPTIONS for severity in SEVERITIES]
"""After the clean picture, which is variant 0."""


def variants_of(picture_SS3: np.ndarray, sample_id: str, *, seed: int) -> np.ndarray:
    """[V, S, S, 3], uint8."""
    made = [corrupted(picture_SS3, name, severity, sample_id=sample_id, seed=seed) for name, severity in VARIANTS]
    return np.stack([picture_SS3, *made])


def right_answers(
    pictures: Iterable[tuple[np.ndarray, str]],
    labels_N: np.ndarray,
    predict: dict[ArmName, Callable[[Tensor], np.ndarray]],
    *,
    seed: int,
) -> dict[ArmName, np.ndarray]:
    """By arm [N, V]: 1 where it is right, else 0; an answer whose probabilities are not finite is wrong.

    Args:
        pictures: each [S, S, 3], uint8, with its sample_id.
        labels_N: class indices.
        predict: of each arm: pictures [V, S, S, 3] to probabilities [V, K].
    """
    right: dict[ArmName, list[np.ndarray]] = {arm: [] for arm in predict}
    for (picture_SS3, sample_id), label in zip(pictures, labels_N, strict=True):
        variants_VSS3 = torch.from_numpy(variants_of(picture_SS3, sample_id, seed=seed))
        for arm, probabilities_of in predict.items():
            right[arm].append(predicted_classes(probabilities_of(variants_VSS3)) == label)
    return {arm: np.array(rows, dtype=float) for arm, rows in right.items()}


def clean_accuracy(right_NV: np.ndarray, groups_N: np.ndarray | None = None) -> Interval:
    return share_interval(right_NV[:, 0], groups_N, confidence=CONFIDENCE)


def corrupted_scores(right_NV: np.ndarray, groups_N: np.ndarray | None = None) -> list[CorruptedScore]:
    """One a corruption and severity, in the order of `VARIANTS`."""
    return [
        CorruptedScore(
            corruption=name,
            severity=severity,
            accuracy=share_interval(right_NV[:, column], groups_N, confidence=CONFIDENCE),
            drop_points=item_interval(
                100 * (right_NV[:, 0] - right_NV[:, column]), groups_N, bounds=(-100, 100), confidence=CONFIDENCE
            ),
        )
        for column, (name, severity) in enumerate(VARIANTS, start=1)
    ]


def drop_differences(right: dict[ArmName, np.ndarray], groups_N: np.ndarray | None = None) -> list[DropDifference]:
    """One a corruption: which arm loses more by it, over its strengths.

    Over strengths, as the corruption error of ImageNet-C is, and less what the clean pictures cost, as its relative
    corruption error is (Hendrycks and Dietterich 2019, section 4.2). All intervals hold together with a probability of
    95 %: each has the level 5 % over the number of corruptions (Bonferroni).
    """
    confidence = 1 - (1 - CONFIDENCE) / len(CORRUPTIONS)
    differences = []
    for name in CORRUPTIONS:
        points_N = _drops(right["transfer"], name) - _drops(right["baseline"], name)
        points = item_interval(points_N, groups_N, bounds=(-200, 200), confidence=confidence)  # one gains, one loses
        first: ArmName | None = "transfer" if points.low > 0 else "baseline" if points.high < 0 else None
        differences.append(DropDifference(corruption=name, points=points, breaks_first=first))
    return differences


def breaks_first_in_words(differences: list[DropDifference], num_items: int, num_units: int) -> str:
    """One sentence with its n."""
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


def _drops(right_NV: np.ndarray, name: str) -> np.ndarray:
    """Of each item, in points, the mean over the strengths of a corruption."""
    columns = [column for column, (of_variant, _) in enumerate(VARIANTS, start=1) if of_variant == name]
    return 100 * (right_NV[:, [0]] - right_NV[:, columns]).mean(axis=1)
