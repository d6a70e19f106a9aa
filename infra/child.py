"""Runs a module as `python -m` does, in a process that ends with the flow: `python -m infra.child FLOW_PID MODULE …`.

DVC does not handle SIGTERM: it would die at once and leave its locks, while the stage kept running. Here SIGTERM
reaches the stage first, which saves its work; then DVC ends as after Ctrl-C and releases its locks. The same happens if
the flow is killed and can no longer send a signal.
"""

import os
import runpy
import signal
import sys
import time
from contextlib import suppress
from types import FrameType

import psutil

from graft.core.processes import end_unless_child_of, end_with_parent, is_running

STOP_TIMEOUT_S = 120
"""Time for a training step and a checkpoint. Whatever is still running then is killed."""


def child_command(module: str, *arguments: str) -> list[str]:
    """Command line that runs a module as a child of this process."""
    return [sys.executable, "-m", "infra.child", str(os.getpid()), module, *arguments]


def main(flow_pid: str, module: str, *arguments: str) -> None:
    signal.signal(signal.SIGTERM, _end_after_children)
    end_with_parent(signal.SIGTERM)
    end_unless_child_of(int(flow_pid))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_after_children(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # once is enough
    this = psutil.Process()
    descendants = this.children(recursive=True)
    for child in this.children():
        with suppress(psutil.NoSuchProcess):
            child.send_signal(number)
    deadline_s = time.monotonic() + STOP_TIMEOUT_S
    while left := [process for process in descendants if is_running(process)]:
        if time.monotonic() > deadline_s:
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        time.sleep(0.05)
    raise KeyboardInterrupt


if __name__ == "__main__":
    main(*sys.argv[1:])
