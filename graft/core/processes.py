"""Ending processes together with others. Changes no result."""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence

import psutil


def end_with_parent(by: signal.Signals) -> None:
    """Asks Linux to send `by` to this process when its parent ends for any reason, including kill -9 and lack of
    memory. The parent is the thread that started this process. Does nothing on systems other than Linux.

    The setting survives exec and applies to this process only; its children need to call this themselves.
    """
    if sys.platform.startswith("linux"):
        set_signal_at_parents_death = 1  # sys/prctl.h: PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(set_signal_at_parents_death, by)


def signal_at_end_of(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    """Sends `number` to this process within half a second after any of `processes` ends, for any reason."""

    def watch() -> None:
        while all(is_running(process) for process in processes):
            time.sleep(0.5)
        os.kill(os.getpid(), number)

    threading.Thread(target=watch, name="watch for the end of others", daemon=True).start()


def is_running(process: psutil.Process) -> bool:
    """Whether the process has not ended; a zombie has."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def end_unless_child_of(parent_id: int) -> None:
    """Exits if the parent ended before `end_with_parent` was called."""
    if os.getppid() != parent_id:
        sys.exit(128 + signal.SIGTERM)
