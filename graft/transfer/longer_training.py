"""How good the baseline arm gets with ever more training, and when that no longer helps."""

import math
from typing import ClassVar

from graft.core.artifacts import Artifact, Link
from graft.core.finite import loss_or_worst


class Budget(Artifact):
    ratio: float
    """Times the training that the baseline arm had."""
    num_epochs: float
    validation_loss: float
    """Nats a sample, mean over the seeds."""
    validation_accuracy: float
    """0..1, mean over the seeds."""


class LongerTraining(Link):
    NAME: ClassVar = "baseline/longer/result.json"

    budgets: list[Budget]
    """Those that were tried, the baseline arm's own first; each next one is twice as long."""
    chosen_ratio: float
    """Of the budget with the lowest validation loss: predictions.parquet is of its seeds."""
    is_flat: bool
    """More training no longer lowered the validation loss; else the limit was reached."""
    max_budget_ratio: float

    @property
    def longest_ratio(self) -> float:
        """Of what was tried, which the limit may lie above: each budget is twice the one before."""
        return self.budgets[-1].ratio

    @property
    def in_words(self) -> str:
        losses = ", ".join(f"{budget.validation_loss:.3f}" for budget in self.budgets)
        if len(self.budgets) == 1:
            return (
                "whether more training would help was not tried (baseline.longer.max_budget_ratio: "
                f"{self.max_budget_ratio:g}): validation loss {losses}"
            )
        ratios = ", ".join(f"{budget.ratio:g}" for budget in self.budgets)
        return f"{self._ended_in_words()}: validation loss {losses} with {ratios} times the training"

    def _ended_in_words(self) -> str:
        before, last = (budget.validation_loss for budget in self.budgets[-2:])
        if not math.isfinite(last):
            return f"a run with {self.longest_ratio:g} times the training diverged, and no longer one was tried"
        if self.is_flat:
            return "more training no longer helps"
        said = f"stopped at {self.longest_ratio:g} times the training, the limit, where more still helped"
        return said if math.isfinite(before) else f"{said}, if only after a run that diverged"


def is_flat(budgets: list[Budget], least_improvement: float) -> bool:
    """Whether the last budget lowered the validation loss by less than the share `least_improvement` of it.

    A loss that is not finite, as where a seed diverged, is no improvement on any.
    """
    if len(budgets) < 2:
        return False
    before, last = (budget.validation_loss for budget in budgets[-2:])
    return not math.isfinite(last) or last > (1 - least_improvement) * loss_or_worst(before)
