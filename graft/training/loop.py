"""The training loop of both arms, which differ in their initial weights and settings only.

N samples, B batch, K classes, V views.

All random numbers of a step follow from the seed and the number of the step, so a training that was killed and resumes
from a checkpoint takes the same steps.
"""

import dataclasses
import logging
import math
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from graft.core.errors import PreemptedError
from graft.core.finite import loss_or_worst
from graft.networks.architectures import FoldedNorm
from graft.networks.backbones import Classifier
from graft.training.activations import FrozenActivations
from graft.training.checkpoints import Checkpoints
from graft.training.data import ArmData
from graft.training.evaluation import accuracy, log_loss, predict
from graft.training.ingredients.adapters import add_adapters, merge_adapters
from graft.training.ingredients.averaging import MovingAverage, interpolated
from graft.training.ingredients.balance import epoch_order
from graft.training.loss_terms import LossTerm
from graft.training.objective import Objective, StepInputs
from graft.training.observer import EpochRecord, Observers, StepTaken, TrainingObserver
from graft.training.optimizer import groups_of, moment_of, schedule_of
from graft.training.preemption import StopSignal
from graft.training.processes import any_process, mean_over_processes
from graft.training.randomness import generator_for, seed_for, unlabelled_positions
from graft.training.recipe import Recipe, Span, num_batches, spans_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Runtime:
    """Device, checkpoints, stop signal and observers of a training. They do not change its result."""

    fabric: Fabric
    """Device, precision and processes; the model is on its device."""
    checkpoints: Checkpoints | None = None
    """Checkpoints to resume from and to write to."""
    stop: StopSignal | None = None
    """Once it is set, a checkpoint is written and the training ends."""
    observers: Sequence[TrainingObserver] = ()


@dataclass
class Progress:
    """Progress of a training; with the tensors of `Training.snapshot`, all that is needed to resume."""

    step: int = 0
    """Steps taken."""
    losses: list[float] = field(default_factory=list)
    """Losses of the steps of the current epoch."""
    curve: list[EpochRecord] = field(default_factory=list)
    best_epoch: int = 0
    """Epoch of the last phase with the lowest validation loss, for early stopping; 0: none yet."""
    is_stopped_early: bool = False


def train(
    model: Classifier,
    data: ArmData,
    recipe: Recipe,
    *,
    seed: int,
    runtime: Runtime,
    terms: Sequence[LossTerm] = (),
) -> list[EpochRecord]:
    """Trains the unfrozen blocks and the head of `model` in place; one record per epoch.

    AdamW with one schedule per phase, cross-entropy with label smoothing and sample weights, a random view per sample
    and step. The state of the optimizer is kept when further blocks are unfrozen. The caller's random state does not
    change.

    Args:
        terms: terms of the loss besides those of the recipe; they are trained in place.
    Raises:
        PreemptedError: the runtime's `stop` was set.
    """
    checkpoints, stop, fabric = runtime.checkpoints, runtime.stop, runtime.fabric
    training = Training(model, data, recipe, seed=seed, runtime=runtime, terms=terms)
    if checkpoints is not None and (found := checkpoints.latest()) is not None:
        training.restore(*found)
        logger.info(f"  resuming from step {training.progress.step}")
    training.prepare()
    with torch.random.fork_rng(), stop.asked_for() if stop is not None else nullcontext():
        for _ in training.steps():
            is_stopped = stop is not None and any_process(stop.is_set(), fabric)
            if checkpoints is not None and fabric.is_global_zero and (is_stopped or checkpoints.is_due()):
                checkpoints.save(training.progress.step, *training.snapshot())
            if is_stopped:
                raise PreemptedError(
                    f"stopped after step {training.progress.step}; the same command resumes from there."
                )
    training.finish()
    return training.progress.curve


class Training:
    """A training in steps: `train` runs all of them, the learning-rate range test some."""

    def __init__(
        self,
        model: Classifier,
        data: ArmData,
        recipe: Recipe,
        *,
        seed: int,
        runtime: Runtime,
        terms: Sequence[LossTerm] = (),
    ) -> None:
        if recipe.lora_rank is not None:
            with torch.random.fork_rng():
                torch.manual_seed(seed_for(seed, "adapters"))
                add_adapters(model, recipe.phases[-1].num_frozen, recipe.lora_rank)
        self.progress = Progress()
        self._model, self._data, self._recipe, self._seed = model, data, recipe, seed
        self._fabric, self._observer = runtime.fabric, Observers(runtime.observers)
        self._objective = Objective(model, data.train, recipe, runtime.fabric, terms)
        groups = [{**group} for group in groups_of(model, self._objective.terms, recipe.phases[-1], recipe)]
        self._optimizer = torch.optim.AdamW(groups, fused=True)
        self._average = MovingAverage(model, recipe.ema_decay) if recipe.ema_decay > 0 else None
        self._kept: dict[str, dict[str, Tensor]] = {}
        """Earlier states of the model: at the `start` of the last phase, and the `best` by validation loss."""
        self._num_batches = num_batches(len(data.train), recipe.batch_size, runtime.fabric.world_size)
        self._spans = spans_of(recipe, len(data.train), runtime.fabric.world_size)
        self._waited_s = 0.0
        """Seconds waited for the batch of the current step and for the one drawn ahead."""

    def prepare(self) -> None:
        """Computes the frozen activations that the remaining phases need."""
        for span in self._spans_left():
            for stream in self._data.streams:
                stream.prepare(self._depth(stream, span))

    def steps(self) -> Iterator[StepTaken]:
        """Yields after each remaining optimiser step."""
        for span in self._spans_left():
            yield from self._phase(span)

    def finish(self) -> None:
        """Loads the final weights into the model, with blocks frozen as in the last phase."""
        self._model.freeze(self._recipe.phases[-1].num_frozen)
        if self._recipe.early_stopping_patience is not None and "best" in self._kept:
            self._model.load_state_dict(self._kept["best"])
        elif self._average is not None:
            self._model.load_state_dict(self._average.weights)
        if self._recipe.wise_ft_share < 1:
            end = self._model.state_dict()
            self._model.load_state_dict(interpolated(self._kept["start"], end, self._recipe.wise_ft_share))
        if self._recipe.lora_rank is not None:
            merge_adapters(self._model)
        self._model.eval()

    def _spans_left(self) -> list[Span]:
        if self.progress.is_stopped_early:
            return []
        return [span for span in self._spans if self.progress.step < span.first_step + span.num_steps]

    def _depth(self, inputs: FrozenActivations, span: Span) -> int:
        """Number of blocks whose activations are the batches: all frozen ones of the phase if it is long enough for
        caching every view to pay off."""
        is_worth_it = span.phase.num_epochs >= inputs.num_views
        return span.phase.num_frozen if is_worth_it else self._recipe.phases[-1].num_frozen

    def _phase(self, span: Span) -> Iterator[StepTaken]:
        model, fabric, progress = self._model, self._fabric, self.progress
        is_last_phase = span is self._spans[-1]
        model.keeps_statistics = self._recipe.batchnorm_statistics == "source"
        model.freeze(span.phase.num_frozen)
        depth = self._depth(self._data.train.inputs, span)
        wrapped = fabric.setup_module(model)
        optimizer = fabric.setup_optimizers(self._optimizer)
        schedule = schedule_of(self._optimizer, model, self._objective.terms, span, self._recipe)
        with warnings.catch_warnings():  # about a schedule that moves without its optimizer, as intended here
            warnings.simplefilter("ignore", UserWarning)
            for _ in range(progress.step - span.first_step):
                schedule.step()
        if is_last_phase and progress.step == span.first_step and self._recipe.wise_ft_share < 1:
            self._kept["start"] = _copy_of(model.state_dict())
        if progress.step == span.first_step:
            self._observer.begin_phase(progress.step, model)
        num_epochs = math.ceil(span.num_steps / self._num_batches)
        for number in range((progress.step - span.first_step) // self._num_batches, num_epochs):
            epoch, first_step = span.first_epoch + number, span.first_step + number * self._num_batches
            num_steps = min(self._num_batches, span.first_step + span.num_steps - first_step)
            model.train()
            left = self._epoch_batches(epoch)[progress.step - first_step : num_steps]
            started_s = time.perf_counter()
            upcoming = self._draw(depth, left[0], progress.step)
            for following_B in [*left[1:], None]:
                batch = upcoming
                loss_of_batch = self._backward(wrapped, optimizer, batch)
                if following_B is not None:  # an accelerator is still busy with this step
                    upcoming = self._draw(depth, following_B, progress.step + 1)
                loss = self._update(optimizer, loss_of_batch, batch)
                spent_s = time.perf_counter() - started_s
                progress.losses.append(loss)
                schedule.step()
                progress.step += 1
                is_end = progress.step == first_step + num_steps
                ended = self._end_epoch(epoch, is_last_phase) if is_end else None
                yield self._notified(StepTaken(loss, ended, spent_s, self._waited_s))
                started_s, self._waited_s = time.perf_counter(), 0.0
            if progress.is_stopped_early:
                return

    def _notified(self, taken: StepTaken) -> StepTaken:
        self._observer.after_step(taken)
        if taken.ended is not None:
            self._observer.after_epoch(taken.ended)
        return taken

    def _epoch_batches(self, epoch: int) -> list[Tensor]:
        generator = generator_for(self._seed, "epoch", epoch)
        order_N = epoch_order(self._data.train.labels_N, self._recipe.class_balance, generator)
        return list(order_N.split(self._recipe.batch_size))[: self._num_batches]

    def _draw(self, depth: int, indices_B: Tensor, step: int) -> StepInputs:
        """The batch of the step after `step` steps, as activations after `depth` blocks."""
        started_s = time.perf_counter()
        data, own = self._data, slice(self._fabric.global_rank, None, self._fabric.world_size)
        views_B = self._views(data.train.inputs, indices_B, "views", step)
        activations, unlabelled = data.train.batch(indices_B[own], views_B[own], depth), None
        if data.unlabelled is not None:
            size = self._recipe.batch_size
            positions_U = unlabelled_positions(data.unlabelled.num_samples, size, seed=self._seed, step=step)
            views_U = self._views(data.unlabelled, positions_U, "unlabelled views", step)
            unlabelled = data.unlabelled.batch(positions_U[own], views_U[own], depth)
        self._waited_s += time.perf_counter() - started_s
        return StepInputs(activations, depth, indices_B[own], len(indices_B), unlabelled)

    def _views(self, inputs: FrozenActivations, samples_B: Tensor, purpose: str, step: int) -> Tensor:
        generator = generator_for(self._seed, purpose, step)
        return torch.randint(inputs.num_views, (len(samples_B),), generator=generator)

    def _backward(self, wrapped: Any, optimizer: Any, batch: StepInputs) -> Tensor:
        """The loss, after the backward pass."""
        fabric, step = self._fabric, self.progress.step
        torch.manual_seed(seed_for(self._seed, "dropout", step, fabric.global_rank))
        mixing = generator_for(self._seed, "mixing", step, fabric.global_rank)
        with self._observer.forward(step + 1, self._model):
            loss = self._objective.loss(wrapped, batch, mixing)
        optimizer.zero_grad(set_to_none=True)
        fabric.backward(loss)
        self._objective.average_gradients()
        return loss

    def _update(self, optimizer: Any, loss: Tensor, batch: StepInputs) -> float:
        """Takes the optimiser step; returns the mean loss of all processes."""
        step, loss_of_all = self.progress.step, mean_over_processes(loss, self._fabric).item()
        self._observer.after_backward(step + 1, loss_of_all, batch.num_of_all, self._model)
        optimizer.step()
        self._observer.after_update(step + 1, self._model)
        if self._average is not None:
            self._average.update(self._model)
        return loss_of_all

    def _end_epoch(self, epoch: int, is_last_phase: bool) -> EpochRecord:
        progress, patience = self.progress, self._recipe.early_stopping_patience
        train_loss = sum(progress.losses) / len(progress.losses)
        progress.losses.clear()
        with self._averaged():
            validation_loss, validation_accuracy = self._validate(train_loss)
            record = EpochRecord(epoch, train_loss, validation_loss, validation_accuracy)
            progress.curve.append(record)
            if not is_last_phase or patience is None or self._data.validation is None:
                return record
            best = next((known for known in progress.curve if known.epoch == progress.best_epoch), None)
            if best is None or loss_or_worst(validation_loss) < loss_or_worst(best.validation_loss):
                progress.best_epoch = epoch
                self._kept["best"] = _copy_of(self._model.state_dict())
        progress.is_stopped_early = epoch - progress.best_epoch >= patience
        return record

    def _validate(self, train_loss: float) -> tuple[float, float]:
        """Validation loss and accuracy on the first view, computed by the first process."""
        validation = self._data.validation
        if validation is None:
            return math.nan, math.nan
        probabilities_NK, labels_N = predict(self._model, validation, num_views=1), validation.labels_N
        self._observer.after_validation(train_loss, probabilities_NK, labels_N)
        return self._fabric.broadcast((log_loss(probabilities_NK, labels_N), accuracy(probabilities_NK, labels_N)))

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Puts the moving average of the weights into the model within the context, if there is one."""
        if self._average is None:
            yield
            return
        own = _copy_of(self._model.state_dict())
        self._model.load_state_dict(self._average.weights)
        yield
        self._model.load_state_dict(own)

    def snapshot(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and progress for `restore`."""
        names = {id(parameter): name for name, parameter in self._parameters().items()}
        parts = {"model": self._model.state_dict(), "terms": self._objective.terms.state_dict(), **self._kept}
        parts["optimizer"] = {
            f"{names[id(parameter)]}.{key}": value
            for parameter, state in self._optimizer.state.items()
            for key, value in state.items()
        }
        if self._average is not None:
            parts["average"] = self._average.state()
        progress = dataclasses.asdict(self.progress) | {"folded": _folded_norms(self._model)}
        progress["observers"] = self._observer.state()
        tensors = {f"{part}/{name}": tensor for part, state in parts.items() for name, tensor in state.items()}
        return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}, progress

    def restore(self, tensors: dict[str, Tensor], progress: dict[str, Any]) -> None:
        parts: dict[str, dict[str, Tensor]] = defaultdict(dict)
        for path, tensor in tensors.items():
            part, _, name = path.partition("/")
            parts[part][name] = tensor
        self._model.load_state_dict(parts["model"])
        self._objective.terms.load_state_dict(parts["terms"])
        seen, folded = progress.pop("observers"), progress.pop("folded")
        for name, module in self._model.named_modules():
            if isinstance(module, FoldedNorm):
                module.is_folded = name in folded
        parameters = self._parameters()
        for path, tensor in parts["optimizer"].items():
            name, _, key = path.rpartition(".")
            self._optimizer.state[parameters[name]][key] = moment_of(parameters[name], tensor)
        if self._average is not None:
            self._average.load(parts["average"])
        device = self._fabric.device
        self._kept = {
            part: {name: tensor.to(device) for name, tensor in parts[part].items()}
            for part in ("start", "best")
            if part in parts
        }
        curve = [EpochRecord(**record) for record in progress.pop("curve")]
        self.progress = Progress(curve=curve, **progress)
        self._observer.restore(seen)
        self._observer.resume(self.progress.step, curve)

    def _parameters(self) -> dict[str, nn.Parameter]:
        """All trained parameters, by their names in checkpoints."""
        of_terms = self._objective.terms.named_parameters(prefix="terms")
        return dict(self._model.named_parameters()) | dict(of_terms)


def _copy_of(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in state.items()}


def _folded_norms(model: Classifier) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, FoldedNorm) and module.is_folded]
