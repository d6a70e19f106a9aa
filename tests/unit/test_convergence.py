"""When more training from scratch no longer helps."""

import pytest

from graft.artifacts import Interval
from graft.transfer.compare import Comparison
from graft.transfer.convergence import Budget, Convergence, is_flat
from graft.transfer.predictions import converged_claim


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
    comparison = Comparison(
        gain_points=gain, gain_points_per_seed=[-2, -2], seed_spread_points=0, smallest_detectable_points=1,
        mcnemar_p=0.01, num_only_transfer_right=0, num_only_scratch_right=9, verdict="negative", seeds_needed=None,
        items_needed=None,
    )  # fmt: skip
    claim = converged_claim(comparison, convergence, Interval(mean=0.9, low=0.8, high=1))
    assert "4 times as long" in claim
    assert "scratch overtakes: -2.0 points [-3.0, -1.0]" in claim
    assert ("until it no longer helped" in claim) == flat
    assert ("no longer helps" in convergence.in_words) == flat
    assert "0.500, 0.400" in convergence.in_words
