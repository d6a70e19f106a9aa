"""How processes end together. Changes no result."""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence

import psutil


def end_with_parent(by: signal.Signals) -> None:
    """Asks Linux to send `by` to this process when its parent ends, however that ends: kill -9 and want of memory
    included. The parent is the thread that started this process. Elsewhere than on Linux: does nothing.

    What a process sets here stays over exec, and holds for it alone: its own children ask for themselves.
    """
    if sys.platform.startswith("linux"):
        set_signal_at_parents_death = 1  # sys/prctl.h: PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(set_signal_at_parents_death, by)


def signal_at_end_of(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    """Sends `number` to this process within half a second of the end of one of `processes`, however that ends."""

    def watch() -> None:
        while all(runs(process) for process in processes):
            time.sleep(0.5)
        os.kill(os.getpid(), number)

    threading.Thread(target=watch, name="watch for the end of others", daemon=True).start()


def runs(process: psutil.Process) -> bool:
    """Whether it has not ended, be it that nobody has asked how."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def end_unless_child_of(parent_id: int) -> None:
    """For a parent that ended before `end_with_parent` was called."""
    if os.getppid() != parent_id:
        sys.exit(128 + signal.SIGTERM)
