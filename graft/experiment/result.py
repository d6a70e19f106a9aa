"""What the training of an arm left: result.json in the arm's folder."""

from pydantic import Field

from graft.core.artifacts import ArmName, Link
from graft.watch.findings import TrainingFinding


class ArmResult(Link):
    arm: ArmName
    source: str
    seeds: list[int]
    num_train: int
    num_validation: int
    num_test: int
    validation_accuracy_per_seed: list[float]
    validation_loss_per_seed: list[float]
    """Of the kept weights, nats a sample."""
    majority_accuracy: float
    """Test accuracy of always answering the most frequent training class."""
    num_epochs: float
    training_tflops_per_seed: float
    """Floating-point operations of one seed's training, in 1e12."""
    num_trials: int
    """That its learning rates were searched with; 0: they are those of params.yaml."""
    has_converged: bool
    convergence: str
    recipe: str
    """As JSON with all digits (graft.training.recipe.Recipe), for further seeds."""
    settings: dict[str, float | int | str]
    findings: list[TrainingFinding] = Field(default_factory=list)
