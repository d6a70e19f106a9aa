"""Accuracy of the baseline arm with ever more training, and the point at which it no longer improves."""

import math
from typing import ClassVar

from graft.core.artifacts import Artifact, Link
from graft.core.finite import loss_or_worst


class LongerBudget(Artifact):
    ratio: float
    """Ratio of this training's length to that of the baseline arm."""
    num_epochs: float
    validation_loss: float
    """Nats per sample, mean over the seeds."""
    validation_accuracy: float
    """0..1, mean over the seeds."""


class LongerTraining(Link):
    NAME: ClassVar = "baseline/longer/result.json"

    budgets: list[LongerBudget]
    """Budgets tried, the baseline arm's own first; each next one is twice as long."""
    chosen_ratio: float
    """Ratio of the budget with the lowest validation loss; predictions.parquet holds its seeds."""
    is_flat: bool
    """Whether more training no longer lowered the validation loss; otherwise the limit was reached."""
    max_budget_ratio: float

    @property
    def longest_ratio(self) -> float:
        """Ratio of the longest training tried; the limit may be higher, since each budget is twice the previous one."""
        return self.budgets[-1].ratio

    @property
    def in_words(self) -> str:
        losses = ", ".join(f"{budget.validation_loss:.3f}" for budget in self.budgets)
        if len(self.budgets) == 1:
            return (
                f"longer training was not tried (baseline.longer.max_budget_ratio: {self.max_budget_ratio:g}): "
                f"validation loss {losses}"
            )
        ratios = ", ".join(f"{budget.ratio:g}" for budget in self.budgets)
        return f"{self._ended_in_words()}: validation loss {losses} with {ratios} times the training"

    def _ended_in_words(self) -> str:
        before, last = (budget.validation_loss for budget in self.budgets[-2:])
        if not math.isfinite(last):
            return f"a run with {self.longest_ratio:g} times the training diverged, and none longer was tried"
        if self.is_flat:
            return "more training no longer helps"
        said = f"stopped at the limit, {self.longest_ratio:g} times the training, while still improving"
        return said if math.isfinite(before) else f"{said}, though only after a run that diverged"


def is_flat(budgets: list[LongerBudget], least_improvement: float) -> bool:
    """Whether the last budget lowered the validation loss by less than the share `least_improvement` of it.

    A loss that is not finite, because a seed diverged, is never an improvement.
    """
    if len(budgets) < 2:
        return False
    before, last = (budget.validation_loss for budget in budgets[-2:])
    return not math.isfinite(last) or last > (1 - least_improvement) * loss_or_worst(before)
