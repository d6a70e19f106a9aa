"""When more training from scratch no longer helps."""

import pytest
from comparisons import comparison

from graft.core.artifacts import Interval
from graft.transfer.claims import longer_claim
from graft.transfer.longer_training import LongerBudget, LongerTraining, is_flat


def _budgets(*losses: float) -> list[LongerBudget]:
    return [
        LongerBudget(ratio=2**number, num_epochs=3 * 2**number, validation_loss=loss, validation_accuracy=0.8)
        for number, loss in enumerate(losses)
    ]


@pytest.mark.parametrize(
    ("losses", "flat"), [([0.5], False), ([0.5, 0.4], False), ([0.5, 0.4, 0.395], True), ([0.5, 0.6], True)]
)
def test_a_loss_that_twice_the_training_hardly_lowers_is_flat(losses: list[float], flat: bool) -> None:
    assert is_flat(_budgets(*losses), least_improvement=0.02) == flat


@pytest.mark.parametrize("flat", [True, False])
def test_the_claim_says_whether_baseline_had_enough_or_met_the_limit(flat: bool) -> None:
    losses = (0.5, 0.4, 0.399) if flat else (0.5, 0.4, 0.3)
    convergence = LongerTraining(inputs={}, budgets=_budgets(*losses), chosen_ratio=4, is_flat=flat, max_budget_ratio=4)
    gain = Interval(mean=-2, low=-3, high=-1)
    against = comparison(gain_points=gain, verdict="negative")
    claim = longer_claim(against, convergence, Interval(mean=0.9, low=0.8, high=1))
    assert "4 times as long" in claim
    assert "baseline is ahead by 2.0 points [1.0, 3.0]" in claim
    assert ("until it no longer helped" in claim) == flat
    assert ("no longer helps" in convergence.in_words) == flat
    assert "0.500, 0.400" in convergence.in_words


def _convergence(*losses: float, chosen_ratio: float = 1, limit: float = 4) -> LongerTraining:
    budgets = _budgets(*losses)
    return LongerTraining(
        inputs={}, budgets=budgets, chosen_ratio=chosen_ratio, is_flat=is_flat(budgets, 0.02), max_budget_ratio=limit
    )


def test_where_nothing_longer_was_tried_nothing_is_said_of_what_it_would_do() -> None:
    words = _convergence(0.5, limit=1).in_words
    assert words == ("longer training was not tried (baseline.longer.max_budget_ratio: 1): validation loss 0.500")


def test_the_limit_that_is_named_is_what_was_tried() -> None:
    words = _convergence(0.5, 0.4, limit=3).in_words
    assert words.startswith("stopped at the limit, 2 times the training, while still improving")


def test_a_longer_training_that_diverged_is_not_said_to_have_helped_or_not() -> None:
    assert _convergence(0.5, float("nan")).in_words.startswith("a run with 2 times the training diverged")
    assert "though only after a run that diverged" in _convergence(float("inf"), 0.4).in_words


@pytest.mark.parametrize("verdict", ["positive", "negative", "equivalent", "inconclusive"])
def test_where_no_longer_training_was_better_the_claim_is_about_the_arms_own(verdict: str) -> None:
    gain = Interval(mean=-2, low=-3, high=-1) if verdict == "negative" else Interval(mean=2, low=1, high=3)
    accuracy = Interval(mean=0.9, low=0.8, high=1)
    claim = longer_claim(comparison(gain_points=gain, verdict=verdict), _convergence(0.5, 0.6), accuracy)
    assert claim.startswith("Training the baseline longer (up to 2 times) did not lower the validation loss")
    assert "with its own budget it reaches a test accuracy of 90.0%" in claim
    for untrue in ("1 times as long", "stays", "overtakes", "left", "-2.0"):
        assert untrue not in claim
