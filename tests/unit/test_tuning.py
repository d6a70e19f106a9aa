"""What params.yaml lets a search change, and what is said and written of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from digits import CPU, digits, recipe, tiny_classifier

from graft.core.config import Params
from graft.core.params_file import load_params
from graft.experiment.recipes import baseline_recipe, finetune_recipe
from graft.experiment.search_spaces import Tuning, baseline_space, finetune_space, search_table, trials_in_words, tune
from graft.training.data import ArmData
from graft.training.preemption import Preemption
from graft.training.processes import join_processes
from graft.training.recipe import Recipe
from graft.training.search import SearchLimits, SearchSpace, Trial

NUM_BLOCKS = 10
SPACE = SearchSpace({"rate": (0.001, 0.1)}, {"rate": 0.01}, lambda values: recipe(values["rate"], num_epochs=1))
SETTLED = {
    "method": "partial", "num_epochs": 6, "probe_epochs": 4, "num_trained_blocks": 6, "backbone_learning_rate": 0.001,
    "batchnorm_statistics": "target",
}  # fmt: skip
OFF = SearchLimits(seconds=0, num_trials=None)
TRIALS = [
    Trial({"rate": 0.01}, "finished", [0.7, 0.5], 0.51),
    Trial({"rate": 0.0000123456789}, "pruned", [2.0], None),
    Trial({"rate": 0.02}, "finished", [0.6, 0.4], 0.41),
]


def _params(**finetune: Any) -> Params:
    params = load_params(Path(__file__).parents[2] / "params.yaml")
    return params.model_copy(update={"finetune": params.finetune.model_copy(update=SETTLED | finetune)})


def _rates(given: Recipe) -> list[tuple[float, float]]:
    return [(phase.backbone_learning_rate, phase.head_learning_rate) for phase in given.phases]


@pytest.mark.parametrize("method", ["partial", "lp_ft", "linear_probe"])
@pytest.mark.parametrize("rate", [0.001, 0.0003, 0.007])
def test_the_settings_that_a_search_starts_from_are_those_of_params(method: str, rate: float) -> None:
    params = _params(method=method, backbone_learning_rate=rate)
    space = finetune_space(params, NUM_BLOCKS)
    assert space.recipe_of(space.start) == finetune_recipe(params, NUM_BLOCKS)
    baseline = baseline_space(params, 3.5)
    assert baseline.recipe_of(baseline.start) == baseline_recipe(params, 3.5)


def test_a_search_changes_the_learning_rates_and_nothing_else() -> None:
    params = _params(method="lp_ft")
    plain = finetune_recipe(params, NUM_BLOCKS)
    found = finetune_space(params, NUM_BLOCKS).recipe_of({"backbone_learning_rate": 0.002, "head_ratio": 3.0})
    assert _rates(found) == [(0.002, 0.006)] * 2
    assert replace(found, phases=()) == replace(plain, phases=())
    assert [phase.num_frozen for phase in found.phases] == [phase.num_frozen for phase in plain.phases]
    assert _rates(baseline_space(params, 2).recipe_of({"learning_rate": 0.02})) == [(0.02, 0.02)]


def test_of_a_linear_probe_the_rate_of_the_head_alone_is_searched() -> None:
    space = finetune_space(_params(method="linear_probe"), NUM_BLOCKS)
    assert list(space.ranges) == ["head_learning_rate"]
    assert _rates(space.recipe_of({"head_learning_rate": 0.02})) == [(0.001, 0.02)]


def _tune(folder: Path, limits: SearchLimits, find_rate: bool = False) -> tuple[Recipe, list[Trial]]:
    with Preemption() as stop:
        return tune(
            Tuning(SPACE, limits, find_rate), tiny_classifier, ArmData(digits(0, 100), digits(600, 700)),
            seed=0, fabric=join_processes(CPU), folder=folder / "search", stop=stop,
        )  # fmt: skip


def test_without_a_search_the_recipe_is_that_of_params_and_nothing_is_kept(tmp_path: Path) -> None:
    assert _tune(tmp_path, OFF) == (recipe(0.01, num_epochs=1), [])
    assert list(tmp_path.iterdir()) == []


def test_the_suggestion_of_the_finder_is_said_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _tune(tmp_path, OFF, find_rate=True) == (recipe(0.01, num_epochs=1), [])
    said = capsys.readouterr().out
    assert "rate finder suggests backbone_learning_rate: 0." in said
    assert "params.yaml has 0.01 and 0.01, which will be used" in said


def test_what_a_search_found_is_the_recipe(tmp_path: Path) -> None:
    found, trials = _tune(tmp_path, SearchLimits(seconds=3600, num_trials=4))
    best = min((trial for trial in trials if trial.loss is not None), key=lambda trial: trial.loss or 0)
    assert len(trials) == 4
    assert found == recipe(best.hyperparameters["rate"], num_epochs=1)


def test_a_search_that_finishes_no_trial_leaves_the_settings_of_params(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, trials = _tune(tmp_path, SearchLimits(seconds=1e-9, num_trials=None))
    assert found == recipe(0.01, num_epochs=1)
    assert [trial.outcome for trial in trials] == ["out of time"]
    assert "the settings of params.yaml are kept" in capsys.readouterr().out


def test_the_table_has_a_row_a_trial_and_its_header_also_without_a_search() -> None:
    table = search_table(Tuning(SPACE, OFF), TRIALS).to_csv(index=False)
    assert table.splitlines() == [
        "trial,rate,outcome,validation_loss,by_epoch",
        "1,0.01,finished,0.51,0.700000 0.500000",
        "2,1.23457e-05,pruned,,2.000000",
        "3,0.02,finished,0.41,0.600000 0.400000",
    ]
    assert search_table(Tuning(SPACE, OFF), []).to_csv(index=False).splitlines() == table.splitlines()[:1]


def test_the_report_says_how_many_trials_there_were_and_what_they_found() -> None:
    assert trials_in_words(TRIALS) == "3 trials (1 pruned, 0 out of time); best on validation data: rate 0.02"
    assert trials_in_words([]) == "off"
    assert trials_in_words([replace(TRIALS[1], outcome="out of time")]) == "1 trials, none finished"
