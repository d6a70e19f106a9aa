"""What a training is told: its phases, and every number that changes its result."""

from dataclasses import dataclass, replace
from typing import Literal

RISE = 1e6
"""From the first to the last rate of a rising schedule."""


@dataclass(frozen=True)
class Phase:
    """A stretch of training in which the same blocks learn."""

    num_frozen: int
    """Blocks counted from the input that stand still; never more than in the phase before."""
    num_epochs: float
    """The last epoch may be a part of one, so that two arms can be given the very same compute."""
    backbone_learning_rate: float
    head_learning_rate: float


@dataclass(frozen=True)
class Recipe:
    phases: tuple[Phase, ...]
    batch_size: int
    weight_decay: float
    label_smoothing: float
    warmup_fraction: float
    """Of each phase."""
    schedule: Literal["one_cycle", "cosine", "rising"] = "one_cycle"
    """cosine: without the cycle of the momentum. rising: exponentially from the rates of the phase to RISE times them,
    for graft.training.rate_finder alone."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the passes forward and backward; weights and optimizer are float32."""
    lora_rank: int | None = None
    """Of the adapters that learn in place of the backbone's own weights; None: these learn themselves."""
    layer_decay: float = 1.0
    """Factor of the learning rate from a block to the one before it."""
    decay_norm_and_bias: bool = True
    """Whether weight decay holds for biases and the scales of norms too."""
    batchnorm_statistics: Literal["source", "target"] = "target"
    """source: BatchNorm normalises by what the source saw, as in evaluation, and its scales and shifts learn. target:
    by each batch in training, and by the average over batches in evaluation."""
    class_balance: Literal["none", "weights", "sampling"] = "none"
    mixing: Literal["none", "mixup", "cutmix"] = "none"
    mixing_alpha: float = 0.2
    ema_decay: float = 0.0
    """Of the moving average of the weights that is kept in the end; 0: the last weights are."""
    wise_ft_share: float = 1.0
    """How far the kept weights lie on the way from the start of the last phase to its end; 1: at its end."""
    l2_sp: float = 0.0
    """Strength of the pull to the pretrained weights; takes the place of weight decay where it is above 0, and pulls
    the head to zero with the strength of that."""
    bss: float = 0.0
    """Strength of batch spectral shrinkage."""
    early_stopping_patience: int | None = None
    """Epochs of the last phase without a lower validation loss, after which it ends; the best epoch is kept."""

    def __post_init__(self) -> None:
        frozen = [phase.num_frozen for phase in self.phases]
        assert frozen == sorted(frozen, reverse=True), "blocks are unfrozen, never frozen again"

    @property
    def num_epochs(self) -> float:
        return sum(phase.num_epochs for phase in self.phases)


@dataclass(frozen=True)
class Span:
    """The steps of a phase: [first_step, first_step + num_steps)."""

    phase: Phase
    first_step: int
    num_steps: int
    first_epoch: int
    """1 for the first phase's."""


def spans_of(recipe: Recipe, num_samples: int, num_processes: int = 1) -> list[Span]:
    per_epoch = num_batches(num_samples, recipe.batch_size, num_processes)
    spans: list[Span] = []
    step, epoch = 0, 1
    for phase in recipe.phases:
        num_steps = max(2, round(phase.num_epochs * per_epoch))
        spans.append(Span(phase, step, num_steps, epoch))
        step += num_steps
        epoch += -(-num_steps // per_epoch)
    return spans


def num_steps_of(recipe: Recipe, num_samples: int) -> int:
    """Optimiser steps of a whole training."""
    return sum(span.num_steps for span in spans_of(recipe, num_samples))


def shortened(recipe: Recipe, num_steps: int, num_samples: int) -> Recipe:
    """The same recipe for so many optimiser steps, shared among its phases as before."""
    share = num_steps / num_batches(num_samples, recipe.batch_size) / recipe.num_epochs
    phases = tuple(replace(phase, num_epochs=share * phase.num_epochs) for phase in recipe.phases)
    return replace(recipe, phases=phases)


def num_batches(num_samples: int, batch_size: int, num_processes: int = 1) -> int:
    """A last batch that leaves a process a single sample is left out: BatchNorm cannot train on it."""
    return num_samples // batch_size + (num_samples % batch_size >= 2 * num_processes)
