"""`torchrun --nproc-per-node 2 -m tasks.finetune`: two processes with gloo on the CPU train one model together."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
from conftest import run_stages, user_environment
from test_killed_training import CopyOf, _outputs, untrained  # noqa: F401

from graft.experiment.result import ArmResult

COMMAND = ["torchrun", "--standalone", "--nproc-per-node", "2", "--max-restarts", "1", "-m", "tasks.finetune"]


@pytest.fixture
def of_two(untrained: Path) -> Path:  # noqa: F811
    """A project whose model was trained by two processes, one of which was killed and started again."""
    training = subprocess.Popen(
        COMMAND, cwd=untrained, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=user_environment(
            GRAFT_CHECKPOINT_EVERY_S="0", OMP_NUM_THREADS="1", PYTHONUNBUFFERED="1",
            TORCH_DISABLE_SHARE_RDZV_TCP_STORE="1",  # else new workers are told the addresses of the old ones
        ),
    )  # fmt: skip
    folder = untrained / ".graft" / "checkpoints"
    while not list(folder.rglob("*-step_*.safetensors")):
        assert training.poll() is None, training.communicate()[0]
        time.sleep(0.01)
    os.kill(_second_worker(training.pid), signal.SIGKILL)
    said, _ = training.communicate(timeout=600)
    assert training.returncode == 0, said
    assert "resuming from step" in said
    assert said.count("kept seed") == 1
    return untrained


def _second_worker(launcher: int) -> int:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_child = f"PPid:\t{launcher}\n" in (folder / "status").read_text()
            if is_child and b"LOCAL_RANK=1" in (folder / "environ").read_bytes().split(b"\0"):
                return int(folder.name)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    raise AssertionError("torchrun has no second worker")


def test_two_processes_give_the_metrics_of_one_though_one_was_lost(of_two: Path, finished: Path) -> None:
    together, alone = (ArmResult.load(project / "artifacts/finetune/result.json") for project in (of_two, finished))
    tables = [pd.read_parquet(project / "artifacts/finetune/predictions.parquet") for project in (of_two, finished)]
    assert together.num_test == alone.num_test
    assert len(tables[0]) == len(tables[1]) == alone.num_test * len(alone.seeds)
    right = [(table["label"] == table["predicted"]).mean() for table in tables]
    assert right[0] == pytest.approx(right[1], abs=0.08)
    assert _outputs(of_two).keys() == _outputs(finished).keys()
    assert run_stages(of_two, "baseline")
