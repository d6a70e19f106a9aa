"""When more training from scratch no longer helps."""

import pytest
from comparisons import comparison

from graft.artifacts import Interval
from graft.transfer.claims import converged_claim
from graft.transfer.convergence import Budget, Convergence, is_flat


def _budgets(*losses: float) -> list[Budget]:
    return [
        Budget(ratio=2**number, num_epochs=3 * 2**number, validation_loss=loss, validation_accuracy=0.8)
        for number, loss in enumerate(losses)
    ]


@pytest.mark.parametrize(
    ("losses", "flat"), [([0.5], False), ([0.5, 0.4], False), ([0.5, 0.4, 0.395], True), ([0.5, 0.6], True)]
)
def test_a_loss_that_twice_the_training_hardly_lowers_is_flat(losses: list[float], flat: bool) -> None:
    assert is_flat(_budgets(*losses), least_improvement=0.02) == flat


@pytest.mark.parametrize("flat", [True, False])
def test_the_claim_says_whether_scratch_had_enough_or_met_the_limit(flat: bool) -> None:
    losses = (0.5, 0.4, 0.399) if flat else (0.5, 0.4, 0.3)
    convergence = Convergence(inputs={}, budgets=_budgets(*losses), chosen_ratio=4, is_flat=flat, max_budget_ratio=4)
    gain = Interval(mean=-2, low=-3, high=-1)
    against = comparison(gain_points=gain, verdict="negative")
    claim = converged_claim(against, convergence, Interval(mean=0.9, low=0.8, high=1))
    assert "4 times as long" in claim
    assert "scratch overtakes: -2.0 points [-3.0, -1.0]" in claim
    assert ("until it no longer helped" in claim) == flat
    assert ("no longer helps" in convergence.in_words) == flat
    assert "0.500, 0.400" in convergence.in_words
