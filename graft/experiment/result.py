"""Result of training an arm: result.json in the arm's folder."""

from typing import ClassVar

from pydantic import Field

from graft.core.arms import RESULT_FILE, ArmName
from graft.core.artifacts import Link
from graft.training.recipe import Recipe
from graft.watch.findings import TrainingFinding


class ArmResult(Link):
    NAME: ClassVar = RESULT_FILE
    EXACT: ClassVar = frozenset({"recipe"})

    arm: ArmName
    source: str
    seeds: list[int]
    num_train: int
    num_validation: int
    num_test: int
    validation_accuracy_per_seed: list[float]
    validation_loss_per_seed: list[float]
    """Validation loss of the final weights per seed, in nats per sample."""
    majority_accuracy: float
    """Test accuracy of always predicting the most frequent training class."""
    num_epochs: float
    training_tflops_per_seed: float
    """Floating-point operations of one seed's training, in 1e12."""
    num_trials: int
    """Number of learning-rate trials; 0 if params.yaml was used as is."""
    has_converged: bool
    convergence: str
    recipe: Recipe
    """Recipe of all seeds, including the result of a search; further seeds are trained with it too."""
    settings: dict[str, float | int | str]
    findings: list[TrainingFinding] = Field(default_factory=list)
