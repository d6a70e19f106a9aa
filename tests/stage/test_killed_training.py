"""`python -m tasks.finetune`, killed and started again, leaves the same bytes as undisturbed.

Some kills by default; GRAFT_KILLS says how many (twenty take some minutes, and several trainings).
"""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import succeed, user_environment

from graft.core.paths import costs
from graft.training.costs import Cost, costs_of

COMMAND = ["python", "-m", "tasks.finetune"]
NUM_KILLS = int(os.environ.get("GRAFT_KILLS", "3"))
TOO_SMALL = "20m"
"""For a checkpoint of the tests' training, and for a finished seed."""
CopyOf = Callable[[Path], Path]


@pytest.fixture
def untrained(finished: Path, copy_of: CopyOf) -> Path:
    """A project in which finetune has yet to run, with nothing kept of an earlier training."""
    project = copy_of(finished)
    shutil.rmtree(project / ".graft" / "checkpoints")
    return project


def _start(project: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        COMMAND, cwd=project, env=user_environment(GRAFT_CHECKPOINT_EVERY_S="0", PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def _outputs(project: Path) -> dict[str, bytes]:
    folders = [project / "artifacts" / name for name in ("model", "finetune")]
    return {path.name: path.read_bytes() for folder in folders for path in sorted(folder.iterdir())}


def _checkpoints(project: Path) -> list[str]:
    return [path.name for path in (project / ".graft" / "checkpoints").rglob("*-step_*")]


def _forget(project: Path) -> None:
    """Of the training everything that it left."""
    for folder in (".graft/checkpoints", "artifacts/model", "artifacts/finetune"):
        shutil.rmtree(project / folder)


def _is_killed(project: Path, *, in_a_checkpoint: bool, after_s: float) -> bool:
    """Whether the training was killed before it was done."""
    training = _start(project)
    try:
        if in_a_checkpoint:
            _wait(lambda: any(name.endswith(".part") for name in _checkpoints(project)), training)
        else:
            training.wait(after_s)
    except subprocess.TimeoutExpired:
        pass
    training.kill()
    said, _ = training.communicate()
    assert training.returncode in (0, -signal.SIGKILL), said
    return training.returncode != 0


def test_killed_anywhere_it_goes_on_to_the_same_bytes(finished: Path, untrained: Path) -> None:
    expected = _outputs(finished)
    assert len(expected) == 7
    times = random.Random(0)
    started_s = time.monotonic()
    succeed(untrained, *COMMAND, GRAFT_CHECKPOINT_EVERY_S="0")
    whole_s = time.monotonic() - started_s
    assert _outputs(untrained) == expected
    _forget(untrained)
    num_kills = 0
    while num_kills < NUM_KILLS:  # every third while a checkpoint is being written
        if _is_killed(untrained, in_a_checkpoint=num_kills % 3 == 0, after_s=times.uniform(0.3, 0.8) * whole_s):
            num_kills += 1
        else:  # it was done first; the kills go on in another training
            assert _outputs(untrained) == expected
            _forget(untrained)
    succeed(untrained, *COMMAND, GRAFT_CHECKPOINT_EVERY_S="0")
    assert _outputs(untrained) == expected
    assert _checkpoints(untrained) == []


def test_sigterm_saves_says_so_and_the_next_run_goes_on(finished: Path, untrained: Path) -> None:
    training = _start(untrained)
    _wait(lambda: len(_checkpoints(untrained)) > 0, training)
    training.send_signal(signal.SIGTERM)
    said, _ = training.communicate(timeout=60)
    assert training.returncode == 128 + signal.SIGTERM
    assert "Preempted: stopped after step" in said
    assert "Traceback" not in said
    spent = [Cost.model_validate_json(path.read_text()) for path in untrained.rglob("seed_0-spent_0.json")]
    again = succeed(untrained, *COMMAND)
    assert "resuming from step" in again
    of_seeds = costs_of(costs(untrained), untrained / "artifacts", [0])["transfer"]
    assert of_seeds[0].seconds > spent[0].seconds > 0
    assert _outputs(untrained) == _outputs(finished)


@pytest.mark.skipif(
    subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode != 0,
    reason="no disk of its own can be mounted here",
)
def test_a_full_disk_costs_checkpoints_and_not_the_run(finished: Path, untrained: Path) -> None:
    kept = untrained / ".graft" / "checkpoints"
    kept.mkdir()
    own_disk = f"mount -t tmpfs -o size={TOO_SMALL} tmpfs {kept} && exec {' '.join(COMMAND)}"
    said = succeed(untrained, "unshare", "-rm", "sh", "-c", own_disk, GRAFT_CHECKPOINT_EVERY_S="0")
    assert "no checkpoint at step 2: [Errno 28] No space left on device" in said
    assert _outputs(untrained) == _outputs(finished)


def _wait(is_there: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Or until the process is done."""
    while process.poll() is None and not is_there():
        time.sleep(0.001)
