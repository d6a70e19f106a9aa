"""What is said of a comparison, and of runs that collapsed."""

import numpy as np
import pytest
from comparisons import comparison

from graft.core.artifacts import Interval
from graft.transfer.claims import claim_of, percent_of, trials_in_words
from graft.transfer.collapse import collapse_in_words, collapsed_seeds, unseen_collapse_in_words
from graft.transfer.compare import Comparison, compare

UNCERTAIN = Interval(mean=25.0, low=-11.3, high=61.3)


def _claim(found: Comparison, remarks: list[str] | None = None) -> str:
    return claim_of(
        found, alpha=0.05, source="moon_net", compute_ratio=1.5, convergence="not converged: why", remarks=remarks or []
    )


@pytest.mark.parametrize("verdict", ["positive", "negative", "equivalent", "inconclusive"])
def test_the_claim_names_interval_budget_and_convergence(verdict: str) -> None:
    needed = {"seeds_needed": 7, "units_needed": 2300} if verdict == "inconclusive" else {}
    claim = _claim(comparison(verdict=verdict, **needed), ["It is worse on dog (-3.0 points).", "", "It is biased."])
    assert claim.endswith(" It is worse on dog (-3.0 points). It is biased.")
    would = "7 seeds or 2,300 independent test items or groups in total would decide" in claim
    assert would == (verdict == "inconclusive")
    found = "3.0 points [1.0, 5.0]" if verdict == "negative" else "-3.0 points [-5.0, -1.0]"
    for piece in ("moon_net", found, "95 %", "1.50 times", "not converged"):
        assert piece in claim


def test_a_loss_has_its_sign_in_the_word_worse_alone() -> None:
    claim = _claim(comparison(verdict="negative", gain_points=Interval(mean=-17.8, low=-20.0, high=-15.0)))
    assert "is worse than a model trained from scratch" in claim
    assert "by 17.8 points [15.0, 20.0] at 95 % confidence" in claim
    assert "-17.8" not in claim


def test_two_seeds_forecast_nothing() -> None:
    better, worse = np.tile([1, 1, 1, 0], (2, 25)), np.tile([1, 1, 0, 1], (2, 25))
    better[0, :4] = 1
    found = compare(better, worse, margin_points=0.5, alpha=0.05)
    assert found.verdict == "inconclusive"
    assert (found.seeds_needed, found.units_needed) == (None, None)
    claim = _claim(found)
    assert "2 seeds are too few to say how many more seeds or test items would decide." in claim
    assert "would decide, if" not in claim


@pytest.mark.parametrize(("verdict", "word"), [("positive", "better"), ("negative", "worse")])
def test_where_runs_decide_the_claim_says_so_and_that_the_mean_is_uncertain(verdict: str, word: str) -> None:
    probability = Interval(mean=0.9995, low=0.7, high=0.99999)
    if verdict == "negative":
        probability = Interval(mean=0.0005, low=0.00001, high=0.3)
    claim = _claim(
        comparison(
            verdict=verdict, gain_points=UNCERTAIN, improvement=probability, share_of_pairs=float(verdict == "positive")
        )
    )
    assert f"is {word} than" in claim
    assert "in 100% of the pairs of runs" in claim
    assert "over 99.9 % [70.0 %, over 99.9 %] at 95 % confidence" in claim
    assert "The mean gain itself is uncertain" in claim
    assert claim.startswith("Negative transfer") == (verdict == "negative")


def test_a_probability_is_never_said_to_be_certain() -> None:
    assert percent_of(Interval(mean=1, low=0, high=1)) == "over 99.9 % [under 0.1 %, over 99.9 %]"


def test_a_gain_that_is_only_just_shown_is_said_to_be_overestimated() -> None:
    assert "overestimated" in _claim(comparison(verdict="negative", unexaggerated_points=-1.6))
    assert "this one is about 1.6 points" in _claim(comparison(verdict="negative", unexaggerated_points=-1.6))
    assert "overestimated" not in _claim(comparison(verdict="negative", unexaggerated_points=-2.95))


def test_too_few_groups_are_named_with_what_would_help() -> None:
    claim = _claim(comparison(verdict="inconclusive", num_units=3))
    assert "That rests on only 3 independent groups of test items" in claim
    assert "at least 5 groups are needed" in claim


def test_arms_that_were_not_tuned_alike_are_told_of() -> None:
    assert trials_in_words(0, 0) == trials_in_words(12, 12) == ""
    assert "12 trials for transfer and 9 for the baseline" in trials_in_words(12, 9)


def test_a_collapsed_seed_is_named_and_one_that_is_merely_worse_is_not() -> None:
    accuracies = [0.940, 0.669, 0.338, 0.893, 0.895]
    collapsed = collapsed_seeds([0, 1, 2, 3, 4], accuracies, guessing=0.1)
    assert collapsed == [2]
    said = collapse_in_words("baseline", [0, 1, 2, 3, 4], accuracies, collapsed)
    assert "1 of 5 baseline runs collapsed: seed 2 (33.8%)" in said
    assert "more seeds" in said
    assert collapse_in_words("baseline", [0, 1], [0.9, 0.9], []) == ""


def test_no_seed_collapsed_of_an_arm_that_learns_nothing() -> None:
    assert collapsed_seeds([0, 1, 2], [0.5, 0.49, 0.2], guessing=0.5) == []


def test_a_loss_that_an_unseen_collapse_would_undo_is_said_to_be_about_runs_that_do_not() -> None:
    said = unseen_collapse_in_words(-1.0, [0.85, 0.86, 0.84], guessing=0.5)
    assert "none of the 3 runs from scratch did" in said
    assert "73% of such experiments see none" in said
    assert "3.5 points lower" in said
    assert unseen_collapse_in_words(-8.0, [0.85, 0.86, 0.84], guessing=0.5) == ""
