"""What a run leaves behind when it is stopped or killed: a stage that has saved, and no process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from conftest import PROJECT, succeed, user_environment

FLOW = """
import sys
from flows import stages
from flows.terminal import answer
stages.INTERRUPT_GRACE_S = 0.2
sys.exit(answer(lambda: stages._run_dvc(["repro", "--single-item", "slow"], print)[0]))
"""
"""Of a flow what runs a stage: without Prefect, which takes half a minute to start its server."""
SLOW = """
import time
from pathlib import Path
from graft.core.errors import PreemptedError
from graft.training.preemption import Preemption
from tasks.stage import run_stage

def slow(_params):
    with Preemption() as stop, stop.asked_for():
        print("training", flush=True)
        while not stop.is_set():
            time.sleep(0.02)
        time.sleep(0.5)
        Path("saved").touch()
        raise PreemptedError("stopped after step 3; the same command resumes from there.")

run_stage(slow)
"""
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's prctl")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A stage that would run for ever, and a shell between DVC and it, which stays there."""
    (tmp_path / "params.yaml").write_bytes((PROJECT / "params.yaml").read_bytes())
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "dvc.yaml").write_text("stages:\n  slow:\n    cmd: python slow.py && true\n    outs: [model]\n")
    succeed(tmp_path, "dvc", "init", "--no-scm", "--quiet")
    return tmp_path


class Run:
    def __init__(self, project: Path, *command: str) -> None:
        self.process = subprocess.Popen(
            command, cwd=project, env=user_environment(PYTHONPATH=str(PROJECT)), text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # background jobs ignore it
        )  # fmt: skip
        assert self.process.stdout is not None
        self.said = ""
        while "training" not in self.said:
            line = self.process.stdout.readline()
            assert line, self.said
            self.said += line
        self.children = psutil.Process(self.process.pid).children(recursive=True)

    def end(self) -> int:
        rest, _ = self.process.communicate(timeout=30)
        self.said += rest
        _, alive = psutil.wait_procs(self.children, timeout=30)
        assert not alive, "\n".join(str(child.cmdline()) for child in alive)
        return self.process.returncode


@pytest.fixture
def flow(project: Path) -> Iterator[Run]:
    yield from _started(Run(project, sys.executable, "-c", FLOW))


@pytest.fixture
def dvc(project: Path) -> Iterator[Run]:
    yield from _started(Run(project, "dvc", "repro"))


def _started(run: Run) -> Iterator[Run]:
    assert len(run.children) >= 1
    yield run
    for process in [run.process, *run.children]:
        if process.is_running() if isinstance(process, psutil.Process) else process.poll() is None:
            process.kill()


def test_sigterm_to_the_flow_lets_the_stage_save_and_says_so(project: Path, flow: Run) -> None:
    flow.process.terminate()
    assert flow.end() == 128 + signal.SIGTERM
    assert (project / "saved").exists()
    assert "Preempted: stopped after step 3" in flow.said
    assert "Stopped by SIGTERM. Finished work is kept" in flow.said
    assert "Traceback" not in flow.said
    assert "slow" not in (project / ".dvc" / "tmp" / "rwlock").read_text()


def test_sigterm_to_all_processes_of_a_run_does_the_same(project: Path, flow: Run) -> None:
    os.killpg(flow.process.pid, signal.SIGTERM)
    assert flow.end() == 128 + signal.SIGTERM
    assert (project / "saved").exists()
    assert "Traceback" not in flow.said


def test_an_interrupt_that_reaches_the_flow_alone_reaches_the_stage(project: Path, flow: Run) -> None:
    flow.process.send_signal(signal.SIGINT)
    assert flow.end() == 128 + signal.SIGINT
    assert (project / "saved").exists()


def test_a_flow_that_is_killed_takes_dvc_and_the_stage_along_which_saves(project: Path, flow: Run) -> None:
    flow.process.kill()
    assert flow.end() == -signal.SIGKILL
    assert (project / "saved").exists()
    assert "slow" not in (project / ".dvc" / "tmp" / "rwlock").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_stage_does_not_outlive_a_dvc_that_somebody_typed(project: Path, dvc: Run, number: signal.Signals) -> None:
    dvc.process.send_signal(number)
    assert dvc.end() == -number
    assert (project / "saved").exists()


def test_sigterm_outside_of_a_training_ends_a_stage_at_once_with_a_sentence(project: Path) -> None:
    (project / "slow.py").write_text(
        "import time\nfrom tasks.stage import run_stage\n"
        "def slow(_params):\n    print('training', flush=True)\n    time.sleep(60)\nrun_stage(slow)\n"
    )
    stage = Run(project, "python", "slow.py")
    stage.process.terminate()
    assert stage.end() == 128 + signal.SIGTERM
    assert "Stopped by SIGTERM. Finished work is kept" in stage.said


def test_a_server_ends_with_the_process_that_started_it(project: Path) -> None:
    starter = (
        "import subprocess, time; from infra.child import child_command\n"
        "subprocess.Popen(child_command('http.server', '0'))\nprint('training', flush=True)\ntime.sleep(60)\n"
    )
    run = Run(project, sys.executable, "-c", starter)
    time.sleep(0.5)
    run.process.kill()
    assert run.end() == -signal.SIGKILL
    assert len(run.children) == 1
