"""The recipe of a training: its phases, and every number that changes its result."""

from dataclasses import dataclass, replace
from typing import Literal

from graft.core.choices import BatchNormStatistics, ClassBalance, Mixing, Precision, Schedule

RISE = 1e6
"""Ratio of the last to the first learning rate of a rising schedule."""


@dataclass(frozen=True)
class Phase:
    """A part of a training in which the same blocks are trained."""

    num_frozen: int
    """Number of frozen blocks, counted from the input; never more than in the previous phase."""
    num_epochs: float
    """Number of epochs; may be fractional, so that two arms can have equal compute."""
    backbone_learning_rate: float
    head_learning_rate: float


@dataclass(frozen=True)
class Recipe:
    phases: tuple[Phase, ...]
    batch_size: int
    weight_decay: float
    label_smoothing: float
    warmup_fraction: float
    """Share of each phase with a rising learning rate, 0..1."""
    schedule: Schedule | Literal["rising"] = "one_cycle"
    """cosine: one_cycle without the cycle of the momentum. rising: exponentially from the rates of the phase to RISE
    times them, only for graft.training.rate_finder."""
    precision: Precision = "float32"
    """Precision of the forward and backward passes; weights and optimizer are float32."""
    lora_rank: int | None = None
    """Rank of the adapters that are trained instead of the backbone's weights; None: no adapters."""
    layer_decay: float = 1.0
    """Factor between the learning rates of a block and of the next one."""
    decay_norm_and_bias: bool = True
    """True: weight decay also applies to biases and the scales of norms."""
    batchnorm_statistics: BatchNormStatistics = "target"
    """source: BatchNorm normalises by the source's statistics, as in evaluation, and its scales and shifts are trained.
    target: by the statistics of each batch in training, and by their average in evaluation."""
    class_balance: ClassBalance = "none"
    mixing: Mixing = "none"
    mixing_alpha: float = 0.2
    ema_decay: float = 0.0
    """Decay of the moving average of the weights, which becomes the final weights; 0: no average."""
    wise_ft_share: float = 1.0
    """Interpolation of the final weights between start (0) and end (1) of the last phase."""
    l2_sp: float = 0.0
    """Strength of the pull to the pretrained weights; above 0 it replaces weight decay, whose strength then applies to
    the pull of the head to zero."""
    bss: float = 0.0
    """Strength of batch spectral shrinkage."""
    early_stopping_patience: int | None = None
    """Number of epochs without a lower validation loss after which the last phase ends; the best epoch is kept."""

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
    """Number of the first epoch, from 1."""


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
    """The recipe scaled to `num_steps` optimiser steps, in the same proportions of phases."""
    share = num_steps / num_batches(num_samples, recipe.batch_size) / recipe.num_epochs
    phases = tuple(replace(phase, num_epochs=share * phase.num_epochs) for phase in recipe.phases)
    return replace(recipe, phases=phases)


def num_batches(num_samples: int, batch_size: int, num_processes: int = 1) -> int:
    """Batches per epoch; a last batch with one sample for a process is dropped, since BatchNorm cannot train on it."""
    return num_samples // batch_size + (num_samples % batch_size >= 2 * num_processes)
