"""DVC commands of a flow: one run at a time in a folder, and DVC commands of others."""

import fcntl
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import PROJECT, succeed, user_environment
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import stages
from flows.workspace import one_run_at_a_time

HOLD = """
import time
from flows.workspace import one_run_at_a_time
with one_run_at_a_time():
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stage of a moment, with a flow's run_stage that needs no Prefect."""
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  write:\n    cmd: sleep $PAUSE_S; echo 1 > model\n    outs: [model]\n"
    )
    succeed(tmp_path, "dvc", "init", "--no-scm", "--quiet")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("PAUSE_S", "0")
    monkeypatch.setattr(stages, "get_run_logger", lambda: logging.getLogger("run"))
    monkeypatch.setattr(stages, "RETRY_S", 0.1)
    return tmp_path


@pytest.fixture
def bystander() -> Iterator[int]:
    process = subprocess.Popen(["sleep", "60"])
    yield process.pid
    process.kill()
    process.wait()


def test_a_second_run_says_that_it_waits_and_begins_when_the_first_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD], env=user_environment(PYTHONPATH=str(PROJECT)), stdout=subprocess.PIPE, text=True
    )
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    said: list[str] = []
    threading.Timer(0.2, first.kill).start()
    with one_run_at_a_time(said.append), one_run_at_a_time(said.append):
        assert first.wait() < 0
    assert "Another run is active in this folder." in said[0]
    assert len(said) == 2


def test_a_stage_waits_for_another_dvc_command_at_work_on_its_files(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "run")
    other = subprocess.Popen(
        ["dvc", "repro"], env=user_environment(PAUSE_S="4"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    rwlock = project / ".dvc" / "tmp" / "rwlock"
    while not (rwlock.exists() and "model" in rwlock.read_text()):
        assert other.poll() is None
        time.sleep(0.05)
    assert stages._repro.fn("write") is None
    assert other.wait() == 0
    assert caplog.text.count("is busy, it is being blocked by") == 1
    assert f"(PID {other.pid})" in caplog.text
    assert "This run continues when they have ended" in caplog.text


def test_where_the_blocker_is_no_dvc_the_stage_stops_and_passes_on_what_dvc_advises(
    project: Path, bystander: int, caplog: pytest.LogCaptureFixture
) -> None:
    lock = {"write": {str(project / "model"): {"pid": bystander, "cmd": "dvc repro"}}, "read": {}}
    (project / ".dvc" / "tmp" / "rwlock").write_text(json.dumps(lock))
    state = stages._repro.fn("write")
    assert state is not None
    assert state.is_failed()
    assert "None of these processes runs DVC now" in caplog.text
    for told in (caplog.text, state.message or ""):
        assert f"(PID {bystander}): dvc repro" in told
        assert "you can manually remove" in told
        assert os.fspath(project / ".dvc" / "tmp" / "rwlock") in told


def test_a_project_that_is_locked_longer_than_dvc_would_wait_is_waited_for(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "run")
    with (project / ".dvc" / "tmp" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        threading.Timer(5, fcntl.flock, [lock, fcntl.LOCK_UN]).start()
        assert stages._repro.fn("write") is None
    assert "another DVC command is running in this project" in caplog.text
    assert (project / "model").exists()


@pytest.mark.usefixtures("project")
def test_what_a_stage_says_goes_to_the_server_of_the_flow() -> None:
    addresses = []
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        exit_code, _ = stages._run_dvc(["repro"], lambda _line: addresses.append(PREFECT_API_URL.value()))
    assert exit_code == 0
    assert set(addresses) == {"http://127.0.0.1:1/api"}  # else Prefect starts another server, for what is said here
