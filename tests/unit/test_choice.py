"""The rules by which a source is chosen."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from graft.core.errors import CatalogueError
from graft.hub.catalogue import Source, load_catalogue
from graft.networks.backbones import build_backbone
from graft.selection import choice, trials
from graft.selection.budget import TimeBudget
from graft.selection.choice import ChoiceSettings, Target, choose_source
from graft.selection.elimination import ProbeOutcome, TrialOutcome, Winner, halve, name_winner, pick_finalists
from graft.selection.prior import gflops_of, in_prior_order, strongest, why_excluded
from graft.training.processes import join_processes
from graft.training.recipe import Phase, Recipe

CATALOGUE = load_catalogue(Path(__file__).parents[2] / "sources.yaml")
NOISE_F = np.array([-0.02, 0.01, 0.02, -0.01, 0.0])


def _probed(name: str, accuracy: float, *, gflops: float = 1.0, knn: float = 0.0, noise: float = 1.0) -> ProbeOutcome:
    return ProbeOutcome(name, gflops, accuracy + noise * NOISE_F, knn)


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_licence_and_size_keep_a_source_out_and_the_reason_names_the_param() -> None:
    source = CATALOGUE["mobilenet_v2"]
    limits = {"licences": ["MIT"], "max_parameters": None, "max_gflops": None, "gflops": 0.3}
    assert why_excluded(source, **limits) is None
    assert why_excluded(source, **limits | {"licences": ["mit"]}) is None
    assert "select.licences" in why_excluded(source, **limits | {"licences": ["Apache-2.0"]})
    assert "select.max_parameters" in why_excluded(source, **limits | {"max_parameters": 1e6})
    assert "select.max_gflops" in why_excluded(source, **limits | {"max_gflops": 0.2})


def test_the_default_is_looked_at_first_then_the_own_domain_then_the_smaller() -> None:
    ordered = in_prior_order(list(CATALOGUE.values()), default="efficientnet_lite0", domain="aerial")
    sizes = [source.num_parameters for source in ordered[2:]]
    assert [source.name for source in ordered[:2]] == ["efficientnet_lite0", "aerial_resnet18"]
    assert len(sizes) == 4
    assert sizes == sorted(sizes)


def test_the_strongest_by_the_catalogue_is_the_best_on_imagenet_unless_another_has_far_more_arithmetic() -> None:
    sources = list(CATALOGUE.values())
    gflops = {name: gflops_of(source, 160) for name, source in CATALOGUE.items()}
    assert strongest(sources, gflops) == "aerial_resnet18"
    within = [source for source in sources if gflops[source.name] <= 10]
    assert strongest(within, gflops) == "efficientnet_lite0"
    unpublished = [source for source in within if source.imagenet_top1 is None]
    assert strongest(unpublished, gflops) == "moderation_resnet50_thin"


def test_a_source_that_the_folds_separate_from_the_best_is_dropped_with_numbers() -> None:
    probed = [_probed("best", 0.9), _probed("near", 0.9, noise=-1), _probed("far", 0.7)]
    finalists, dropped = pick_finalists(probed, default="best", max_finalists=3, num_folds=5)
    assert finalists == ["best", "near"]
    assert "best is +20.0 points [+20.0, +20.0] better" in dropped["far"]


def test_the_default_and_the_best_by_neighbours_stay_whatever_the_probe_says() -> None:
    probed = [_probed("best", 0.9), _probed("default", 0.5), _probed("neighbours", 0.6, knn=0.8), _probed("far", 0.7)]
    finalists, dropped = pick_finalists(probed, default="default", max_finalists=4, num_folds=5)
    assert finalists == ["best", "neighbours", "default"]
    assert list(dropped) == ["far"]


def test_no_more_finalists_than_allowed_and_the_default_among_them() -> None:
    noises = {"a": 1, "b": -2, "c": 3, "d": -4, "e": 5}
    probed = [_probed(name, 0.9 - abs(noise) / 1000, noise=noise) for name, noise in noises.items()]
    finalists, dropped = pick_finalists(probed, default="e", max_finalists=3, num_folds=5)
    assert finalists == ["a", "b", "e"]
    assert set(dropped) == {"c", "d"}
    assert all("select.max_finalists" in reason for reason in dropped.values())


def _trial(error: float, *, error_before: float | None = None) -> TrialOutcome:
    """A hundred held-out samples, the first of which are wrong."""
    is_correct_M = np.arange(100) >= round(100 * error)
    before = None if error_before is None else 1 - error_before
    return TrialOutcome(10, np.full(100, error), is_correct_M, accuracy_before=before)


def test_halving_drops_the_worse_half_and_the_others_go_on_to_a_longer_round() -> None:
    losses = {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4}
    tried: list[tuple[list[str], int]] = []

    def fine_tune(names: list[str], number: int) -> dict[str, TrialOutcome]:
        tried.append((list(names), number))
        return {name: _trial(losses[name]) for name in names}

    standing, trials, dropped = halve(list("dcba"), fine_tune, num_rounds=2, default="a")
    assert standing == ["a", "b"]
    assert set(trials) == set(losses)
    assert dropped == dict.fromkeys("dc", "in round 1 of fine-tuning: in the worse half")
    assert [(set(names), number) for names, number in tried] == [(set("abcd"), 0), (set("ab"), 1)]


def test_the_default_stays_to_the_last_round_however_it_starts() -> None:
    losses = {"a": [0.1, 0.1], "b": [0.2, 0.2], "c": [0.3], "slow": [0.4, 0.05]}

    def fine_tune(names: list[str], number: int) -> dict[str, TrialOutcome]:
        return {name: _trial(losses[name][number]) for name in names}

    standing, _, dropped = halve([*"abc", "slow"], fine_tune, num_rounds=2, default="slow")
    assert standing == ["slow", "a", "b"]
    assert set(dropped) == {"c"}


def test_a_round_that_not_all_have_gone_through_does_not_count() -> None:
    left = iter([{"a": _trial(0.3), "b": _trial(0.2)}, None])
    standing, trials, dropped = halve(["a", "b"], lambda _names, _number: next(left), num_rounds=2, default="a")
    assert standing == ["b", "a"]
    assert {name: trial.loss for name, trial in trials.items()} == pytest.approx({"a": 0.3, "b": 0.2})
    assert dropped == {}


def _winner(probed: list[ProbeOutcome], standing: list[str], trials: dict[str, TrialOutcome], **changed: Any) -> Winner:
    settings = {"default": "dear", "prefer": "accuracy", "num_folds": 5, "confidence": 0.8, "margin": 0.0}
    return name_winner(probed, standing, trials, **settings | changed)


def test_the_better_one_wins_where_its_lead_over_the_default_is_sure() -> None:
    probed = [_probed("dear", 0.9, gflops=5), _probed("cheap", 0.9)]
    trials = {"dear": _trial(0.2), "cheap": _trial(0.4)}
    winner = _winner(probed, ["dear", "cheap"], trials, default="cheap")
    assert (winner.name, winner.runner_up, winner.is_separated) == ("dear", "cheap", True)
    assert "after 10 steps of fine-tuning, dear is +20.0 points [+14.2, +25.0] better than cheap" in winner.reason


@pytest.mark.parametrize("default", ["dear", "cheap"])
def test_the_default_wins_where_they_are_not_separated_and_the_reason_says_so(default: str) -> None:
    probed = [_probed("dear", 0.9, gflops=5), _probed("cheap", 0.9)]
    trials = {"dear": _trial(0.39), "cheap": _trial(0.4)}
    winner = _winner(probed, ["dear", "cheap"], trials, default=default)
    assert winner.name == default
    assert winner.runner_up == ({"dear", "cheap"} - {default}).pop()
    assert not winner.is_separated
    assert f"does not separate them; {default} is the default" in winner.reason


def test_the_best_is_held_against_the_default_even_where_another_lies_between() -> None:
    probed = [_probed("best", 0.9), _probed("second", 0.9), _probed("dear", 0.9, gflops=5)]
    trials = {"best": _trial(0.2), "second": _trial(0.21), "dear": _trial(0.4)}
    winner = _winner(probed, ["best", "second", "dear"], trials)
    assert (winner.name, winner.runner_up, winner.is_separated) == ("best", "dear", True)


def test_without_the_default_among_the_candidates_the_best_wins() -> None:
    probed = [_probed("a", 0.9), _probed("b", 0.9)]
    trials = {"a": _trial(0.39), "b": _trial(0.4)}
    winner = _winner(probed, ["a", "b"], trials, default="no time was left for it")
    assert (winner.name, winner.runner_up, winner.is_separated) == ("a", "b", False)


def test_the_cheapest_of_those_that_are_not_surely_worse_wins_where_that_is_preferred() -> None:
    probed = [_probed("dear", 0.9, gflops=5), _probed("cheap", 0.9), _probed("cheapest", 0.9, gflops=0.5)]
    trials = {"dear": _trial(0.39), "cheap": _trial(0.4), "cheapest": _trial(0.6)}
    winner = _winner(probed, ["dear", "cheap", "cheapest"], trials, prefer="cheapest")
    assert (winner.name, winner.runner_up, winner.is_separated) == ("cheap", "dear", False)
    assert "does not separate them" in winner.reason
    assert "1.00 and 5.00 GFLOPs" in winner.reason


def test_a_lead_over_the_default_must_surpass_the_margin_and_that_of_the_default_need_not() -> None:
    probed = [_probed("dear", 0.9, gflops=5), _probed("cheap", 0.9)]
    trials = {"dear": _trial(0.4), "cheap": _trial(0.3)}
    assert _winner(probed, ["cheap", "dear"], trials, margin=0.05).name == "cheap"
    kept = _winner(probed, ["cheap", "dear"], trials, margin=0.15)
    assert (kept.name, kept.is_separated) == ("dear", False)
    assert "does not separate them by more than 15 points; dear is the default" in kept.reason
    assert _winner(probed, ["cheap", "dear"], trials, default="cheap", margin=0.15).is_separated


def test_more_confidence_asks_for_more_evidence() -> None:
    probed = [_probed("dear", 0.9, gflops=5), _probed("cheap", 0.9)]
    trials = {"dear": _trial(0.4), "cheap": _trial(0.37)}
    chosen = {
        confidence: _winner(probed, ["cheap", "dear"], trials, confidence=confidence).name for confidence in (0.8, 0.99)
    }
    assert chosen == {0.8: "cheap", 0.99: "dear"}


def test_a_lead_that_shrinks_as_training_goes_on_overrules_nothing() -> None:
    """The quick learner is 20 points ahead, but it was 40 ahead after half as many steps."""
    probed = [_probed("dear", 0.9, gflops=5), _probed("quick", 0.9)]
    trials = {"quick": _trial(0.2, error_before=0.3), "dear": _trial(0.4, error_before=0.7)}
    winner = _winner(probed, ["quick", "dear"], trials)
    assert winner.name == "dear"
    assert "(less than in the previous round), which does not separate them; dear is the default" in winner.reason
    trials["dear"] = _trial(0.4, error_before=0.5)
    assert _winner(probed, ["quick", "dear"], trials).name == "quick"


def test_a_lead_that_one_object_in_series_makes_is_not_sure() -> None:
    """Half of the twenty held-out images are one object, which alone tells the sources apart."""
    probed = [_probed("dear", 0.9, gflops=5), _probed("cheap", 0.9)]
    is_correct_M = np.repeat([True, False], 10)
    each_alone, in_series = np.arange(20), np.array([*range(10), *[10] * 10])
    chosen = [
        _winner(
            probed,
            ["cheap", "dear"],
            {
                "dear": TrialOutcome(10, np.zeros(20), is_correct_M, groups_M),
                "cheap": TrialOutcome(10, np.zeros(20), np.ones(20, dtype=bool), groups_M),
            },
            confidence=0.95,
        ).name
        for groups_M in (each_alone, in_series)
    ]
    assert chosen == ["cheap", "dear"]


def test_without_fine_tuning_the_probe_names_the_winner() -> None:
    probed = [_probed("good", 0.9), _probed("bad", 0.7)]
    winner = _winner(probed, ["good"], {}, default="bad")
    assert (winner.name, winner.runner_up, winner.is_separated) == ("good", "bad", True)


def test_a_single_candidate_wins_without_an_interval() -> None:
    winner = _winner([_probed("only", 0.9)], ["only"], {}, default="only")
    assert (winner.name, winner.runner_up, winner.lead) == ("only", None, None)


def test_a_budget_starts_nothing_that_would_not_end_in_time() -> None:
    clock = Clock()
    budget = TimeBudget(10, clock)
    assert budget.allows("fold", 1, "the first fold")
    with budget.timing("fold", 1):
        clock.now_s = 6
    assert not budget.allows("fold", 1, "the second fold")
    assert budget.allows("fold", 0.5, "half a fold")
    assert budget.allows("another kind", 100, "untimed")
    assert budget.refused == ["the second fold"]
    clock.now_s = 10
    assert not budget.allows("another kind", 0.1, "too late")


FABRIC = join_processes(torch.device("cpu"))


def _recipe(num_blocks: int) -> Recipe:
    phase = Phase(num_blocks - 1, num_epochs=2, backbone_learning_rate=0.001, head_learning_rate=0.005)
    return Recipe((phase,), batch_size=8, weight_decay=0.01, label_smoothing=0.1, warmup_fraction=0.2)


SETTINGS = ChoiceSettings(
    default="bright", prefer="accuracy", domain=None, licences=["MIT"], max_parameters=None, max_gflops=None,
    num_folds=4, num_repeats=2,
    regularisation_strength=1, max_finalists=3, trial_rounds=2, trial_steps=2, max_cached_bytes=1e9,
    recipe_of=_recipe, confidence=0.8, margin_points=0.0, dropout=0.0, seed=0,
)  # fmt: skip


@pytest.fixture
def contest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Source], Target]:
    """Three sources of one small architecture, and pictures of two classes that differ in brightness."""
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path))
    known = CATALOGUE["mobilenet_v2"]
    sources = [known.model_copy(update={"name": name}) for name in ("bright", "same", "other")]
    for module in (choice, trials):
        monkeypatch.setattr(module, "load_backbone", lambda source: build_backbone(source.architecture, seed=0))
    generator = torch.Generator().manual_seed(0)
    labels_N = torch.arange(24) % 2
    pictures = torch.randint(0, 100, (24, 3, 32, 32), generator=generator) + 120 * labels_N[:, None, None, None]

    def load(positions: list[int]) -> Tensor:
        return pictures.to(torch.uint8)[positions]

    ids = [f"{number:064x}" for number in range(24)]
    return sources, Target(sample_ids=ids, labels_N=labels_N.numpy(), load=load, side_px=32)


def test_a_choice_names_winner_runner_up_and_what_everything_cost(contest: tuple[list[Source], Target]) -> None:
    sources, target = contest
    found = choose_source(sources, target, SETTINGS, TimeBudget(1e6), FABRIC)
    ranked = found.ranked()
    assert ranked[0].source.name == found.winner.name
    assert ranked[1].source.name == found.winner.runner_up
    assert {evaluation.source.name for evaluation in ranked} == {"bright", "same", "other"}
    assert all(evaluation.tflops_spent > 0 for evaluation in ranked)
    assert [evaluation.trial.num_steps for evaluation in ranked] == [4, 4, 2]
    assert ranked[2].dropped == "in round 1 of fine-tuning: in the worse half"
    assert found.out_of_time == []


def test_the_same_choice_comes_out_twice(contest: tuple[list[Source], Target]) -> None:
    sources, target = contest
    first, again = (choose_source(sources, target, SETTINGS, TimeBudget(1e6), FABRIC) for _ in range(2))
    assert first.winner == again.winner
    losses = [[evaluation.trial.loss for evaluation in found.ranked()] for found in (first, again)]
    assert losses[0] == losses[1]


def test_what_there_is_no_time_for_is_left_out_and_named(contest: tuple[list[Source], Target]) -> None:
    sources, target = contest
    clock = Clock()

    def load(positions: list[int]) -> Tensor:
        clock.now_s += len(positions)
        return target.load(positions)

    slow = Target(target.sample_ids, target.labels_N, load, target.side_px)
    found = choose_source(sources[::-1], slow, SETTINGS, TimeBudget(25, clock), FABRIC)
    assert found.winner.name == "bright"
    assert found.winner.reason == "the only candidate"
    assert found.out_of_time


def test_a_policy_that_leaves_no_candidate_is_an_error_that_lists_the_reasons(
    contest: tuple[list[Source], Target],
) -> None:
    sources, target = contest
    strict = ChoiceSettings(**{**vars(SETTINGS), "licences": ["Apache-2.0"]})
    with pytest.raises(CatalogueError, match="no candidate is left") as caught:
        choose_source(sources, target, strict, TimeBudget(1e6), FABRIC)
    assert str(caught.value).count("licence MIT is not in select.licences") == 3
