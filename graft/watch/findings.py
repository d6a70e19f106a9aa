"""Findings of a watch, the thresholds of its rules, and the parameters to change.

The names of the rules follow the built-in ones of SageMaker Debugger.
"""

from dataclasses import dataclass

from graft.core.artifacts import Artifact


@dataclass(frozen=True)
class Thresholds:
    """Limits of the rules. "Measured" refers to the healthy trainings of `python -m benchmarks.watch_false_alarms`."""

    sampled_every: int = 50
    """Interval of the steps whose gradients, activations and statistics are examined, besides steps 1, 2, 4, 8, ..."""

    smallest_gradient: float = 1e-7
    """Root mean square over a block. SageMaker's limit; below it Adam's eps (1e-8, Kingma and Ba 2015) shortens steps.
    Measured: 1e-5 and more."""
    smallest_gradient_to_head: float = 1e-4
    """Second limit, relative to the head's gradient: if that vanishes too, the loss is simply fitted."""
    vanishing_samples: int = 3
    """Number of consecutive sampled steps; a single one may be a batch that is fitted already."""

    largest_gradient_growth: float = 100.0
    """Norm of all gradients over the median of the earlier samples. Measured: up to 4."""
    growth_samples: int = 4
    """Number of samples needed for that median."""
    largest_loss_growth: float = 10.0
    """Loss over that of the first step or of guessing, ln K, whichever is larger.
    Measured: up to 4."""

    smallest_spread: float = 1e-3
    """A channel whose outputs differ by less than this part of the layer's widest channel counts as dead."""
    smallest_absolute_spread: float = 1e-6
    """Absolute limit of the same difference, for layers that are dead as a whole."""
    dead_share: float = 0.7
    """Share of the channels of one layer. Measured: up to 0.48, late in a network with images below its own size."""
    dead_images: int = 128
    """Number of images after which channels are judged: with few, a rare feature looks dead."""

    smallest_loss_fall: float = 0.03
    """Relative fall of the lowest mean loss of an epoch below the first. Measured: 0.06 and more if it stayed high."""
    loss_share: float = 0.6
    """Share of the training that must have passed; warm-up and the highest learning rates are over then."""
    still_guessing: float = 0.7
    """Loss over ln K; a lower loss has already fallen, and may stay where it is."""

    overfitting_epochs: int = 3
    """Number of consecutive epochs above the lowest validation loss, with a training loss below that of its epoch."""
    overfitting_rise: float = 0.1
    """Rise of the validation loss over its minimum, relative to it."""
    overfitting_errors: float = 2.0
    """The same rise in standard errors of the mean over the validation samples (one-sided p = 0.02)."""

    unchanged_steps: int = 20
    """Number of steps. Adam moves a tensor with a gradient at every step; a branch may be unused for a few."""

    nothing_learned_share: float = 0.6
    """Share of the training that must have passed; warm-up and the high learning rates are over then."""
    nothing_learned_epochs: int = 2
    """Number of consecutive epochs."""
    nothing_learned_p: float = 0.01
    """p-value of an accuracy above the majority class, and of probabilities that rank the classes."""

    drift_deviations: float = 10.0
    """Distance of a layer's statistics from the source's, median over channels, in the source's standard deviations.
    Measured: up to 4.6."""
    drift_steps: int = 8
    """Steps of a phase before trained blocks are judged: with PyTorch's momentum of 0.1 their statistics are then more
    than half adapted, and the effect of a far too high learning rate has reached the loss."""
    drift_channels: int = 32
    """Number of evenly spaced channels that represent a layer; they are saved for a resumed training."""

    preprocessing_deviations: float = 5.0
    """Mean distance, as above, of the inputs at the first BatchNorm. Measured: up to 1.7; 64 and more for images in
    0..255 where deviations of 1 are expected."""
    outside_range: float = 0.02
    """Tolerance relative to the range of normalised images; rounding and resizing need less."""
    smallest_input_range: float = 0.02
    """Share of the range that the inputs use: 5 of 256 grey values."""

    imbalance_share: float = 0.75
    """Share of the training that must have passed."""
    imbalance_epochs: int = 2
    """Number of consecutive epochs."""
    imbalance_p: float = 0.001
    """p-value of the exact test, over all classes together."""
    imbalance_factor: float = 3.0
    """Ratio of predictions to labels of a class, or its inverse. Imperfect classifiers of unequal classes always make
    a few one-sided errors."""


@dataclass(frozen=True)
class Finding:
    """A finding of a watch, JSON-able by `dataclasses.asdict`."""

    rule: str
    step: int
    seen: str
    cause: str
    """Likely cause."""
    parameter: str
    """Key of params.yaml to change, or of sources.yaml if the text names that file."""

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
        "too large a step moved these channels to where their activation is flat",
        "finetune.backbone_learning_rate",
        "baseline.learning_rate",
    ),
    "loss_not_decreasing": Advice(
        "the learning rate is far too low, or so high that steps overshoot; or labels do not belong to their images",
        "finetune.head_learning_rate",
        "baseline.learning_rate",
    ),
    "overfitting": Advice(
        "the training is too long for so few images", "finetune.num_epochs", "baseline.compute_ratio"
    ),
    "unchanged_tensors": Advice(
        "cut off from the loss, not given to the optimiser, or a learning rate too low for float32",
        "finetune.backbone_learning_rate",
        "baseline.learning_rate",
    ),
    "head_learns_nothing": Advice(
        "labels do not belong to their images, or the trained blocks cannot distinguish the classes",
        "finetune.num_trained_blocks",
        "baseline.compute_ratio",
    ),
    "batchnorm_drift": Advice(
        "batches unlike those of the source, or too small, or a learning rate too high",
        "finetune.num_trained_blocks",
        "arms.batch_size",
    ),
    "wrong_preprocessing": Advice(
        "images are not normalised as the source expects",
        "preprocessing in sources.yaml",
        "preprocessing in sources.yaml",
    ),
    "prediction_imbalance": Advice(
        "rare classes have too little weight in the loss", "arms.class_balance", "arms.class_balance"
    ),
}

FROZEN_DRIFT = Advice(
    "frozen blocks run in training mode, which changes their statistics",
    "finetune.num_trained_blocks",
    "finetune.num_trained_blocks",
)
"""Advice for drift of frozen blocks, instead of that of batchnorm_drift."""

CONSEQUENCES = {
    "vanishing_gradients": {"loss_not_decreasing", "head_learns_nothing", "prediction_imbalance"},
    "exploding_gradients": set(ADVICE) - {"wrong_preprocessing"},
    "wrong_preprocessing": {"batchnorm_drift"},
    "loss_not_decreasing": {"head_learns_nothing", "prediction_imbalance"},
    "head_learns_nothing": {"overfitting", "prediction_imbalance"},
}
"""Rule -> rules whose findings would be its consequences, and are not reported again."""


class TrainingFinding(Artifact):
    """A finding of the watch in the training of a seed (graft.watch.watch)."""

    seed: int
    rule: str
    step: int
    seen: str
    """Observation, with numbers."""
    cause: str
    """Likely cause."""
    parameter: str
    """Key of params.yaml to change."""
