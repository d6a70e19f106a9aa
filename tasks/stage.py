"""What every stage does at its door: checks the params, and turns errors, Ctrl-C and SIGTERM into an answer."""

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

import psutil

from graft.core.errors import PreemptedError
from graft.core.memory import keep_freed_memory
from graft.core.processes import signal_at_end_of
from graft.core.terminal import plain_output, require_utf8_names, tell
from graft.project import Project

DVC_STAGE = "DVC_STAGE"
"""The environment variable in which DVC tells its commands, shells included, which stage they are."""
GO_ON = "What is finished is kept; run the same command again to go on."


def run_stage(stage: Callable[[Project], None]) -> None:
    """Runs a stage from the project's folder; exits with 1 on an error of the user's, 130 on Ctrl-C,
    143 on SIGTERM. Where DVC runs the stage, DVC's own end counts as SIGTERM."""
    signal.signal(signal.SIGTERM, _end_at_once)
    if DVC_STAGE in os.environ:  # typed by hand, a stage may outlive its shell
        signal_at_end_of(_dvc_and_its_shells(), signal.SIGTERM)
    keep_freed_memory()
    with plain_output():
        try:
            require_utf8_names()
            stage(Project.checked())
        except PreemptedError as error:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the scheduler, the flow and DVC may each send one
            print(f"\nPreempted: {error}", file=sys.stderr)
            sys.exit(128 + signal.SIGTERM)
        except KeyboardInterrupt:
            print(f"\nInterrupted. {GO_ON}", file=sys.stderr)
            sys.stderr.flush()
            os._exit(130)  # loader threads may still be busy; nothing is half-written
        except Exception as error:
            if not tell(error):
                raise
            sys.exit(1)


def _dvc_and_its_shells() -> list[psutil.Process]:
    """From this stage's parent to the DVC that runs it: some shells stay in between for as long as it runs."""
    found = []
    for process in psutil.Process().parents():
        found.append(process)
        try:
            if DVC_STAGE not in process.environ():
                break
        except psutil.Error:  # not ours to look into, so not DVC's
            break
    return found


def _end_at_once(number: int, _frame: FrameType | None) -> None:
    """Outside of a training (graft/training/preemption.py) there is nothing to save, and nothing is half-written."""
    os.write(2, f"\nStopped by SIGTERM. {GO_ON}\n".encode())  # print is not for signal handlers
    os._exit(128 + number)
