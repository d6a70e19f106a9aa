"""A stage of dvc.yaml as a Prefect task: DVC decides whether it is stale, Prefect when, where and how often."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.logging import get_run_logger
from prefect.states import Failed

from graft.errors import StageFailedError

CHATTER = (
    "\t", "Running stage", "> python -m", "Generating lock file", "Updating lock file", "To track", "To enable",
    "Use `dvc push`", "Data and pipelines are up to date", "ERROR: failed to reproduce",
)  # fmt: skip
LOCK_IS_BUSY = "Unable to acquire lock"


def run_stage(name: str) -> None:
    """Brings one stage of dvc.yaml up to date; its output goes to the terminal and to Prefect's log.

    Raises:
        StageFailedError: the stage stopped; what it said was shown already.
    """
    state = _repro.with_options(task_run_name=name)(name, return_state=True)
    if not state.is_completed():
        raise StageFailedError(
            f"stage {name!r} stopped. Mend what it says above, then run again: it goes on from there."
        )


def require_nothing_stale() -> None:
    """
    Raises:
        StageFailedError: something changed while the flow was running.
    """
    status = subprocess.run([*DVC, "status"], env=environment(), capture_output=True, text=True, errors="replace")
    if status.returncode != 0 or "up to date" not in status.stdout:
        raise StageFailedError(f"something changed while the flow ran; run it again.\n{status.stdout}{status.stderr}")


def _is_lock_busy(_task: Any, _run: TaskRun, state: State) -> bool:
    return LOCK_IS_BUSY in (state.message or "")


@task(cache_policy=NO_CACHE, persist_result=False, retries=3, retry_delay_seconds=5, retry_condition_fn=_is_lock_busy)
def _repro(name: str) -> State | None:
    """`dvc repro --single-item`: bars go straight to a terminal, lines go through the log."""
    logger = get_run_logger()
    process = subprocess.Popen(
        [*DVC, "repro", "--single-item", name],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=None if sys.stderr.isatty() else subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if lines[-1] and not _is_chatter(lines[-1]):
            logger.info(lines[-1])
    if process.wait() == 0:
        if any(line.endswith("didn't change, skipping") for line in lines):
            logger.info("unchanged")
        return None
    said = [line for line in lines if line and not _is_chatter(line)]
    return Failed(message=LOCK_IS_BUSY if LOCK_IS_BUSY in "".join(lines) else "".join(said[-1:]))


def _is_chatter(line: str) -> bool:
    """What DVC says to somebody who typed `dvc repro`: which command it runs, what to type into git next."""
    return line.startswith(CHATTER) or line.endswith("didn't change, skipping")


DVC = [sys.executable, "-m", "dvc"]


def environment() -> dict[str, str]:
    """For child processes: `python` is this one, telemetry is off, output is not held back."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", "DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1"}
