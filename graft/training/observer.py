"""The one protocol by which a training is watched: its meter, pace, progress bar, watch, pruning and live curves.

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
    """1 for the first."""
    train_loss: float
    validation_loss: float
    """NaN where there is no validation split."""
    validation_accuracy: float
    """Accuracy on the first view alone; the final predictions average all views."""


@dataclass(frozen=True)
class StepTaken:
    loss: float
    ended: EpochRecord | None
    """Record of the epoch, where this was its last step."""
    spent_s: float
    """Seconds that this process spent on the step. On an accelerator that is the host's time."""
    waited_s: float
    """Part of `spent_s` that it waited for the batch."""


class TrainingObserver:
    """Is told what happens in a training and changes nothing of it; overrides the events that it wants to know of.

    The events of a step come in the order of the methods below. Steps count from 1. `model` is always the classifier
    itself, not what wraps it for a device. What an observer raises ends the training.
    """

    def resume(self, step: int, curve: Sequence[EpochRecord]) -> None:
        """A checkpoint has brought `step` steps and these epochs, after `restore` and before any other event."""

    def begin_phase(self, step: int, model: Classifier) -> None:
        """Blocks were unfrozen, or the training begins, after `step` steps; does not come again after `resume`."""

    def forward(self, step: int, model: Classifier) -> AbstractContextManager[None]:  # noqa: ARG002
        """Entered around the forward pass."""
        return nullcontext()

    def after_backward(self, step: int, loss: float, batch_size: int, model: Classifier) -> None:
        """Gradients are there and the weights have not moved; loss and size are those of all processes together."""

    def after_update(self, step: int, model: Classifier) -> None:
        """The weights have moved."""

    def after_validation(self, train_loss: float, probabilities_NK: Tensor, labels_N: Tensor) -> None:
        """The validation samples were predicted at the end of an epoch.

        Args:
            train_loss: mean over the steps of the epoch.
            probabilities_NK, labels_N: on the CPU.
        """

    def after_step(self, taken: StepTaken) -> None:
        """The step is done, and the end of its epoch if it was the last one."""

    def after_epoch(self, record: EpochRecord) -> None:
        """The epoch is done; follows `after_step` of its last step."""

    def state(self) -> dict[str, Any] | None:
        """What `restore` needs to go on as if the training had not been stopped, JSON-able; None: nothing."""
        return None

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from what `state` gave before a stop."""


class Observers(TrainingObserver):
    """Several observers as one, told in their order; their states are filed under the names of their classes."""

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
    """Calls `advance` with the number of steps that were done since the last call, as a progress bar wants it."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        self._advance = advance

    def resume(self, step: int, _curve: Sequence[EpochRecord]) -> None:
        self._advance(step)

    def after_step(self, _taken: StepTaken) -> None:
        self._advance(1)
