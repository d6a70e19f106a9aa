"""What MLflow is told: no run stays RUNNING when its process is gone, no file is another than the proven one."""

import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
from conftest import PROJECT
from mlflow.entities import RunStatus

from graft.core import abandoned_runs as abandoned
from graft.core.abandoned_runs import end_abandoned_runs
from graft.core.errors import ContentChangedError
from graft.project import Project
from graft.registry import runs
from graft.transfer.verdict import Verdict

BEGIN = """
import sys, time, mlflow
from graft.core.abandoned_runs import process_tags
mlflow.set_tracking_uri(sys.argv[1])
mlflow.start_run(experiment_id=sys.argv[2], tags=process_tags())
print("begun", flush=True)
time.sleep(60)
"""


@pytest.fixture
def client(tmp_path: Path) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")


def test_a_run_whose_process_was_killed_ends_as_killed_and_a_living_one_goes_on(
    client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    experiment = client.create_experiment("graft", artifact_location=(tmp_path / "artifacts").as_uri())
    living = client.create_run(experiment, tags=abandoned.process_tags())
    elsewhere = client.create_run(experiment, tags={abandoned.HOST_TAG: "another", abandoned.PROCESS_TAG: "1"})
    earlier = {
        **abandoned.process_tags(),
        abandoned.STARTED_TAG: "1700000000",
    }  # its number is given to this process now
    client.create_run(experiment, tags=earlier)
    begun = subprocess.Popen(
        [sys.executable, "-c", BEGIN, f"sqlite:///{tmp_path}/mlflow.db", experiment],
        cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert begun.stdout is not None
    assert "begun" in begun.stdout.read(5)
    begun.kill()
    begun.wait()
    end_abandoned_runs(client, experiment)
    statuses = {run.info.run_id: run.info.status for run in client.search_runs([experiment])}
    assert statuses.pop(living.info.run_id) == "RUNNING"
    assert statuses.pop(elsewhere.info.run_id) == "RUNNING"
    assert list(statuses.values()) == 2 * [RunStatus.to_string(RunStatus.KILLED)]


def test_a_run_that_cannot_be_recorded_ends_as_failed(
    client: mlflow.MlflowClient, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished / "artifacts", tmp_path / "artifacts")
    shutil.copy(finished / "params.yaml", tmp_path)
    # the children of one arm succeed
    curves = runs.read_curves(tmp_path / "artifacts")
    monkeypatch.setattr(runs, "read_curves", lambda _: curves[curves["arm"] == "transfer"])
    with pytest.raises(KeyError):
        runs.record_run(
            Project(tmp_path),
            tracking_uri=client.tracking_uri,
            artifact_root=(tmp_path / "root").as_uri(),
            experiment="graft",
        )
    experiment = client.get_experiment_by_name("graft")
    assert experiment is not None
    found = [run.info.status for run in client.search_runs([experiment.experiment_id])]
    assert len(found) == 1 + len(Verdict.load(tmp_path / "artifacts" / "verdict.json").seeds) + 1
    assert sorted(set(found)) == ["FAILED", "FINISHED"]


def test_an_onnx_file_that_mlflow_holds_with_other_bytes_is_refused_and_the_right_one_named(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"written anew")
    with pytest.raises(ContentChangedError, match="Serve the file in artifacts/onnx"):
        runs._require_proven_bytes(tmp_path.as_uri(), "0" * 64)
