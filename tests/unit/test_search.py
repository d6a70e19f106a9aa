"""The search: on validation data, within limits, ended early where it is hopeless, and resumable."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from digits import CPU, digits, recipe, tiny_classifier
from stopping import StopsAfter

from graft.core.errors import PreemptedError
from graft.training.data import ArmData
from graft.training.preemption import StopSignal
from graft.training.processes import join_processes
from graft.training.search import Hyperparameters, SearchLimits, SearchSpace, Trial, best_of, search

FABRIC = join_processes(CPU)
NUM_EPOCHS = 3
TRAIN, VALIDATION = digits(0, 96), digits(600, 700)
BATCH_SIZE = 8
STEPS_A_TRIAL = 12 * NUM_EPOCHS
ONE_HOUR_S = 3600.0


def _space(start: Hyperparameters | None = None, lowest: float = 0.0001) -> SearchSpace:
    return SearchSpace(
        ranges={"rate": (lowest, 0.3), "head_ratio": (1.0, 10.0)},
        start=start or {"rate": 0.03, "head_ratio": 2.0},
        recipe_of=lambda values: recipe(
            values["rate"],
            head_ratio=values["head_ratio"],
            num_epochs=NUM_EPOCHS,
            batch_size=BATCH_SIZE,
        ),
    )


def _search(
    folder: Path,
    num_trials: int | None = 7,
    seconds: float = ONE_HOUR_S,
    *,
    space: SearchSpace | None = None,
    stop: StopSignal | None = None,
    clock_s: Callable[[], float] = lambda: 0.0,
    seed: int = 0,
) -> list[Trial]:
    return search(
        space or _space(), tiny_classifier, ArmData(TRAIN, VALIDATION), SearchLimits(seconds, num_trials),
        seed=seed, fabric=FABRIC, folder=folder, stop=stop, clock_s=clock_s,
    )  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Trial]:
    return _search(tmp_path_factory.mktemp("undisturbed"))


def test_the_same_seed_searches_the_same_and_another_does_not(undisturbed: list[Trial], tmp_path: Path) -> None:
    assert len(undisturbed) == 7
    assert _search(tmp_path / "again") == undisturbed
    other = _search(tmp_path / "other", num_trials=2, seed=1)
    assert other[1].hyperparameters != undisturbed[1].hyperparameters


def test_the_settings_it_starts_from_are_the_first_trial(undisturbed: list[Trial]) -> None:
    assert undisturbed[0].hyperparameters == {"rate": 0.03, "head_ratio": 2.0}
    best = best_of(undisturbed)
    assert best is not None
    assert undisturbed[0].loss is not None
    assert best.loss is not None
    assert best.loss <= undisturbed[0].loss


def test_a_start_outside_of_the_range_is_tried_as_it_is(tmp_path: Path) -> None:
    start = {"rate": 0.00001, "head_ratio": 40.0}
    assert _search(tmp_path, num_trials=1, space=_space(start))[0].hyperparameters == pytest.approx(start, rel=1e-12)


def test_it_finds_a_better_setting_than_a_bad_one(tmp_path: Path) -> None:
    trials = _search(tmp_path, space=_space({"rate": 0.00001, "head_ratio": 1.0}))
    best = best_of(trials)
    assert best is not None
    assert best.hyperparameters["rate"] > 0.001
    assert best.loss is not None
    assert trials[0].loss is not None
    assert best.loss < trials[0].loss - 0.2


def test_what_is_hopeless_is_ended_early(undisturbed: list[Trial]) -> None:
    pruned = [trial for trial in undisturbed if trial.outcome == "pruned"]
    assert pruned
    assert all(trial.loss is None for trial in pruned)
    assert any(len(trial.validation_losses) < NUM_EPOCHS for trial in pruned)
    assert all(trial.outcome == "finished" for trial in undisturbed[:3])
    finished = [trial for trial in undisturbed if trial.outcome == "finished"]
    assert all(len(trial.validation_losses) == NUM_EPOCHS for trial in finished)


def test_a_trial_whose_loss_is_no_number_is_ended_and_the_search_goes_on(tmp_path: Path) -> None:
    trials = _search(tmp_path, num_trials=2, space=_space({"rate": 1e30, "head_ratio": 1.0}))
    assert trials[0] == Trial({"rate": 1e30, "head_ratio": 1.0}, "pruned", [], None)
    assert len(trials) == 2


@pytest.mark.parametrize("num_steps", [1, STEPS_A_TRIAL - 1, STEPS_A_TRIAL, STEPS_A_TRIAL + 14, 4 * STEPS_A_TRIAL - 2])
def test_stopped_and_started_again_it_ends_as_if_it_had_not_been(
    num_steps: int, undisturbed: list[Trial], tmp_path: Path
) -> None:
    with pytest.raises(PreemptedError):
        _search(tmp_path, stop=StopsAfter(num_steps))
    assert _search(tmp_path) == undisturbed
    assert [path.name for path in tmp_path.iterdir()] == ["study.db"]


def test_it_can_be_stopped_again_and_again(undisturbed: list[Trial], tmp_path: Path) -> None:
    num_stops = 0
    while True:
        try:
            trials = _search(tmp_path, stop=StopsAfter(25))
            break
        except PreemptedError:
            num_stops += 1
    assert num_stops > 5
    assert trials == undisturbed


def test_a_finished_search_is_not_repeated_and_a_wider_limit_goes_on(
    undisturbed: list[Trial], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _search(tmp_path, num_trials=5) == undisturbed[:5]
    capsys.readouterr()
    assert _search(tmp_path, num_trials=5) == undisturbed[:5]
    assert "trial" not in capsys.readouterr().out
    assert _search(tmp_path, num_trials=7) == undisturbed
    assert capsys.readouterr().out.count("trial") == 2
    assert _search(tmp_path, num_trials=3) == undisturbed[:3]


def test_it_keeps_to_its_seconds_also_over_several_calls(undisturbed: list[Trial], tmp_path: Path) -> None:
    ticks = itertools.count()

    def clock_s() -> float:
        return next(ticks)  # a second a question, so a second a step

    trials = _search(tmp_path, num_trials=None, seconds=3.5 * STEPS_A_TRIAL, clock_s=clock_s)
    assert trials == undisturbed[: len(trials)]
    assert len(trials) == 3
    num_asked = next(ticks)
    assert num_asked < 3.5 * STEPS_A_TRIAL
    assert _search(tmp_path, num_trials=None, seconds=3.5 * STEPS_A_TRIAL, clock_s=clock_s) == trials
    assert next(ticks) == num_asked + 1


def test_a_trial_that_takes_too_long_is_cut_and_counts_for_nothing(undisturbed: list[Trial], tmp_path: Path) -> None:
    seconds = itertools.count(step=10.0)
    trials = _search(tmp_path, num_trials=None, seconds=50.0, clock_s=seconds.__next__)
    assert [trial.outcome for trial in trials] == ["out of time"]
    assert best_of(trials) is None
    assert _search(tmp_path) == undisturbed  # with more time it is begun again
