"""Stages of dvc.yaml as Prefect tasks: DVC decides whether one is stale; Prefect when, where and how often it runs."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path

import psutil
from filelock import FileLock, Timeout
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Failed

from graft.core.errors import StageFailedError
from graft.core.paths import LIVE_CURVES
from infra.child import child_command

CHATTER = (
    "\t", "Running stage", "> python -m", "Generating lock file", "Updating lock file", "To track", "To enable",
    "Use `dvc push`", "Data and pipelines are up to date", "ERROR: failed to reproduce",
    "ERROR: interrupted by the user",
)  # fmt: skip
IS_BUSY = "is busy, it is being blocked by"
"""DVC's message about a file that another DVC command uses; `--wait-for-lock` only waits for the project's lock."""
BLOCKER = re.compile(r"\(PID (\d+)\):")
RETRY_S = 5.0
INTERRUPT_GRACE_S = 5.0
"""Time before a stage is stopped: Ctrl-C in a terminal also reaches the stage itself."""


def run_stage(name: str) -> None:
    """Brings one stage of dvc.yaml up to date; its output goes to the terminal and to Prefect's log.

    Raises:
        StageFailedError: the stage stopped; its output was already shown.
    """
    state = _repro.with_options(task_run_name=name)(name, return_state=True)
    if not state.is_completed():
        raise StageFailedError(f"stage {name!r} stopped. Fix the error above, then run again: it resumes from there.")


def require_nothing_stale() -> None:
    """
    Raises:
        StageFailedError: something changed while the flow was running.
    """
    status = subprocess.run(
        [*DVC, "--wait-for-lock", "status"], env=environment(), capture_output=True, text=True, errors="replace"
    )
    if status.returncode != 0 or "up to date" not in status.stdout:
        raise StageFailedError(f"something changed while the flow ran; run it again.\n{status.stdout}{status.stderr}")


@task(cache_policy=NO_CACHE, persist_result=False)
def _repro(name: str) -> State | None:
    """Runs `dvc repro --single-item` as soon as no other DVC command uses the same files."""
    logger = get_run_logger()
    _say_if_locked(logger.info)
    is_waiting = False
    while True:
        exit_code, lines = _run_dvc(["repro", "--single-item", name], logger.info)
        if exit_code == 0:
            if any(line.endswith("didn't change, skipping") for line in lines):
                logger.info("unchanged")
            return None
        refusal = _refusal(lines)
        if refusal is None:
            return Failed(message="".join([line for line in lines if line and not _is_chatter(line)][-1:]))
        if not any(_runs_dvc(int(number)) for number in BLOCKER.findall(refusal)):
            logger.error(f"{refusal}\nNone of these processes runs DVC now.")
            return Failed(message=refusal)
        if not is_waiting:
            logger.info(f"{refusal}\nThis run continues when they have ended.")
            is_waiting = True
        time.sleep(RETRY_S)


def _run_dvc(arguments: list[str], say: Callable[[str], None]) -> tuple[int, list[str]]:
    """Runs DVC; returns its exit code and all lines.

    Progress bars go directly to a terminal; lines are passed to `say`, except DVC's chatter and refusal.
    """
    process = subprocess.Popen(
        child_command("dvc", "--wait-for-lock", *arguments),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=None if sys.stderr.isatty() else subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    lines: list[str] = []
    # Signals do not interrupt a thread's output; the context holds the address of Prefect's server.
    reader = threading.Thread(target=copy_context().run, args=(_read, process, lines, say), daemon=True)
    reader.start()
    try:
        process.wait()
    except BaseException as error:  # Ctrl-C, or the exception that Prefect raises at SIGTERM
        _stop(process, after_s=INTERRUPT_GRACE_S if isinstance(error, KeyboardInterrupt) else 0)
        process.wait()
        raise
    finally:
        reader.join()  # a stage's last words
    return process.returncode, lines


def _read(process: subprocess.Popen[str], lines: list[str], say: Callable[[str], None]) -> None:
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            lines.append(line.rstrip())
            if lines[-1] and not _is_chatter(lines[-1]) and _refusal(lines) is None:
                say(lines[-1])


def _stop(process: subprocess.Popen[str], after_s: float) -> None:
    """Sends SIGTERM, which infra/child.py passes on to the stage, unless the process has ended by then."""
    timer = threading.Timer(after_s, process.terminate)  # has no effect on a process that has been waited for
    timer.daemon = True
    timer.start()


def _refusal(lines: list[str]) -> str | None:
    """DVC's message, including its advice, if another DVC command uses the same files; None otherwise."""
    for number, line in enumerate(lines):
        if IS_BUSY in line:
            return "\n".join(lines[number:])
    return None


def _runs_dvc(process_id: int) -> bool:
    try:
        return any(Path(part).stem == "dvc" for part in psutil.Process(process_id).cmdline())
    except psutil.AccessDenied:
        return True
    except psutil.NoSuchProcess:
        return True  # it has just ended, and the next attempt will show


def _say_if_locked(say: Callable[[str], None]) -> None:
    """Reports that DVC waits for a lock, about which it prints nothing without a terminal."""
    lock = Path(".dvc") / "tmp" / "lock"
    if not lock.exists():
        return
    try:
        with FileLock(lock, blocking=False):
            pass
    except Timeout:
        say("another DVC command is running in this project; this run continues when it has ended")


def _is_chatter(line: str) -> bool:
    """Whether the line only helps somebody who typed `dvc repro`: the command that runs, the git command to type."""
    return line.startswith(CHATTER) or line.endswith("didn't change, skipping")


DVC = [sys.executable, "-m", "dvc"]


def environment() -> dict[str, str]:
    """Environment of child processes: `python` is this one, no telemetry, unbuffered output, live curves in MLflow."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    quiet = {"PYTHONUNBUFFERED": "1", "DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1"}
    return {LIVE_CURVES: "1", **os.environ, "PATH": path, **quiet}
