"""Watches a training and says what goes wrong while it happens: the rules of graft/watch/rules.py at their time.

Most steps cost one comparison; gradients, activations and statistics are looked at in sampled steps only. The training
is the same to the bit with and without. B batch, C channels, H height, W width, N samples, K classes.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor, nn

from graft.core.arms import ArmName
from graft.core.finite import MIN_PROBABILITY
from graft.networks.backbones import Classifier
from graft.selection.domain import batchnorm_shift
from graft.watch import rules
from graft.watch.findings import ADVICE, CONSEQUENCES, FROZEN_DRIFT, Advice, Finding, Thresholds
from graft.watch.rules import EpochSeen
from graft.watch.sensors import (
    batchnorms,
    block_gradients,
    fingerprint,
    gradient_norms,
    knows_its_source,
    spreads_seen,
    statistics,
)


@dataclass
class Unmoved:
    """A trainable tensor that has not been seen to move yet."""

    fingerprint: int
    has_gradient: bool = False


@dataclass
class Memory:
    """All that a watch knows, JSON-able."""

    step: int = 0
    phase_start: int = 0
    findings: list[Finding] = field(default_factory=list)
    first_loss: float | None = None
    gradient_norms: list[float] = field(default_factory=list)
    vanishing_streaks: dict[str, int] = field(default_factory=dict)
    num_pictures: int = 0
    alive: dict[str, str] = field(default_factory=dict)
    """By layer, a digit a channel: whether it told anything of the last `num_pictures` pictures."""
    unmoved: dict[str, Unmoved] = field(default_factory=dict)
    frozen_statistics: dict[str, list[int]] = field(default_factory=dict)
    source_statistics: dict[str, list[list[float]]] = field(default_factory=dict)
    epochs: list[EpochSeen] = field(default_factory=list)
    nothing_learnt_epochs: int = 0
    """In a row, up to the last."""
    lopsided_epochs: int = 0
    trains_head_alone: bool = False


class Watch:
    """One a training. The loop calls, in this order:

    `check_inputs` once, `begin_phase` before the first step and after blocks are unfrozen; in every step `forward`
    around the forward pass, `after_backward`, `after_step`; `after_epoch`. After `restore` no phase begins anew. The
    model is always the classifier itself, not what wraps it for a device.
    """

    def __init__(
        self,
        arm: ArmName,
        num_steps: int,
        num_classes: int,
        *,
        limits: Thresholds | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        """
        Args:
            num_steps: of the whole training.
            say: gets each finding as a line, once.
        """
        self._arm: ArmName = arm
        self._num_steps = num_steps
        self._num_classes = num_classes
        self._limits = limits or Thresholds()
        self._say = say
        self._memory = Memory()

    @property
    def findings(self) -> list[Finding]:
        return list(self._memory.findings)

    def state(self) -> dict[str, Any]:
        """JSON-able: what `restore` needs so that a resumed training says what an undisturbed one does."""
        return dataclasses.asdict(self._memory)

    def restore(self, state: dict[str, Any]) -> None:
        self._memory = Memory(
            **{
                **state,
                "findings": [Finding(**finding) for finding in state["findings"]],
                "unmoved": {name: Unmoved(**unmoved) for name, unmoved in state["unmoved"].items()},
                "epochs": [EpochSeen(**epoch) for epoch in state["epochs"]],
            }
        )

    def check_inputs(
        self, normalised_BCHW: Tensor, model: Classifier, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        """A batch of pictures as the network gets them, and the normalisation (0..1) that its source expects."""
        seen = rules.inputs_out_of_range(normalised_BCHW.cpu().numpy(), mean, std, self._limits)
        first = model.backbone.blocks[:1]
        norms = batchnorms(first).values()
        if seen is None and self._arm == "transfer" and norms and all(map(knows_its_source, norms)):
            shift = batchnorm_shift(first, normalised_BCHW)
            seen = rules.inputs_unlike_the_source(shift or 0.0, self._limits)
        self._tell("wrong_preprocessing", seen)

    def begin_phase(self, model: Classifier, step: int = 0) -> None:
        """
        Args:
            step: how many steps are done.
        """
        memory = self._memory
        memory.phase_start = step
        memory.trains_head_alone = len(model.trained_blocks) == 0
        memory.gradient_norms, memory.vanishing_streaks = [], {}
        memory.num_pictures, memory.alive = 0, {}
        memory.unmoved = {
            name: Unmoved(fingerprint(parameter))
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        }
        memory.frozen_statistics = _frozen_statistics(model)
        self._learn_source_statistics(model)

    @contextmanager
    def forward(self, step: int, model: Classifier) -> Iterator[None]:
        """Around the forward pass of training step `step`, which counts from 1."""
        if not self._is_sampled(step):
            yield
            return
        with spreads_seen(model) as spreads:
            yield
        for layer, spread_C in spreads.items():
            least = self._limits.smallest_spread * spread_C.max()
            alive_C = spread_C > least.clamp(min=self._limits.smallest_absolute_spread)
            before = self._memory.alive.get(layer, "0" * len(alive_C))
            self._memory.alive[layer] = "".join(
                "1" if now or was == "1" else "0" for now, was in zip(alive_C.tolist(), before, strict=True)
            )

    def after_backward(self, step: int, loss: float, batch_size: int, model: Classifier) -> None:
        """
        Args:
            loss: of this step.
        """
        memory, limits = self._memory, self._limits
        memory.step = step
        memory.first_loss = loss if memory.first_loss is None else memory.first_loss
        norms = gradient_norms(model) if self._is_sampled(step) else None
        norm = None if norms is None else math.hypot(*norms.values())
        seen = rules.exploding_gradients(
            loss, memory.first_loss, norm, memory.gradient_norms, self._num_classes, limits
        )
        self._tell("exploding_gradients", seen)
        if norms is not None and norm is not None:
            memory.gradient_norms.append(norm)
            self._judge_channels(batch_size)
            self._judge_blocks(block_gradients(model, norms))
            for name, unmoved in memory.unmoved.items():
                unmoved.has_gradient |= norms.get(name, 0.0) != 0

    def after_step(self, step: int, model: Classifier) -> None:
        if self._is_sampled(step):
            self._judge_unmoved(step, model)
            self._judge_batchnorms(step, model)

    def after_epoch(self, train_loss: float, probabilities_NK: Tensor, labels_N: Tensor) -> None:
        """
        Args:
            train_loss: mean over the steps of the epoch.
            probabilities_NK, labels_N: of the validation samples, on the CPU.
        """
        memory, limits = self._memory, self._limits
        losses_N = -probabilities_NK.gather(1, labels_N[:, None]).clamp(min=MIN_PROBABILITY).log().double()
        error = losses_N.std().item() / math.sqrt(len(labels_N))
        memory.epochs.append(EpochSeen(train_loss, losses_N.mean().item(), error))
        self._tell("exploding_gradients", rules.validation_loss_not_finite(memory.epochs[-1].validation_loss))
        done = memory.step / self._num_steps
        if done >= limits.loss_share:
            num_classes = probabilities_NK.shape[1]
            self._tell("loss_not_decreasing", rules.loss_not_decreasing(memory.epochs, num_classes, limits))
        self._judge_predictions(probabilities_NK.numpy(), labels_N.numpy(), done)
        self._tell("overfitting", rules.overfitting(memory.epochs, limits))

    def _is_sampled(self, step: int) -> bool:
        return is_sampled(step - self._memory.phase_start, self._limits.sampled_every)

    def _judge_predictions(self, probabilities_NK: np.ndarray, labels_N: np.ndarray, done: float) -> None:
        """
        Args:
            done: share of the training.
        """
        memory, limits = self._memory, self._limits
        nothing = rules.head_learns_nothing(probabilities_NK, labels_N, limits)
        memory.nothing_learnt_epochs = memory.nothing_learnt_epochs + 1 if nothing else 0
        if done >= limits.nothing_learnt_share and memory.nothing_learnt_epochs >= limits.nothing_learnt_epochs:
            self._tell("head_learns_nothing", nothing)
        lopsided = rules.prediction_imbalance(probabilities_NK, labels_N, limits)
        memory.lopsided_epochs = memory.lopsided_epochs + 1 if lopsided else 0
        if done >= limits.imbalance_share and memory.lopsided_epochs >= limits.imbalance_epochs:
            self._tell("prediction_imbalance", lopsided)

    def _judge_channels(self, batch_size: int) -> None:
        memory = self._memory
        memory.num_pictures += batch_size
        if memory.num_pictures >= self._limits.dead_pictures:
            shares = {layer: digits.count("0") / len(digits) for layer, digits in memory.alive.items()}
            self._tell("dead_activations", rules.dead_activations(shares, self._limits))
            memory.num_pictures, memory.alive = 0, {}

    def _judge_blocks(self, gradients: dict[str, float]) -> None:
        limits, streaks = self._limits, self._memory.vanishing_streaks
        head = gradients.pop("head", 0.0)
        least = min(limits.smallest_gradient, limits.smallest_gradient_to_head * head)
        for block, gradient in gradients.items():
            streaks[block] = streaks.get(block, 0) + 1 if gradient < least else 0
        smallest = min(gradients.values(), default=0.0)
        self._tell("vanishing_gradients", rules.vanishing_gradients(streaks, smallest, limits))

    def _judge_unmoved(self, step: int, model: Classifier) -> None:
        memory = self._memory
        parameters = dict(model.named_parameters())
        still = {
            name for name, unmoved in memory.unmoved.items() if fingerprint(parameters[name]) == unmoved.fingerprint
        }
        memory.unmoved = {
            name: unmoved for name, unmoved in memory.unmoved.items() if name in still or not unmoved.has_gradient
        }
        if step - memory.phase_start >= self._limits.unchanged_steps:
            without = [name for name, unmoved in memory.unmoved.items() if not unmoved.has_gradient]
            seen = rules.unchanged_tensors(list(memory.unmoved), without, step - memory.phase_start)
            self._tell("unchanged_tensors", seen)
            memory.unmoved = {}

    def _learn_source_statistics(self, model: Classifier) -> None:
        known = self._memory.source_statistics
        for name, norm in _trained_batchnorms(model).items():
            if name not in known and knows_its_source(norm):
                known[name] = statistics(norm, self._limits.drift_channels)

    def _judge_batchnorms(self, step: int, model: Classifier) -> None:
        memory, limits = self._memory, self._limits
        now = _frozen_statistics(model)
        moved = [name for name, before in memory.frozen_statistics.items() if now[name] != before]
        self._tell("batchnorm_drift", rules.frozen_batchnorms_moved(moved), FROZEN_DRIFT)
        if self._arm == "baseline":  # random weights have no source
            return
        self._learn_source_statistics(model)
        if step - memory.phase_start >= limits.drift_steps:
            drifts = {
                name: rules.drift(memory.source_statistics[name], statistics(norm, limits.drift_channels))
                for name, norm in _trained_batchnorms(model).items()
                if name in memory.source_statistics
            }
            self._tell("batchnorm_drift", rules.batchnorm_drift(drifts, limits))

    def _tell(self, rule: str, seen: str | None, advice: Advice | None = None) -> None:
        """
        Args:
            advice: where it is not that of the rule.
        """
        memory = self._memory
        told = {finding.rule for finding in memory.findings}
        follows = any(rule in CONSEQUENCES.get(other, ()) for other in told)
        if seen is None or rule in told or follows:
            return
        advice = advice or ADVICE[rule]
        parameter = advice.transfer if self._arm == "transfer" else advice.baseline
        if memory.trains_head_alone and parameter == "finetune.backbone_learning_rate":
            parameter = "finetune.head_learning_rate"
        finding = Finding(rule, memory.step, seen, advice.cause, parameter)
        memory.findings.append(finding)
        self._say(f"  watch: {finding}")


def is_sampled(step: int, every: int) -> bool:
    """Whether a step of a phase, from 1, is looked at closely."""
    return step % every == 0 or step & (step - 1) == 0


def _trained_batchnorms(model: Classifier) -> dict[str, Any]:
    return _by_block(model.trained_blocks, model.num_frozen)


def _frozen_statistics(model: Classifier) -> dict[str, list[int]]:
    return {
        name: [fingerprint(norm.running_mean), fingerprint(norm.running_var)]
        for name, norm in _by_block(model.frozen_blocks, 0).items()
    }


def _by_block(blocks: nn.Sequential, first: int) -> dict[str, Any]:
    """The BatchNorms by block and name; a block keeps its number when more are trained."""
    return {
        f"block {number} ({name})": norm
        for number, block in enumerate(blocks, start=first)
        for name, norm in batchnorms(block).items()
    }
