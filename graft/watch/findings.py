"""What a watch says: findings, from where on a rule fires, and what the user may change.

The names of the rules follow the built-in ones of SageMaker Debugger.
"""

from dataclasses import dataclass

from graft.core.artifacts import Artifact


@dataclass(frozen=True)
class Thresholds:
    """Where "measured" stands: over the healthy trainings of `python -m benchmarks.watch_false_alarms`."""

    sampled_every: int = 50
    """Besides steps 1, 2, 4, 8, ..., every so many steps gradients, activations and statistics are looked at."""

    smallest_gradient: float = 1e-7
    """Root mean square over a block. SageMaker's limit; below it Adam's eps (1e-8, Kingma and Ba 2015) shortens steps.
    Measured: 1e-5 and more."""
    smallest_gradient_to_head: float = 1e-4
    """And over that of the head: where the head has none either, the loss is simply fitted."""
    vanishing_samples: int = 3
    """Sampled steps in a row; one alone may be a batch that is fitted already."""

    largest_gradient_growth: float = 100.0
    """Norm of all gradients over the median of those sampled before. Measured: up to 4."""
    growth_samples: int = 4
    """So many must have been sampled before there is a median to speak of."""
    largest_loss_growth: float = 10.0
    """Loss over that of the first step or of guessing, ln K, whichever is larger.
    Measured: up to 4."""

    smallest_spread: float = 1e-3
    """A channel whose outputs differ by less than this part of the layer's widest channel counts as dead."""
    smallest_absolute_spread: float = 1e-6
    """Or by less than this, where the whole layer is."""
    dead_share: float = 0.7
    """Of the channels of one layer. Measured: up to 0.48, late in a network whose pictures are smaller than its own."""
    dead_pictures: int = 128
    """A channel is judged after so many pictures: with few, a rare feature looks dead."""

    smallest_loss_fall: float = 0.03
    """Of the lowest mean loss of an epoch, over that of the first. Measured: 0.06 and more, where it stayed high."""
    loss_share: float = 0.6
    """Of the training that must have passed; warm-up and the highest learning rates are over then."""
    still_guessing: float = 0.7
    """Loss over ln K; below it the loss has fallen already, if early, and may stay."""

    overfitting_epochs: int = 3
    """So many epochs in a row lie above the lowest validation loss while training loss lies below what it was then."""
    overfitting_rise: float = 0.1
    """Of validation loss, over its lowest."""
    overfitting_errors: float = 2.0
    """And in standard errors of the mean over the validation samples (one-sided p = 0.02)."""

    unchanged_steps: int = 20
    """A tensor that receives a gradient moves at every step of Adam; a branch may be unused for a few."""

    nothing_learnt_share: float = 0.6
    """Of the training that must have passed; warm-up and the high learning rates are over then."""
    nothing_learnt_epochs: int = 2
    """In a row."""
    nothing_learnt_p: float = 0.01
    """Of accuracy above the majority class, and of probabilities that rank the classes, by chance."""

    drift_deviations: float = 10.0
    """Median over a layer's channels: how far its statistics are from the source's, in the source's deviations.
    Measured: up to 4.6."""
    drift_steps: int = 8
    """Of a phase, before which trained blocks are not judged: with PyTorch's momentum of 0.1 their statistics have come
    half the way to new ones, and what a learning rate far too high does to them has reached the loss."""
    drift_channels: int = 32
    """So many, evenly spaced, stand for a layer: they are kept for a resumed training."""

    preprocessing_deviations: float = 5.0
    """Mean distance of this kind of the inputs at the first BatchNorm. Measured: up to 1.7; 64 and more for pictures in
    0..255 where deviations of 1 are expected."""
    outside_range: float = 0.02
    """Of the range of normalised pictures; rounding and resizing leave less."""
    smallest_input_range: float = 0.02
    """Part of the range that the inputs use: 5 of 256 grey values."""

    imbalance_share: float = 0.75
    """Of the training that must have passed."""
    imbalance_epochs: int = 2
    """In a row."""
    imbalance_p: float = 0.001
    """Of the exact test, over all classes together."""
    imbalance_factor: float = 3.0
    """How many times more or less often a class is predicted than it is there. Few errors that lean to one side are
    what an imperfect classifier makes of unequal classes."""


@dataclass(frozen=True)
class Finding:
    """JSON-able by `dataclasses.asdict`."""

    rule: str
    step: int
    seen: str
    cause: str
    """The likely one."""
    parameter: str
    """What to change: a key of params.yaml, or of sources.yaml where that is said."""

    def __str__(self) -> str:
        return f"{self.rule} at step {self.step}: {self.seen}; likely cause: {self.cause}; change {self.parameter}"


@dataclass(frozen=True)
class Advice:
    cause: str
    transfer: str
    """Parameter to change in the transfer arm."""
    baseline: str


ADVICE = {
    "vanishing_gradients": Advice(
        "the signal is lost between these blocks and the head, as in deep networks without normalisation",
        "finetune.num_trained_blocks",
        "select.candidates",
    ),
    "exploding_gradients": Advice(
        "the learning rate is too high", "finetune.backbone_learning_rate", "baseline.learning_rate"
    ),
    "dead_activations": Advice(
        "a step too large pushed these channels to where their activation is flat",
        "finetune.backbone_learning_rate",
        "baseline.learning_rate",
    ),
    "loss_not_decreasing": Advice(
        "the learning rate is far too low, or so high that steps overshoot; or labels do not belong to their pictures",
        "finetune.head_learning_rate",
        "baseline.learning_rate",
    ),
    "overfitting": Advice(
        "the training is too long for so few pictures", "finetune.num_epochs", "baseline.compute_ratio"
    ),
    "unchanged_tensors": Advice(
        "cut off from the loss, not given to the optimiser, or a learning rate too low for float32",
        "finetune.backbone_learning_rate",
        "baseline.learning_rate",
    ),
    "head_learns_nothing": Advice(
        "labels do not belong to their pictures, or what is trained cannot tell the classes apart",
        "finetune.num_trained_blocks",
        "baseline.compute_ratio",
    ),
    "batchnorm_drift": Advice(
        "batches unlike what the source saw, or too small, or a learning rate too high",
        "finetune.num_trained_blocks",
        "arms.batch_size",
    ),
    "wrong_preprocessing": Advice(
        "pictures are not normalised as the source expects",
        "preprocessing in sources.yaml",
        "preprocessing in sources.yaml",
    ),
    "prediction_imbalance": Advice(
        "rare classes weigh too little in the loss", "arms.class_balance", "arms.class_balance"
    ),
}

FROZEN_DRIFT = Advice(
    "frozen blocks are run in training mode, where their statistics move",
    "finetune.num_trained_blocks",
    "finetune.num_trained_blocks",
)
"""Instead of that of batchnorm_drift."""

CONSEQUENCES = {
    "vanishing_gradients": {"loss_not_decreasing", "head_learns_nothing", "prediction_imbalance"},
    "exploding_gradients": set(ADVICE) - {"wrong_preprocessing"},
    "wrong_preprocessing": {"batchnorm_drift"},
    "loss_not_decreasing": {"head_learns_nothing", "prediction_imbalance"},
    "head_learns_nothing": {"overfitting", "prediction_imbalance"},
}
"""What follows from a finding is not said again under another name."""


class TrainingFinding(Artifact):
    """What the watch said of a training (graft.watch.watch)."""

    seed: int
    rule: str
    step: int
    seen: str
    """With numbers."""
    cause: str
    """The likely one."""
    parameter: str
    """Of params.yaml, to change."""
