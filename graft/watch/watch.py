"""Watches a training and reports problems as they happen, by the rules of graft/watch/rules.py.

Most steps cost one comparison; gradients, activations and statistics are examined in sampled steps only. The training
is bit-identical with and without it. B batch, C channels, H height, W width, N samples, K classes.
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
from graft.core.finite import clipped_logs
from graft.networks.backbones import Classifier
from graft.networks.batchnorm_shift import batchnorm_shift
from graft.training.observer import TrainingObserver
from graft.watch import rules
from graft.watch.findings import ADVICE, CONSEQUENCES, FROZEN_DRIFT, Advice, Finding, Thresholds
from graft.watch.rules import EpochLosses
from graft.watch.sensors import (
    batchnorms,
    block_gradients,
    fingerprint,
    gradient_norms,
    has_source_statistics,
    recorded_spreads,
    statistics,
)


@dataclass
class UnmovedTensor:
    """A trainable tensor that has not changed yet."""

    fingerprint: int
    has_gradient: bool = False


@dataclass
class WatchState:
    """State of a watch, JSON-able."""

    step: int = 0
    phase_start: int = 0
    findings: list[Finding] = field(default_factory=list)
    first_loss: float | None = None
    gradient_norms: list[float] = field(default_factory=list)
    vanishing_streaks: dict[str, int] = field(default_factory=dict)
    num_images: int = 0
    alive: dict[str, str] = field(default_factory=dict)
    """Layer -> one digit per channel: 1 if its output varied over the last `num_images` images."""
    unmoved: dict[str, UnmovedTensor] = field(default_factory=dict)
    frozen_statistics: dict[str, list[int]] = field(default_factory=dict)
    source_statistics: dict[str, list[list[float]]] = field(default_factory=dict)
    epochs: list[EpochLosses] = field(default_factory=list)
    nothing_learned_epochs: int = 0
    """Number of consecutive epochs, up to the last."""
    imbalanced_epochs: int = 0
    trains_head_alone: bool = False


class Watch(TrainingObserver):
    """Observer of one training that reports problems; `check_inputs` is called once before the training."""

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
            num_steps: steps of the whole training.
            say: called once per finding, with a line of text.
        """
        self._arm: ArmName = arm
        self._num_steps = num_steps
        self._num_classes = num_classes
        self._limits = limits or Thresholds()
        self._say = say
        self._memory = WatchState()

    @property
    def findings(self) -> list[Finding]:
        return list(self._memory.findings)

    def state(self) -> dict[str, Any]:
        """JSON-able state for `restore`, so that a resumed training has the same findings as an uninterrupted one."""
        return dataclasses.asdict(self._memory)

    def restore(self, state: dict[str, Any]) -> None:
        self._memory = WatchState(
            **{
                **state,
                "findings": [Finding(**finding) for finding in state["findings"]],
                "unmoved": {name: UnmovedTensor(**unmoved) for name, unmoved in state["unmoved"].items()},
                "epochs": [EpochLosses(**epoch) for epoch in state["epochs"]],
            }
        )

    def check_inputs(
        self, normalised_BCHW: Tensor, model: Classifier, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        """Checks a batch of network inputs against the normalisation (0..1) that the source expects."""
        seen = rules.inputs_out_of_range(normalised_BCHW.cpu().numpy(), mean, std, self._limits)
        first = model.backbone.blocks[:1]
        norms = batchnorms(first).values()
        if seen is None and self._arm == "transfer" and norms and all(map(has_source_statistics, norms)):
            shift = batchnorm_shift(first, normalised_BCHW)
            seen = rules.inputs_unlike_the_source(shift or 0.0, self._limits)
        self._report("wrong_preprocessing", seen)

    def begin_phase(self, step: int, model: Classifier) -> None:
        memory = self._memory
        memory.phase_start = step
        memory.trains_head_alone = len(model.trained_blocks) == 0
        memory.gradient_norms, memory.vanishing_streaks = [], {}
        memory.num_images, memory.alive = 0, {}
        memory.unmoved = {
            name: UnmovedTensor(fingerprint(parameter))
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        }
        memory.frozen_statistics = _frozen_statistics(model)
        self._record_source_statistics(model)

    @contextmanager
    def forward(self, step: int, model: Classifier) -> Iterator[None]:
        if not self._is_sampled(step):
            yield
            return
        with recorded_spreads(model) as spreads:
            yield
        for layer, spread_C in spreads.items():
            least = self._limits.smallest_spread * spread_C.max()
            alive_C = spread_C > least.clamp(min=self._limits.smallest_absolute_spread)
            before = self._memory.alive.get(layer, "0" * len(alive_C))
            self._memory.alive[layer] = "".join(
                "1" if now or was == "1" else "0" for now, was in zip(alive_C.tolist(), before, strict=True)
            )

    def after_backward(self, step: int, loss: float, batch_size: int, model: Classifier) -> None:
        memory, limits = self._memory, self._limits
        memory.step = step
        memory.first_loss = loss if memory.first_loss is None else memory.first_loss
        norms = gradient_norms(model) if self._is_sampled(step) else None
        norm = None if norms is None else math.hypot(*norms.values())
        seen = rules.exploding_gradients(
            loss, memory.first_loss, norm, memory.gradient_norms, self._num_classes, limits
        )
        self._report("exploding_gradients", seen)
        if norms is not None and norm is not None:
            memory.gradient_norms.append(norm)
            self._judge_channels(batch_size)
            self._judge_blocks(block_gradients(model, norms))
            for name, unmoved in memory.unmoved.items():
                unmoved.has_gradient |= norms.get(name, 0.0) != 0

    def after_update(self, step: int, model: Classifier) -> None:
        if self._is_sampled(step):
            self._judge_unmoved(step, model)
            self._judge_batchnorms(step, model)

    def after_validation(self, train_loss: float, probabilities_NK: Tensor, labels_N: Tensor) -> None:
        memory, limits = self._memory, self._limits
        losses_N = -clipped_logs(probabilities_NK.gather(1, labels_N[:, None])).double()
        error = losses_N.std().item() / math.sqrt(len(labels_N))
        memory.epochs.append(EpochLosses(train_loss, losses_N.mean().item(), error))
        self._report("exploding_gradients", rules.validation_loss_not_finite(memory.epochs[-1].validation_loss))
        done = memory.step / self._num_steps
        if done >= limits.loss_share:
            num_classes = probabilities_NK.shape[1]
            self._report("loss_not_decreasing", rules.loss_not_decreasing(memory.epochs, num_classes, limits))
        self._judge_predictions(probabilities_NK.numpy(), labels_N.numpy(), done)
        self._report("overfitting", rules.overfitting(memory.epochs, limits))

    def _is_sampled(self, step: int) -> bool:
        return is_sampled(step - self._memory.phase_start, self._limits.sampled_every)

    def _judge_predictions(self, probabilities_NK: np.ndarray, labels_N: np.ndarray, done: float) -> None:
        """
        Args:
            done: completed share of the training, 0..1.
        """
        memory, limits = self._memory, self._limits
        nothing = rules.head_learns_nothing(probabilities_NK, labels_N, limits)
        memory.nothing_learned_epochs = memory.nothing_learned_epochs + 1 if nothing else 0
        if done >= limits.nothing_learned_share and memory.nothing_learned_epochs >= limits.nothing_learned_epochs:
            self._report("head_learns_nothing", nothing)
        imbalance = rules.prediction_imbalance(probabilities_NK, labels_N, limits)
        memory.imbalanced_epochs = memory.imbalanced_epochs + 1 if imbalance else 0
        if done >= limits.imbalance_share and memory.imbalanced_epochs >= limits.imbalance_epochs:
            self._report("prediction_imbalance", imbalance)

    def _judge_channels(self, batch_size: int) -> None:
        memory = self._memory
        memory.num_images += batch_size
        if memory.num_images >= self._limits.dead_images:
            shares = {layer: digits.count("0") / len(digits) for layer, digits in memory.alive.items()}
            self._report("dead_activations", rules.dead_activations(shares, self._limits))
            memory.num_images, memory.alive = 0, {}

    def _judge_blocks(self, gradients: dict[str, float]) -> None:
        limits, streaks = self._limits, self._memory.vanishing_streaks
        head = gradients.pop("head", 0.0)
        least = min(limits.smallest_gradient, limits.smallest_gradient_to_head * head)
        for block, gradient in gradients.items():
            streaks[block] = streaks.get(block, 0) + 1 if gradient < least else 0
        smallest = min(gradients.values(), default=0.0)
        self._report("vanishing_gradients", rules.vanishing_gradients(streaks, smallest, limits))

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
            self._report("unchanged_tensors", seen)
            memory.unmoved = {}

    def _record_source_statistics(self, model: Classifier) -> None:
        known = self._memory.source_statistics
        for name, norm in _trained_batchnorms(model).items():
            if name not in known and has_source_statistics(norm):
                known[name] = statistics(norm, self._limits.drift_channels)

    def _judge_batchnorms(self, step: int, model: Classifier) -> None:
        memory, limits = self._memory, self._limits
        now = _frozen_statistics(model)
        moved = [name for name, before in memory.frozen_statistics.items() if now[name] != before]
        self._report("batchnorm_drift", rules.frozen_batchnorms_moved(moved), FROZEN_DRIFT)
        if self._arm == "baseline":  # random weights have no source
            return
        self._record_source_statistics(model)
        if step - memory.phase_start >= limits.drift_steps:
            drifts = {
                name: rules.drift(memory.source_statistics[name], statistics(norm, limits.drift_channels))
                for name, norm in _trained_batchnorms(model).items()
                if name in memory.source_statistics
            }
            self._report("batchnorm_drift", rules.batchnorm_drift(drifts, limits))

    def _report(self, rule: str, seen: str | None, advice: Advice | None = None) -> None:
        """
        Args:
            advice: None: the advice of the rule.
        """
        memory = self._memory
        reported = {finding.rule for finding in memory.findings}
        follows = any(rule in CONSEQUENCES.get(other, ()) for other in reported)
        if seen is None or rule in reported or follows:
            return
        advice = advice or ADVICE[rule]
        parameter = advice.transfer if self._arm == "transfer" else advice.baseline
        if memory.trains_head_alone and parameter == "finetune.backbone_learning_rate":
            parameter = "finetune.head_learning_rate"
        finding = Finding(rule, memory.step, seen, advice.cause, parameter)
        memory.findings.append(finding)
        self._say(f"  watch: {finding}")


def is_sampled(step: int, every: int) -> bool:
    """True for the steps of a phase, counted from 1, that are examined."""
    return step % every == 0 or step & (step - 1) == 0


def _trained_batchnorms(model: Classifier) -> dict[str, Any]:
    return _by_block(model.trained_blocks, model.num_frozen)


def _frozen_statistics(model: Classifier) -> dict[str, list[int]]:
    return {
        name: [fingerprint(norm.running_mean), fingerprint(norm.running_var)]
        for name, norm in _by_block(model.frozen_blocks, 0).items()
    }


def _by_block(blocks: nn.Sequential, first: int) -> dict[str, Any]:
    """BatchNorms by block and name; the numbers of blocks do not change when more are unfrozen."""
    return {
        f"block {number} ({name})": norm
        for number, block in enumerate(blocks, start=first)
        for name, norm in batchnorms(block).items()
    }
