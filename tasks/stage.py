"""Entry point of every stage: checks the params, and turns errors, Ctrl-C and SIGTERM into messages and exit codes."""

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

import psutil

from graft.core.errors import PreemptedError
from graft.core.logs import log_to_stdout
from graft.core.memory import keep_freed_memory
from graft.core.processes import signal_at_end_of
from graft.core.terminal import plain_output, require_utf8_names, tell
from graft.project import Project

DVC_STAGE = "DVC_STAGE"
"""Environment variable in which DVC gives its commands, including shells, the name of their stage."""
GO_ON = "Finished work is kept; run the same command again to continue."


def run_stage(stage: Callable[[Project], None]) -> None:
    """Runs a stage from the project's folder; exits with 1 on a user's error, 130 on Ctrl-C, 143 on SIGTERM.

    If DVC runs the stage, the end of DVC counts as SIGTERM.
    """
    signal.signal(signal.SIGTERM, _end_at_once)
    if DVC_STAGE in os.environ:  # a stage that was started by hand may outlive its shell
        signal_at_end_of(_dvc_and_its_shells(), signal.SIGTERM)
    keep_freed_memory()
    log_to_stdout()
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
    """Processes from this stage's parent up to the DVC that runs it, including shells in between."""
    found = []
    for process in psutil.Process().parents():
        found.append(process)
        try:
            if DVC_STAGE not in process.environ():
                break
        except psutil.Error:  # of another user, so not DVC
            break
    return found


def _end_at_once(number: int, _frame: FrameType | None) -> None:
    """Handler of SIGTERM outside of training (graft/training/preemption.py), where nothing needs saving."""
    os.write(2, f"\nStopped by SIGTERM. {GO_ON}\n".encode())  # print is not safe in signal handlers
    os._exit(128 + number)
