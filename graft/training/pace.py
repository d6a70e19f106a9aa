"""Duration of a training's steps. Changes no result."""

from dataclasses import dataclass

from graft.training.observer import StepTaken, TrainingObserver


@dataclass
class Pace(TrainingObserver):
    """Time of the steps of this process. On an accelerator `waited_s` is an upper bound: it is the host's time, while
    the device may still compute."""

    spent_s: float = 0.0
    waited_s: float = 0.0
    """Seconds waited for the batches; part of `spent_s`."""

    def after_step(self, taken: StepTaken) -> None:
        self.spent_s += taken.spent_s
        self.waited_s += taken.waited_s

    def __str__(self) -> str:
        return f"{100 * self.waited_s / max(self.spent_s, 1e-9):.1f} % of the steps' time spent waiting for data"
