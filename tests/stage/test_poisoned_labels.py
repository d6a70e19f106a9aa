"""Wrong labels on the test split: nothing that is chosen or trained may notice them, and the final numbers must."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from conftest import SMALL, run_stages, write_params

from graft.data.manifest import read_manifest
from graft.examination.result import Examination
from graft.selection.result import Selection
from graft.transfer.longer_training import LongerTraining

OTHER = {"defective": "functional", "functional": "defective"}
STAGES = ("validate", "select", "inspect", "finetune", "baseline", "baseline_longer", "count_labels", "examine")
CHOSEN_OR_TRAINED = (
    "model/model.safetensors", "finetune/curves.csv", "baseline/model/model.safetensors", "baseline/curves.csv",
    "suspects.csv",
)  # fmt: skip


@pytest.fixture(scope="module")
def poisoned(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished project, run again with the other label on every test item, and with nothing kept of before."""
    folder = tmp_path_factory.mktemp("poisoned") / "project"
    project = Path(shutil.copytree(finished, folder, symlinks=True))
    _poison(project)
    shutil.rmtree(project / ".graft")
    run_stages(project, *STAGES)
    return project


def _poison(project: Path) -> None:
    path = project / "artifacts" / "manifest.parquet"
    manifest = read_manifest(path)
    is_test = manifest["split"] == "test"
    assert is_test.sum() > 20
    manifest.loc[is_test, "label"] = manifest.loc[is_test, "label"].map(OTHER)
    manifest.to_parquet(path, index=False)


def test_the_choice_of_the_source_is_the_same(finished: Path, poisoned: Path) -> None:
    after, before = (Selection.load(folder / "artifacts" / "selection.json") for folder in (poisoned, finished))
    assert after.ranking == before.ranking


@pytest.mark.parametrize("name", CHOSEN_OR_TRAINED)
def test_models_curves_and_the_lists_of_suspects_are_the_same_bytes(finished: Path, poisoned: Path, name: str) -> None:
    assert (poisoned / "artifacts" / name).read_bytes() == (finished / "artifacts" / name).read_bytes()


def test_the_longer_training_is_chosen_alike(finished: Path, poisoned: Path) -> None:
    after, before = (
        LongerTraining.load(folder / "artifacts" / "baseline" / "longer" / "result.json")
        for folder in (poisoned, finished)
    )
    assert after.budgets == before.budgets


@pytest.mark.parametrize("folder", ["finetune", "baseline", "baseline/longer", "labels"])
def test_predictions_differ_in_the_label_alone(finished: Path, poisoned: Path, folder: str) -> None:
    after, before = (
        pd.read_parquet(project / "artifacts" / folder / "predictions.parquet") for project in (poisoned, finished)
    )
    assert len(before) > 0
    assert (after["label"] != before["label"]).all()
    pd.testing.assert_frame_equal(after.drop(columns="label"), before.drop(columns="label"))


def test_the_temperature_stays_and_the_final_numbers_do_not(finished: Path, poisoned: Path) -> None:
    after, before = (Examination.load(folder / "artifacts" / "examination.json") for folder in (poisoned, finished))
    for arm in before.arms:
        assert after.arms[arm].temperature == before.arms[arm].temperature
        assert after.arms[arm].before.log_loss != before.arms[arm].before.log_loss
        right, wrong = before.arms[arm].clean_accuracy.mean, after.arms[arm].clean_accuracy.mean
        assert wrong == pytest.approx(1 - right, abs=1e-5)


def test_a_search_of_settings_is_the_same(poisoned: Path, finished: Path, copy_of: Callable[[Path], Path]) -> None:
    project = copy_of(finished)
    searching = SMALL | {"arms": SMALL["arms"] | {"search_s": 3600, "search_trials": 2}}
    found = []
    for folder in (project, poisoned):
        write_params(folder, searching)
        run_stages(folder, "finetune")
        found.append((folder / "artifacts" / "finetune" / "search.csv").read_bytes())
    assert found[0] == found[1]
    assert len(found[0].splitlines()) == 3
