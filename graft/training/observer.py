"""The protocol for observers of a training: meter, pace, progress bar, watch, pruning and live curves.

N samples, K classes.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from graft.networks.backbones import Classifier


@dataclass(frozen=True)
class EpochRecord:
    epoch: int
    """Number of the epoch, from 1."""
    train_loss: float
    validation_loss: float
    """NaN if there is no validation split."""
    validation_accuracy: float
    """Accuracy on the first view only; the final predictions average all views."""


@dataclass(frozen=True)
class StepTaken:
    loss: float
    ended: EpochRecord | None
    """Record of the epoch if this was its last step, otherwise None."""
    spent_s: float
    """Seconds that this process spent on the step. On an accelerator that is the host's time."""
    waited_s: float
    """Part of `spent_s` spent waiting for the batch."""


class TrainingObserver:
    """Base of observers, which are notified of a training's events and do not change it; override the events needed.

    The events of a step come in the order of the methods below. Steps count from 1. `model` is always the classifier
    itself, not its wrapper for a device. An exception raised by an observer ends the training.
    """

    def resume(self, step: int, curve: Sequence[EpochRecord]) -> None:
        """`step` steps and these epochs were loaded from a checkpoint; called after `restore`, before other events."""

    def begin_phase(self, step: int, model: Classifier) -> None:
        """The training begins, or blocks were unfrozen, after `step` steps; not repeated after `resume`."""

    def forward(self, step: int, model: Classifier) -> AbstractContextManager[None]:  # noqa: ARG002
        """Context of the forward pass."""
        return nullcontext()

    def after_backward(self, step: int, loss: float, batch_size: int, model: Classifier) -> None:
        """Gradients are computed, weights not yet updated; loss and size are those of all processes together."""

    def after_update(self, step: int, model: Classifier) -> None:
        """The weights are updated."""

    def after_validation(self, train_loss: float, probabilities_NK: Tensor, labels_N: Tensor) -> None:
        """The validation samples were predicted at the end of an epoch.

        Args:
            train_loss: mean over the steps of the epoch.
            probabilities_NK: on the CPU, as the labels.
        """

    def after_step(self, taken: StepTaken) -> None:
        """The step is complete, with the end of its epoch if it was the last one."""

    def after_epoch(self, record: EpochRecord) -> None:
        """The epoch is complete; called after `after_step` of its last step."""

    def state(self) -> dict[str, Any] | None:
        """JSON-able state for `restore` to continue as if the training had not been stopped; None: no state."""
        return None

    def restore(self, state: dict[str, Any]) -> None:
        """Continues from a value of `state`."""


class Observers(TrainingObserver):
    """Several observers as one, notified in order; their states are stored under the names of their classes."""

    def __init__(self, observers: Sequence[TrainingObserver]) -> None:
        self._observers = tuple(observers)

    def resume(self, step: int, curve: Sequence[EpochRecord]) -> None:
        for observer in self._observers:
            observer.resume(step, curve)

    def begin_phase(self, step: int, model: Classifier) -> None:
        for observer in self._observers:
            observer.begin_phase(step, model)

    @contextmanager
    def forward(self, step: int, model: Classifier) -> Iterator[None]:
        with ExitStack() as stack:
            for observer in self._observers:
                stack.enter_context(observer.forward(step, model))
            yield

    def after_backward(self, step: int, loss: float, batch_size: int, model: Classifier) -> None:
        for observer in self._observers:
            observer.after_backward(step, loss, batch_size, model)

    def after_update(self, step: int, model: Classifier) -> None:
        for observer in self._observers:
            observer.after_update(step, model)

    def after_validation(self, train_loss: float, probabilities_NK: Tensor, labels_N: Tensor) -> None:
        for observer in self._observers:
            observer.after_validation(train_loss, probabilities_NK, labels_N)

    def after_step(self, taken: StepTaken) -> None:
        for observer in self._observers:
            observer.after_step(taken)

    def after_epoch(self, record: EpochRecord) -> None:
        for observer in self._observers:
            observer.after_epoch(record)

    def state(self) -> dict[str, Any]:
        states = {type(observer).__name__: observer.state() for observer in self._observers}
        return {name: state for name, state in states.items() if state is not None}

    def restore(self, state: dict[str, Any]) -> None:
        for observer in self._observers:
            if (own := state.get(type(observer).__name__)) is not None:
                observer.restore(own)


class StepCounter(TrainingObserver):
    """Calls `advance` with the number of steps since the last call, for a progress bar."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        self._advance = advance

    def resume(self, step: int, _curve: Sequence[EpochRecord]) -> None:
        self._advance(step)

    def after_step(self, _taken: StepTaken) -> None:
        self._advance(1)
