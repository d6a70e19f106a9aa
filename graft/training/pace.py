"""How long the steps of a training take. Changes no result."""

from dataclasses import dataclass

from graft.training.observer import StepTaken, TrainingObserver


@dataclass
class Pace(TrainingObserver):
    """Time of the steps that a process took itself. On an accelerator, what is waited for is counted too high: it is
    the host's time, while the device may still compute."""

    spent_s: float = 0.0
    waited_s: float = 0.0
    """Seconds waited for the batches; part of `spent_s`."""

    def after_step(self, taken: StepTaken) -> None:
        self.spent_s += taken.spent_s
        self.waited_s += taken.waited_s

    def __str__(self) -> str:
        return f"{100 * self.waited_s / max(self.spent_s, 1e-9):.1f} % of the steps' time for their data"
