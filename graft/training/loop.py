"""The one training loop. Both arms run through it; they differ in their first weights and in their settings.

N samples, B batch, K classes, V views.

Whatever is random in a step follows from the seed and the step's number alone, so a training that was killed and goes
on from a checkpoint takes the very same steps.
"""

import dataclasses
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from graft.errors import PreemptedError
from graft.hub.architectures import FoldedNorm
from graft.hub.backbones import Classifier
from graft.training.checkpoints import Checkpoints
from graft.training.inputs import EVALUATION_BATCH_SIZE, Inputs, LayeredInputs
from graft.training.recipe import Recipe, Span, num_batches, spans_of


@dataclass(frozen=True)
class Labelled:
    layers: LayeredInputs
    labels_N: Tensor
    """Class indices, int64."""
    weights_N: Tensor
    """Weights in the training loss; evaluation does not weigh."""


@dataclass(frozen=True)
class EpochRecord:
    epoch: int
    train_loss: float
    validation_loss: float
    """NaN where nothing was watched."""
    validation_accuracy: float
    """Of the first view alone; the final predictions average all views."""


class StopSignal(Protocol):
    def is_set(self) -> bool: ...
    def asked_for(self) -> AbstractContextManager[None]:
        """Entered while `is_set` is looked at after every step."""
        ...


@dataclass
class Progress:
    """How far a training is; with the tensors of model and optimizer, all that it takes to go on."""

    step: int = 0
    """Steps taken."""
    losses: list[float] = field(default_factory=list)
    """Of the steps of the epoch that is under way."""
    curve: list[EpochRecord] = field(default_factory=list)


def train(
    model: Classifier,
    data: Labelled,
    validation: Labelled | None,
    recipe: Recipe,
    *,
    seed: int,
    fabric: Fabric,
    on_step: Callable[[int], None] = lambda _steps: None,
    checkpoints: Checkpoints | None = None,
    stop: StopSignal | None = None,
) -> list[EpochRecord]:
    """Trains the unfrozen blocks and the head of `model` in place; one record an epoch.

    AdamW under a schedule a phase, cross-entropy with label smoothing and sample weights, a random view a sample and
    step. The optimizer's state outlives the unfreezing of further blocks. The caller's random state is left alone.

    Args:
        fabric: carries device, precision and processes; `model` is on its device.
        on_step: called with a number of steps that are done.
        checkpoints: where to go on from, and where to leave how far it is.
        stop: when set, a checkpoint is written and the training ends.
    Raises:
        PreemptedError: `stop` was set.
    """
    training = _Training(model, data, validation, recipe, seed, fabric)
    if checkpoints is not None and (found := checkpoints.latest()) is not None:
        training.restore(*found)
        on_step(training.progress.step)
        print(f"  going on from step {training.progress.step}", flush=True)
    training.prepare()
    with torch.random.fork_rng(), stop.asked_for() if stop is not None else nullcontext():
        for _ in training.steps():
            on_step(1)
            is_stopped = stop is not None and _any_process(stop.is_set(), fabric)
            if checkpoints is not None and fabric.is_global_zero and (is_stopped or checkpoints.is_due()):
                checkpoints.save(training.progress.step, *training.snapshot())
            if is_stopped:
                raise PreemptedError(
                    f"stopped after step {training.progress.step}; the same command goes on from there."
                )
    return training.progress.curve


class _Training:
    def __init__(
        self,
        model: Classifier,
        data: Labelled,
        validation: Labelled | None,
        recipe: Recipe,
        seed: int,
        fabric: Fabric,
    ) -> None:
        self.progress = Progress()
        self._model, self._data, self._validation = model, data, validation
        self._recipe, self._seed, self._fabric = recipe, seed, fabric
        self._optimizer = _optimizer(model, recipe)
        self._num_batches = num_batches(len(data.labels_N), recipe.batch_size, fabric.world_size)

    def prepare(self) -> None:
        """Computes what the frozen blocks of the phases to come make of the data."""
        for span in self._spans_left():
            self._inputs(self._data, span)
            if self._validation is not None:
                self._inputs(self._validation, span)

    def steps(self) -> Iterator[None]:
        """Yields after each optimiser step that was not taken before."""
        for span in self._spans_left():
            yield from self._phase(span)

    def _spans_left(self) -> list[Span]:
        spans = spans_of(self._recipe, len(self._data.labels_N), self._fabric.world_size)
        return [span for span in spans if self.progress.step < span.first_step + span.num_steps]

    def _inputs(self, data: Labelled, span: Span) -> Inputs:
        """Through the frozen blocks of the phase if it is long enough to be worth keeping that for each view."""
        pictures = data.layers.at(0)
        is_worth_it = span.phase.num_epochs >= pictures.num_views
        return data.layers.at(span.phase.num_frozen if is_worth_it else self._recipe.phases[-1].num_frozen)

    def _phase(self, span: Span) -> Iterator[None]:
        model, fabric = self._model, self._fabric
        model.freeze(span.phase.num_frozen)
        inputs = self._inputs(self._data, span)
        wrapped = fabric.setup_module(model)
        optimizer = fabric.setup_optimizers(self._optimizer)
        schedule = _schedule(self._optimizer, span, self._recipe)
        with warnings.catch_warnings():  # of a schedule that moves without its optimizer, as here it shall
            warnings.simplefilter("ignore", UserWarning)
            for _ in range(self.progress.step - span.first_step):
                schedule.step()
        num_epochs = math.ceil(span.num_steps / self._num_batches)
        for number in range((self.progress.step - span.first_step) // self._num_batches, num_epochs):
            epoch, first_step = span.first_epoch + number, span.first_step + number * self._num_batches
            model.train()
            num_left = span.first_step + span.num_steps - first_step
            for offset, indices_B in enumerate(self._epoch_batches(epoch)[:num_left]):
                if first_step + offset < self.progress.step:
                    continue
                loss = self._step(wrapped, optimizer, inputs, indices_B)
                schedule.step()
                self.progress.losses.append(loss)
                self.progress.step += 1
                is_last = offset + 1 == min(num_left, self._num_batches)
                if is_last:
                    self._end_epoch(epoch)
                yield

    def _epoch_batches(self, epoch: int) -> list[Tensor]:
        order_N = torch.randperm(len(self._data.labels_N), generator=_generator(self._seed, "epoch", epoch))
        return list(order_N.split(self._recipe.batch_size))[: self._num_batches]

    def _step(self, wrapped: Any, optimizer: Any, inputs: Inputs, indices_B: Tensor) -> float:
        fabric, step = self._fabric, self.progress.step
        torch.manual_seed(_number(self._seed, "dropout", step, fabric.global_rank))
        views_B = torch.randint(inputs.num_views, (len(indices_B),), generator=_generator(self._seed, "views", step))
        total_weight = self._data.weights_N[indices_B].sum().item()
        own = slice(fabric.global_rank, None, fabric.world_size)
        indices_B, views_B = indices_B[own], views_B[own]
        logits_BK = wrapped(inputs.batch(indices_B, views_B), start=inputs.num_blocks)
        labels_B = self._data.labels_N[indices_B].to(logits_BK.device)
        weights_B = self._data.weights_N[indices_B].to(logits_BK.device)
        losses_B = F.cross_entropy(logits_BK, labels_B, label_smoothing=self._recipe.label_smoothing, reduction="none")
        # gradients are averaged over processes, so that each one's share of the weights counts
        loss = (losses_B * weights_B).sum() * (fabric.world_size / total_weight)
        optimizer.zero_grad(set_to_none=True)
        fabric.backward(loss)
        optimizer.step()
        return float(fabric.all_reduce(loss.detach(), reduce_op="mean"))  # type: ignore[arg-type]

    def _end_epoch(self, epoch: int) -> None:
        progress = self.progress
        train_loss = sum(progress.losses) / len(progress.losses)
        progress.curve.append(EpochRecord(epoch, train_loss, *_watch(self._model, self._validation)))
        progress.losses.clear()

    def snapshot(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        names = {id(parameter): name for name, parameter in self._model.named_parameters()}
        tensors = {f"model.{name}": tensor for name, tensor in self._model.state_dict().items()}
        for parameter, state in self._optimizer.state.items():
            tensors |= {f"optimizer.{names[id(parameter)]}.{key}": value for key, value in state.items()}
        progress = dataclasses.asdict(self.progress) | {"folded": _folded_norms(self._model)}
        return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}, progress

    def restore(self, tensors: dict[str, Tensor], progress: dict[str, Any]) -> None:
        model = self._model
        model.load_state_dict(
            {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name.startswith("model.")}
        )
        for name, module in model.named_modules():
            if isinstance(module, FoldedNorm):
                module.is_folded = name in progress["folded"]
        parameters = dict(model.named_parameters())
        for path, tensor in tensors.items():
            if path.startswith("optimizer."):
                name, _, key = path.removeprefix("optimizer.").rpartition(".")
                device = parameters[name].device
                self._optimizer.state[parameters[name]][key] = tensor.to(device)
        curve = [EpochRecord(**record) for record in progress["curve"]]
        self.progress = Progress(progress["step"], progress["losses"], curve)


def _any_process(claim: bool, fabric: Fabric) -> bool:
    """Whether it holds in any process; else one would stop and the others wait for it."""
    if fabric.world_size == 1:
        return claim
    return bool(fabric.all_reduce(torch.tensor(float(claim), device=fabric.device), reduce_op="sum"))


def _optimizer(model: Classifier, recipe: Recipe) -> torch.optim.Optimizer:
    """Of all parameters that ever learn, so that its state outlives unfreezing; what has no gradient is left alone."""
    first = recipe.phases[-1].num_frozen
    groups = [
        {"params": list(model.backbone.blocks[first:].parameters()), "name": "backbone"},
        {"params": list(model.head.parameters()), "name": "head"},
    ]
    return torch.optim.AdamW(groups, weight_decay=recipe.weight_decay, fused=True)


def _schedule(optimizer: torch.optim.Optimizer, span: Span, recipe: Recipe) -> LRScheduler:
    phase = span.phase
    rates = {"backbone": phase.backbone_learning_rate, "head": phase.head_learning_rate}
    return OneCycleLR(
        optimizer,
        max_lr=[rates[group["name"]] for group in optimizer.param_groups],
        total_steps=span.num_steps,
        cycle_momentum=recipe.schedule == "one_cycle",
        pct_start=max(recipe.warmup_fraction, 1.01 / span.num_steps),  # of one step, OneCycleLR divides by zero
    )


def _folded_norms(model: Classifier) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, FoldedNorm) and module.is_folded]


def _number(seed: int, what: str, *numbers: int) -> int:
    """A seed of its own for each purpose and step."""
    return int(np.random.SeedSequence([seed, *what.encode(), *numbers]).generate_state(1, np.uint64)[0])


def _generator(seed: int, what: str, *numbers: int) -> torch.Generator:
    return torch.Generator().manual_seed(_number(seed, what, *numbers))


def _watch(model: Classifier, validation: Labelled | None) -> tuple[float, float]:
    """Loss and accuracy of the first view."""
    if validation is None:
        return math.nan, math.nan
    probabilities_NK = predict(model, validation.layers, num_views=1)
    loss = F.nll_loss(probabilities_NK.clamp(min=1e-7).log(), validation.labels_N).item()
    return loss, accuracy(probabilities_NK, validation.labels_N)


@torch.no_grad()
def predict(model: Classifier, layers: LayeredInputs, num_views: int | None = None) -> Tensor:
    """Class probabilities [N, K] on the CPU: the mean softmax over the first `num_views` views (all by default)."""
    model.eval()
    inputs = layers.at(model.num_frozen)
    num_views = inputs.num_views if num_views is None else num_views
    rows = []
    for indices_B in torch.arange(inputs.num_samples).split(EVALUATION_BATCH_SIZE):
        views = [
            model(inputs.batch(indices_B, torch.full_like(indices_B, view)), start=inputs.num_blocks).softmax(dim=1)
            for view in range(num_views)
        ]
        rows.append(torch.stack(views).mean(dim=0).cpu())
    return torch.cat(rows)


def accuracy(probabilities_NK: Tensor, labels_N: Tensor) -> float:
    return (probabilities_NK.argmax(dim=1) == labels_N).double().mean().item()
