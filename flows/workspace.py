"""Lock that allows one run at a time in a project's folder."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

GRAFT_HOME = Path(".graft")


@contextmanager
def one_run_at_a_time(say: Callable[[str], object] = print) -> Iterator[None]:
    """Waits for another run in this folder to end; may be nested. The system releases the lock when the run ends."""
    GRAFT_HOME.mkdir(exist_ok=True)
    lock = FileLock(GRAFT_HOME.absolute() / "run.lock", is_singleton=True)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        say("Another run is active in this folder. This one begins when that one has ended; Ctrl-C cancels.")
        lock.acquire()
        say("The other run has ended.")
    try:
        yield
    finally:
        lock.release()
