"""Curves in MLflow while a training runs, by a real sqlite store and by servers that are of no use."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from digits import CPU, digits, recipe, tiny_classifier
from mlflow import MlflowClient
from mlflow.entities import Run
from silence import dead_address, silent_server
from stopping import StopsAfter

from flows import stages
from graft.core.addresses import sqlite_address
from graft.core.errors import PreemptedError
from graft.core.paths import LIVE_CURVES, live_tracking_uri, tracking_uri
from graft.training.checkpoints import Checkpoints
from graft.training.data import ArmData
from graft.training.live_curves import EXPERIMENT, LiveCurves
from graft.training.live_writer import make_database
from graft.training.loop import Runtime, train
from graft.training.observer import EpochRecord, StepTaken, TrainingObserver
from graft.training.processes import join_processes

DATA = ArmData(digits(0, 48), digits(600, 640))
NUM_EPOCHS = 3
PATIENCE_S = 60


class AfterStep(TrainingObserver):
    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def after_step(self, _taken: StepTaken) -> None:
        self._call()


def _trained(
    live: LiveCurves, folder: Path, stop: StopsAfter | None = None, *watching: TrainingObserver
) -> list[EpochRecord]:
    with live.run("transfer-abc/seed_0", "transfer seed 0, 48 samples", {"graft.arm": "transfer"}) as observer:
        runtime = Runtime(join_processes(CPU), Checkpoints(folder, "seed_0"), stop, [observer, *watching])
        return train(tiny_classifier(0), DATA, recipe(0.01, num_epochs=NUM_EPOCHS), seed=0, runtime=runtime)


def _live(address: str, folder: Path, *, closed_within_s: float = PATIENCE_S) -> LiveCurves:
    return LiveCurves(address, (folder / "artifacts").as_uri(), started_after_s=0, closed_within_s=closed_within_s)


def _the_run(client: MlflowClient) -> Run | None:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    runs = client.search_runs([experiment.experiment_id]) if experiment else []
    assert len(runs) <= 1
    return runs[0] if runs else None


def _curve(client: MlflowClient, name: str) -> list[tuple[int, float]]:
    run = _the_run(client)
    assert run is not None
    return [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, name)]


def test_a_curve_is_there_while_the_training_runs_and_goes_on_after_a_stop(tmp_path: Path) -> None:
    address = sqlite_address(tmp_path / "mlflow.db")
    make_database(address)
    client = MlflowClient(address)
    seen: list[int] = []
    steps = iter(range(1, 1000))

    def look() -> None:
        if next(steps) == 5:  # in the second epoch
            end_s = time.monotonic() + PATIENCE_S
            while not (run := _the_run(client)) or "train_loss" not in run.data.metrics:
                assert time.monotonic() < end_s
                time.sleep(0.1)
            assert run.info.status == "RUNNING"
            seen.extend(step for step, _ in _curve(client, "train_loss"))

    with pytest.raises(PreemptedError), _live(address, tmp_path) as live:
        _trained(live, tmp_path, StopsAfter(7), AfterStep(look))
    assert seen == [1]
    stopped = _the_run(client)
    assert stopped is not None
    assert stopped.info.status in ("KILLED", "RUNNING")  # there is little time for it, and the next one makes up for it
    with _live(address, tmp_path) as live:
        curve = _trained(live, tmp_path)
    run = _the_run(client)
    assert run is not None
    assert (run.info.status, run.info.run_name) == ("FINISHED", "transfer seed 0, 48 samples")
    for name in ("train_loss", "validation_loss", "validation_accuracy"):
        assert _curve(client, name) == [(record.epoch, pytest.approx(getattr(record, name))) for record in curve]
    assert len(curve) == NUM_EPOCHS


def test_a_server_that_is_dead_or_silent_is_said_once_and_costs_next_to_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = train(
        tiny_classifier(0), DATA, recipe(0.01, num_epochs=NUM_EPOCHS), seed=0, runtime=Runtime(join_processes(CPU))
    )
    with silent_server() as silent:
        useless = ((dead_address(), PATIENCE_S, "nothing listens there"), (silent, 1, "within 1 s"))
        for address, within_s, why in useless:
            capsys.readouterr()
            with _live(address, tmp_path, closed_within_s=within_s) as live:
                assert _trained(live, tmp_path / "unused") == expected
                ended_s = time.monotonic()
            assert time.monotonic() - ended_s < within_s + 1
            said = capsys.readouterr().out
            assert said.count("no more live curves") == 1
            assert why in said


def test_an_epoch_is_handed_over_within_a_few_milliseconds_though_nobody_takes_it(tmp_path: Path) -> None:
    with (
        silent_server() as silent,
        _live(silent, tmp_path, closed_within_s=0.1) as live,
        live.run("a", "a", {}) as observer,
    ):
        started_s = time.perf_counter()
        for epoch in range(1, 2001):  # more than a pipe holds
            observer.after_epoch(EpochRecord(epoch, 0.5, 0.5, 0.5))
        spent_s = time.perf_counter() - started_s
    assert spent_s / 2000 < 0.002


def test_a_database_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    address = sqlite_address(tmp_path / "one folder" / "mlflow.db")
    make_database(address)
    assert [path.name for path in (tmp_path / "one folder").iterdir()] == ["mlflow.db"]
    client = MlflowClient(address)
    run = client.create_run(client.create_experiment("graft"))
    make_database(address)
    assert client.get_run(run.info.run_id).info.status == "RUNNING"


def test_a_short_training_starts_no_writer(tmp_path: Path) -> None:
    with LiveCurves(sqlite_address(tmp_path / "mlflow.db"), None) as live:
        _trained(live, tmp_path)
    assert not (tmp_path / "mlflow.db").exists()


def test_the_writer_of_a_training_that_was_killed_ends_its_run(tmp_path: Path) -> None:
    address = sqlite_address(tmp_path / "mlflow.db")
    script = (
        "import sys, time; from graft.training.live_curves import LiveCurves\n"
        "live = LiveCurves(sys.argv[1], None, started_after_s=0).__enter__()\n"
        "run = live.run('b', 'b', {}); run.__enter__()\n"
        "print('begun', flush=True); time.sleep(600)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    training = subprocess.Popen([sys.executable, "-c", script, address], stdout=subprocess.PIPE, env=environment)
    assert training.stdout is not None
    assert training.stdout.readline() == b"begun\n"
    while not (tmp_path / "mlflow.db").exists():
        time.sleep(0.1)
    client = MlflowClient(address)
    _wait_for(client, "RUNNING")
    training.kill()
    training.wait()
    training.stdout.close()
    _wait_for(client, "KILLED")


def _wait_for(client: MlflowClient, status: str) -> None:
    end_s, run = time.monotonic() + PATIENCE_S, _the_run(client)
    while run is None or run.info.status != status:
        assert time.monotonic() < end_s, run
        time.sleep(0.1)
        run = _the_run(client)


def test_live_curves_are_wanted_where_a_server_is_named_and_in_a_flow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv(LIVE_CURVES, raising=False)
    assert live_tracking_uri(tmp_path) is None
    assert stages.environment()[LIVE_CURVES] == "1"
    monkeypatch.setenv(LIVE_CURVES, "1")
    assert live_tracking_uri(tmp_path) == tracking_uri(tmp_path)
    monkeypatch.delenv(LIVE_CURVES)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert live_tracking_uri(tmp_path) == "http://127.0.0.1:5000"
    monkeypatch.setenv(LIVE_CURVES, "0")
    assert live_tracking_uri(tmp_path) is None
    assert stages.environment()[LIVE_CURVES] == "0"
