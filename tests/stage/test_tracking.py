"""The project's own MLflow database: where it lies, what it says after a move, what is wrong with it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from graft.core.errors import ServerError
from graft.core.paths import artifact_root, tracking_uri
from graft.core.tracking import relocate_artifacts, require_tracking
from graft.project import Project
from graft.registry.runs import record_run

ODD = "100%20 #1 or?"
"""A folder's name whose characters mean something in an address."""


@pytest.fixture(scope="module", autouse=True)
def _no_server() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A project in a folder with an odd name, with one run and a registered version of it; and the run's id."""
    project = tmp_path_factory.mktemp("home") / ODD
    (project / ".graft").mkdir(parents=True)
    client = MlflowClient(tracking_uri(project))
    experiment = client.create_experiment("graft", artifact_location=artifact_root(project))
    client.create_experiment("elsewhere", artifact_location=f"file://{project.parent}/on/purpose")
    run = client.create_run(experiment)
    client.log_text(run.info.run_id, "weights", "weights/model.txt")
    client.create_registered_model("cells")
    client.create_model_version("cells", f"{run.info.artifact_uri}/weights", run.info.run_id)
    return project, run.info.run_id


def test_a_project_in_a_folder_with_an_odd_name_keeps_its_runs_inside(home: tuple[Path, str]) -> None:
    project, run_id = home
    databases = list(project.parent.rglob("*.db"))
    assert databases == [project / ".graft" / "mlflow.db"]
    assert [path.read_text() for path in project.rglob("model.txt")] == ["weights"]
    assert MlflowClient(tracking_uri(project)).list_artifacts(run_id, "weights")[0].path == "weights/model.txt"


def test_a_copied_project_reads_and_records_in_its_new_place(home: tuple[Path, str], tmp_path: Path) -> None:
    project, run_id = home
    copy = Path(shutil.copytree(project, tmp_path / "else#where"))
    uri, root = tracking_uri(copy), artifact_root(copy)
    assert root is not None
    relocate_artifacts(uri, root)
    client = MlflowClient(uri)
    (copy / ".graft" / "mlartifacts" / run_id / "artifacts" / "weights" / "model.txt").write_text("of the copy")
    found = client.download_artifacts(run_id, "weights/model.txt", str(tmp_path))
    assert Path(found).read_text() == "of the copy"
    assert client.get_model_version("cells", "1").source.startswith(root)
    client.log_text(client.create_run(client.get_experiment_by_name("graft").experiment_id).info.run_id, "new", "a.txt")
    assert len(list(copy.rglob("a.txt"))) == 1
    assert list(project.rglob("a.txt")) == []


def test_a_place_for_artifacts_that_the_user_chose_stays(home: tuple[Path, str], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(home[0], tmp_path / "copy"))
    root = artifact_root(copy)
    assert root is not None
    relocate_artifacts(tracking_uri(copy), root)
    found = MlflowClient(tracking_uri(copy)).get_experiment_by_name("elsewhere")
    assert found.artifact_location == f"file://{home[0].parent}/on/purpose"


def test_a_deleted_experiment_is_said_with_the_command_that_restores_it(home: tuple[Path, str], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(home[0], tmp_path / "copy"))
    uri = tracking_uri(copy)
    require_tracking(uri, "graft")
    require_tracking(uri, "not made yet")
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("graft").experiment_id
    client.delete_experiment(experiment)
    with pytest.raises(ServerError, match=f"mlflow experiments restore --experiment-id {experiment}"):
        require_tracking(uri, "graft")
    with pytest.raises(ServerError, match="is deleted"):
        record_run(Project(tmp_path), tracking_uri=uri, artifact_root=artifact_root(copy), experiment="graft")
    assert tracking_uri(tmp_path) != uri  # a run that was recorded names no place for the next one


def test_a_damaged_database_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / ".graft").mkdir()
    (tmp_path / ".graft" / "mlflow.db").write_text("no database, though long enough to be read as one" * 20)
    with pytest.raises(ServerError, match=r"mlflow\.db could not be read"):
        relocate_artifacts(tracking_uri(tmp_path), artifact_root(tmp_path) or "")
