"""What the stage examine might have found."""

from graft.core.artifacts import Interval
from graft.examination.result import ArmExamination, Calibration, CorruptedScore, Examination, ReliabilityBin
from graft.examination.robustness import VARIANTS


def an_examination() -> Examination:
    def around(mean: float) -> Interval:
        return Interval(mean=mean, low=mean - 0.1, high=mean + 0.1)

    def examined(accuracy: float) -> ArmExamination:
        calibration = Calibration(ece=around(0.12), ece_by_chance=0.04, log_loss=around(0.5))
        return ArmExamination(
            seed=1, temperature=around(1.4), before=calibration, after=calibration, log_loss_saved=around(0.05),
            reliability=[
                ReliabilityBin(confidence=confidence, accuracy=around(confidence - 0.1), num_items=20)
                for confidence in (0.6, 0.8, 0.9)
            ],
            clean_accuracy=around(accuracy),
            corrupted=[
                CorruptedScore(corruption=name, severity=severity, accuracy=around(accuracy), drop_points=around(3.0))
                for name, severity in VARIANTS
            ],
        )  # fmt: skip

    return Examination(
        inputs={}, num_validation=20, num_validation_units=20, num_test=40, num_test_units=40, num_corrupted=33,
        num_corrupted_units=33, differences=[], claim="Under noise both hold.",
        arms={"transfer": examined(0.9), "baseline": examined(0.8)},
    )  # fmt: skip
