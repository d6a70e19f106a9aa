"""How long the steps of a training take. Changes no result."""

from dataclasses import dataclass


@dataclass
class Pace:
    """Of the steps that a process took itself. On an accelerator, what is waited for is counted too high: it is the
    host's time, while the device may still compute."""

    spent_s: float = 0.0
    waited_s: float = 0.0
    """For the batches; part of `spent_s`."""

    def __str__(self) -> str:
        return f"{100 * self.waited_s / max(self.spent_s, 1e-9):.1f} % of the steps' time for their data"
