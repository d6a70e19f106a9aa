"""How good the scratch arm gets with ever more training, and when that no longer helps."""

import math

from graft.artifacts import Artifact, Link
from graft.finite import loss_or_worst


class Budget(Artifact):
    ratio: float
    """Times the training that the scratch arm had."""
    num_epochs: float
    validation_loss: float
    """Nats a sample, mean over the seeds."""
    validation_accuracy: float
    """0..1, mean over the seeds."""


class Convergence(Link):
    budgets: list[Budget]
    """Those that were tried, the scratch arm's own first; each next one is twice as long."""
    chosen_ratio: float
    """Of the budget with the lowest validation loss: predictions.parquet is of its seeds."""
    is_flat: bool
    """More training no longer lowered the validation loss; else the limit was reached."""
    max_budget_ratio: float

    @property
    def in_words(self) -> str:
        losses = ", ".join(f"{budget.validation_loss:.3f}" for budget in self.budgets)
        ratios = ", ".join(f"{budget.ratio:g}" for budget in self.budgets)
        said = (
            "more training no longer helps"
            if self.is_flat
            else f"stopped at the limit of {self.max_budget_ratio:g} times the training, where more still helped"
        )
        return f"{said}: validation loss {losses} with {ratios} times the training"


def is_flat(budgets: list[Budget], least_improvement: float) -> bool:
    """Whether the last budget lowered the validation loss by less than the share `least_improvement` of it.

    A loss that is not finite, as where a seed diverged, is no improvement on any.
    """
    if len(budgets) < 2:
        return False
    before, last = (budget.validation_loss for budget in budgets[-2:])
    return not math.isfinite(last) or last > (1 - least_improvement) * loss_or_worst(before)
