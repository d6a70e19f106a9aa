"""The whole of it, as a user runs it: the flow, DVC's own commands, own data, mistakes and interruptions."""

import json
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import mlflow
import onnxruntime
import psutil
import pytest
from conftest import PROJECT, QUICK, SMALL, make_project, run, succeed, user_environment, write_params

from graft.core.files import sha256_of_file
from graft.data.profile import Profile
from graft.serving.result import Export
from graft.transfer.verdict import Verdict

CopyOf = Callable[[Path], Path]
FLOW = ("python", "-m", "flows.retrain")


@pytest.fixture(scope="module")
def flown(tmp_path_factory: pytest.TempPathFactory, few_cells: Callable[[Path], None]) -> tuple[Path, str]:
    """A project in which the flow has run, and what it printed."""
    folder = make_project(tmp_path_factory.mktemp("flown") / "project", few_cells)
    done = run(folder, *FLOW)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout + done.stderr


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, few_cells: Callable[[Path], None]) -> Path:
    """A project in which nothing has run yet."""
    return make_project(tmp_path_factory.mktemp("fresh") / "project", few_cells)


def test_the_flow_and_dvc_repro_leave_the_same_lock(flown: tuple[Path, str], finished: Path) -> None:
    assert (flown[0] / "dvc.lock").read_text() == (finished / "dvc.lock").read_text()


def test_after_the_flow_dvc_finds_nothing_stale(flown: tuple[Path, str]) -> None:
    assert "up to date" in succeed(flown[0], "dvc", "status")
    assert "up to date" in succeed(flown[0], "dvc", "repro")


def test_the_flow_keeps_what_the_data_of_an_accepted_run_looked_like(flown: tuple[Path, str]) -> None:
    is_rejected = Verdict.load(flown[0] / "artifacts" / "verdict.json").is_rejected
    assert (flown[0] / "accepted_data.json").exists() == (not is_rejected)


def test_a_rejected_model_is_a_result_with_an_exit_code_of_its_own(
    flown: tuple[Path, str], copy_of: Callable[[Path], Path]
) -> None:
    project = copy_of(flown[0])
    (project / "accepted_data.json").unlink(missing_ok=True)
    write_params(project, {**QUICK, "check_transfer": {"max_seeds": 2, "alpha": 1e-9, "on_inconclusive": "reject"}})
    done = run(project, *FLOW)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "REJECTED: no gain shown" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert (project / "artifacts" / "onnx" / "REFUSED.txt").exists()
    assert not (project / "accepted_data.json").exists()


def test_the_flow_is_quiet_and_ends_with_a_summary_that_fits_a_screen(flown: tuple[Path, str]) -> None:
    output = flown[1]
    for noise in ("Traceback", "Warning", "WARNING", "CancelledError", "ERROR"):
        assert noise not in output
    shown = output[output.index("  data  ") :]
    recorded = re.search(r"^\d\d:\d\d:\d\d ", shown, re.MULTILINE)
    assert recorded is not None  # after it was shown
    summary = shown[: recorded.start()]
    assert len(summary.splitlines()) <= 28
    for word in (
        "data ",
        "source ",
        "transfer ",
        "baseline ",
        "cost ",
        "gain ",
        "verdict ",
        "labels ",
        "ONNX ",
        "report ",
        "next ",
    ):
        assert word in summary


def test_mlflow_holds_a_parent_a_child_a_seed_and_arm_and_the_model_with_its_signature(flown: tuple[Path, str]) -> None:
    uri = f"sqlite:///{flown[0]}/.graft/mlflow.db"
    client = mlflow.MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("graft").experiment_id])
    parents = [item for item in runs if "mlflow.parentRunId" not in item.data.tags]
    children = [item for item in runs if "mlflow.parentRunId" in item.data.tags]
    num_seeds = Verdict.load(flown[0] / "artifacts" / "verdict.json").num_seeds
    assert (len(parents), len(children)) == (1, 2 * num_seeds)
    assert {item.info.status for item in runs} == {"FINISHED"}
    assert parents[0].data.params["finetune.num_epochs"] == "3"
    assert 0 < parents[0].data.metrics["transfer_test_accuracy"] <= 1
    weakest = Verdict.load(flown[0] / "artifacts" / "verdict.json").weakest_class
    assert parents[0].data.metrics["weakest_class_recall"] == pytest.approx(weakest.recall.mean)
    assert parents[0].data.metrics["weakest_class_num_items"] == weakest.num_items
    assert parents[0].data.tags["graft.weakest_class"] == weakest.name
    costs = {"training_s", "training_energy_wh", "training_co2_g"}
    assert all(item.data.metrics[name] > 0 for item in runs for name in costs)
    curve = client.get_metric_history(children[0].info.run_id, "validation_accuracy")
    assert len(curve) >= 1
    mlflow.set_tracking_uri(uri)
    models = mlflow.search_logged_models(experiment_ids=[parents[0].info.experiment_id], output_format="list")
    signature = mlflow.models.get_model_info(models[0].model_uri).signature
    assert signature.inputs.inputs[0].name == "pixels"


def test_mlflow_gives_back_the_very_onnx_file_that_was_held_against_pytorch(
    flown: tuple[Path, str], tmp_path: Path
) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{flown[0]}/.graft/mlflow.db")
    mlflow.set_tracking_uri(client.tracking_uri)
    logged = client.search_logged_models([client.get_experiment_by_name("graft").experiment_id])[0]
    fetched = Path(mlflow.artifacts.download_artifacts(logged.model_uri, dst_path=str(tmp_path))) / "model.onnx"
    assert sha256_of_file(fetched) == Export.load(flown[0] / "artifacts" / "export.json").onnx_sha256
    assert mlflow.get_run(logged.source_run_id).data.tags["graft.onnx_sha256"] == sha256_of_file(fetched)
    alone = Path(shutil.copy(fetched, tmp_path / "alone.onnx"))
    assert onnxruntime.InferenceSession(alone).get_inputs()[0].name == "pixels"


def test_dvc_commands_work_as_their_users_expect(finished: Path, copy_of: CopyOf) -> None:
    project = copy_of(finished)
    succeed(project, "git", "add", "dvc.lock")
    succeed(project, "git", "commit", "--quiet", "--message", "a result")
    metrics = json.loads(succeed(project, "dvc", "metrics", "show", "--json"))[""]["data"]["artifacts/metrics.json"][
        "data"
    ]
    assert set(metrics) == {"choose_by", "test_accuracy", "transfer_gain_points", "verdict", "weakest_class"}
    assert set(metrics["weakest_class"]) == {"name", "recall", "num_items"}
    assert "index.html" in succeed(project, "dvc", "plots", "show")
    story = succeed(project, "dvc", "dag", "--mermaid")
    assert story.count("-->") == 21
    succeed(project, "dvc", "exp", "run", "-S", "check_transfer.alpha=0.2")
    assert "check_transfer.alpha" in succeed(project, "dvc", "params", "diff")
    assert json.loads(succeed(project, "dvc", "metrics", "diff", "--json"))
    experiments = succeed(project, "dvc", "exp", "show", "--csv")
    assert len(experiments.strip().splitlines()) >= 3
    assert "up to date" in succeed(project, "dvc", "status")


def test_push_and_pull_carry_data_and_models(finished: Path, copy_of: CopyOf, tmp_path: Path) -> None:
    project = copy_of(finished)
    remote = tmp_path / "remote"
    remote.mkdir()
    succeed(project, "dvc", "remote", "add", "--default", "local", str(remote))
    succeed(project, "dvc", "push")
    for name in ("data", "artifacts", ".dvc/cache"):
        shutil.rmtree(project / name)
    assert "pulled" in succeed(project, "python", "-m", "infra.restore_data")
    succeed(project, "dvc", "pull")
    assert "up to date" in succeed(project, "dvc", "status")
    for name in ("data/labels.csv", "artifacts/onnx/model.onnx", "artifacts/report.html"):
        assert (project / name).read_bytes() == (finished / name).read_bytes()


def test_the_example_is_rebuilt_to_the_pinned_bytes(tmp_path: Path) -> None:
    project = tmp_path / "clone"
    project.mkdir()
    for name in ("graft", "infra", ".dvc"):
        shutil.copytree(PROJECT / name, project / name, ignore=shutil.ignore_patterns("cache", "tmp", "__pycache__"))
    for name in ("data.dvc", ".dvcignore", ".gitignore"):
        shutil.copy(PROJECT / name, project / name)
    succeed(project, "git", "init", "--quiet")
    pinned = (project / "data.dvc").read_text()
    assert "pinned bytes" in succeed(project, "python", "-m", "infra.restore_data")
    assert "up to date" in succeed(project, "dvc", "status", "data.dvc")
    assert (project / "data.dvc").read_text() == pinned
    assert "data/ exists" in succeed(project, "python", "-m", "infra.restore_data")


@pytest.fixture(scope="module")
def interrupted(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """Own data in place of the example; the flow was killed when it had begun, stopped by SIGTERM once the first seed
    was trained, then run again to its end. The project, and what the second and the third run said."""
    from infra.fetch_example import fetch_example

    folder = tmp_path_factory.mktemp("own_data")
    fetch_example("mnist", folder / "mnist")
    project = Path(shutil.copytree(finished, folder / "project", symlinks=True))
    shutil.rmtree(project / "data")
    for digit in "0123":
        pictures = sorted((folder / "mnist" / digit).iterdir())[:40]
        (project / "data" / digit).mkdir(parents=True)
        for picture in pictures:
            shutil.copy(picture, project / "data" / digit / picture.name)
    one_candidate = {**SMALL["select"], "candidates": ["mobilenet_v2"]}
    epochs, seeds = {**SMALL["finetune"], "num_epochs": 6}, {"max_seeds": 2}
    write_params(project, {**QUICK, "select": one_candidate, "finetune": epochs, "check_transfer": seeds})
    succeed(project, "dvc", "add", "data")
    _stop_at("Beginning flow run", signal.SIGKILL, project)
    exit_code, said = _stop_at("seed 0: validation accuracy", signal.SIGTERM, project)
    assert exit_code == 128 + signal.SIGTERM, said
    again = run(project, *FLOW)
    assert again.returncode == 0, again.stdout + again.stderr
    return project, said, again.stdout


def _stop_at(words: str, number: signal.Signals, project: Path) -> tuple[int, str]:
    """Exit code of the flow, which gets a signal when it says this, and what it said. None of its processes stays."""
    flow = subprocess.Popen(
        FLOW, cwd=project, env=user_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert flow.stdout is not None
    said = ""
    children: list[psutil.Process] = []
    for line in flow.stdout:
        said += line
        if words in line and not children:
            children = psutil.Process(flow.pid).children(recursive=True)
            flow.send_signal(number)
    exit_code = flow.wait(timeout=60)
    assert len(children) >= 1, said
    assert psutil.wait_procs(children, timeout=60)[1] == []
    return exit_code, said


def test_own_data_in_a_folder_a_class_needs_no_change_but_the_data(interrupted: tuple[Path, str, str]) -> None:
    project, _, said = interrupted
    assert Profile.load(project / "artifacts" / "profile.json").classes == ["0", "1", "2", "3"]
    assert "160 images of 4 classes" in said


def test_a_flow_that_is_interrupted_goes_on_where_it_was(interrupted: tuple[Path, str, str]) -> None:
    _, first, again = interrupted
    assert "run the same command again to continue" in first
    assert "already trained, kept" not in first
    assert "already trained, kept" in again
    assert again.count("unchanged") >= 3


def test_prefect_shows_a_run_that_was_killed_or_stopped_as_crashed(interrupted: tuple[Path, str, str]) -> None:
    with sqlite3.connect(interrupted[0] / ".prefect" / "prefect.db") as database:
        states = database.execute("SELECT state_type FROM flow_run ORDER BY start_time").fetchall()
    assert states == [("CRASHED",), ("CRASHED",), ("COMPLETED",)]


def test_a_mistake_is_answered_before_any_work(fresh: Path, copy_of: CopyOf) -> None:
    """Which mistakes are: tests/unit/test_preflight.py."""
    project = copy_of(fresh)
    write_params(project, {"finetune": {"epochs": 3}})
    started_s = time.monotonic()
    done = run(project, *FLOW)
    assert done.returncode == 1
    assert "finetune.epochs: no such key" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (project / "artifacts").exists()
    assert time.monotonic() - started_s < 120  # a hang, not a speed


def test_an_unreadable_picture_stops_the_flow_with_its_name_and_leaves_no_traceback(
    few_cells: Callable[[Path], None], tmp_path: Path
) -> None:
    def fill(data_dir: Path) -> None:
        few_cells(data_dir)
        for path in sorted((data_dir / "images").iterdir())[:5]:
            path.write_text("I am no picture")

    done = run(make_project(tmp_path / "project", fill), *FLOW)
    assert done.returncode == 1
    assert "5 of 240 files cannot be used" in done.stdout + done.stderr
    assert "max_quarantined_fraction" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
