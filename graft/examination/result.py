"""Calibration and robustness of both arms: artifacts/examination.json.

All results are those of one kept model per arm, so every interval covers the variation between items, not that between
seeds. Items that share a group or are near duplicates are correlated: they are one unit (graft.data.units).
"""

from typing import ClassVar, Literal

from graft.core.arms import ArmName
from graft.core.artifacts import Artifact, Interval, Link
from graft.statistics.calibration import Calibration, ReliabilityBin
from graft.statistics.units import MIN_UNITS, items_in_words

CorruptionName = Literal["blur", "noise", "brightness", "jpeg"]


IN_WORDS: dict[CorruptionName, str] = {
    "blur": "blur",
    "noise": "noise",
    "brightness": "brightness",
    "jpeg": "JPEG compression",
}


class CorruptedScore(Artifact):
    """Accuracy on the corrupted test items, for one corruption at one severity."""

    corruption: CorruptionName
    severity: int
    """Severity of ImageNet-C, 1..5."""
    accuracy: Interval
    """Accuracy, 0..1, with Wilson's interval (graft.statistics.intervals)."""
    drop_points: Interval
    """Accuracy on clean images minus this one, paired by item."""


class ArmExamination(Artifact):
    seed: int
    """Seed of the kept model."""
    temperature: Interval
    """Temperature fitted to the validation split; above 1: the model is overconfident."""
    before: Calibration
    """Calibration without the temperature."""
    after: Calibration
    """Calibration with the temperature."""
    log_loss_saved: Interval
    """Log-loss saved by the temperature, nats per test item, paired by item; below 0: it does harm."""
    reliability: list[ReliabilityBin]
    """Reliability without the temperature, least confident bin first."""
    clean_accuracy: Interval
    """Accuracy on the same test items before they were corrupted."""
    corrupted: list[CorruptedScore]


class DropDifference(Artifact):
    """Difference between the arms for one corruption, over all its severities."""

    corruption: CorruptionName
    points: Interval
    """Mean drop of the transfer arm minus that of the baseline arm, paired by item; the intervals of all corruptions
    hold simultaneously at 95 %."""
    breaks_first: ArmName | None
    """Arm that loses more accuracy; None: the difference is not significant."""


class Examination(Link):
    NAME: ClassVar = "examination.json"

    num_validation: int
    num_validation_units: int
    num_test: int
    num_test_units: int
    num_corrupted: int
    """Number of test items that were corrupted."""
    num_corrupted_units: int
    arms: dict[ArmName, ArmExamination]
    differences: list[DropDifference]
    claim: str
    """Sentence on which arm breaks first."""

    @property
    def validation_in_words(self) -> str:
        return items_in_words(self.num_validation, self.num_validation_units, "validation items")

    @property
    def test_in_words(self) -> str:
        return items_in_words(self.num_test, self.num_test_units)

    @property
    def corrupted_in_words(self) -> str:
        return items_in_words(self.num_corrupted, self.num_corrupted_units)

    @property
    def too_few_units_in_words(self) -> str:
        """Warning that the intervals may be too narrow; empty if there are enough units."""
        fewest = min(self.num_validation_units, self.num_test_units, self.num_corrupted_units)
        if fewest >= MIN_UNITS:
            return ""
        groups = "1 group" if fewest == 1 else f"{fewest} groups"
        return f"With only {groups} these ranges may be too narrow; they are reliable from {MIN_UNITS} groups on."
