"""What accuracy does not tell: artifacts/examination.json.

All of it is of one kept model an arm, so every interval counts the luck of the items alone, not that of the seeds.
Items that share a group or are near duplicates share their luck: they are one unit (graft.data.units).
"""

from typing import ClassVar, Literal

from graft.core.arms import ArmName
from graft.core.artifacts import Artifact, Interval, Link
from graft.transfer.units import MIN_UNITS, items_in_words

CorruptionName = Literal["blur", "noise", "brightness", "jpeg"]


IN_WORDS: dict[CorruptionName, str] = {
    "blur": "blur",
    "noise": "noise",
    "brightness": "brightness",
    "jpeg": "JPEG compression",
}


class ReliabilityBin(Artifact):
    """Test items of about equal confidence: the probability of the predicted class."""

    confidence: float
    """Mean, 0..1."""
    accuracy: Interval
    """0..1, with Wilson's interval (graft.transfer.item_intervals)."""
    num_items: int


class Calibration(Artifact):
    """Of probabilities on the test split."""

    ece: Interval
    """Expected calibration error, 0..1 (graft.examination.calibration)."""
    ece_by_chance: float
    """A perfectly calibrated model of these confidences stays below this in 97.5 % of draws of so many items, as alike
    within units as these."""
    log_loss: Interval
    """Nats an item."""


class CorruptedScore(Artifact):
    """Of the test items that were corrupted, by one corruption at one strength."""

    corruption: CorruptionName
    severity: int
    """Of ImageNet-C, 1..5."""
    accuracy: Interval
    """0..1, with Wilson's interval (graft.transfer.item_intervals)."""
    drop_points: Interval
    """Accuracy of the clean pictures minus this one, paired by item."""


class ArmExamination(Artifact):
    seed: int
    """Of the kept model."""
    temperature: Interval
    """Fitted to the validation split; above 1: the model is too sure of itself."""
    before: Calibration
    after: Calibration
    """With the temperature."""
    log_loss_saved: Interval
    """By the temperature, nats a test item, paired by item; below 0: it does harm."""
    reliability: list[ReliabilityBin]
    """Without the temperature, least confident first."""
    clean_accuracy: Interval
    """Of those test items that were corrupted, before they were."""
    corrupted: list[CorruptedScore]


class DropDifference(Artifact):
    """Of one corruption, over all its strengths."""

    corruption: CorruptionName
    points: Interval
    """The transfer arm's mean drop minus the baseline arm's, paired by item; all corruptions' hold together at 95 %."""
    breaks_first: ArmName | None
    """The arm that loses more; None: not shown of either."""


class Examination(Link):
    NAME: ClassVar = "examination.json"

    num_validation: int
    num_validation_units: int
    num_test: int
    num_test_units: int
    num_corrupted: int
    """Test items that were corrupted."""
    num_corrupted_units: int
    arms: dict[ArmName, ArmExamination]
    differences: list[DropDifference]
    claim: str
    """Which arm breaks first, in one sentence."""

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
        """One sentence where the intervals promise more than they keep; empty elsewhere."""
        fewest = min(self.num_validation_units, self.num_test_units, self.num_corrupted_units)
        if fewest >= MIN_UNITS:
            return ""
        groups = "1 group" if fewest == 1 else f"{fewest} groups"
        return f"With as few as {groups} these ranges may be too narrow: trust them from {MIN_UNITS} groups on."
