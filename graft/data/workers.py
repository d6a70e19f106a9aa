"""Worker processes for decoding and comparing samples, which hold Python's lock too much for threads."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

from graft.core.errors import WorkerDiedError
from graft.core.processes import end_with_parent

Task = TypeVar("Task")
Result = TypeVar("Result")
MIN_TASKS = 8
"""Number of tasks below which starting processes costs more than it saves, and this process does them."""


class Workers:
    """One process per core, started at the first large batch."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def map(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Yields results in the order of `tasks`. The function must be importable, and tasks picklable.

        Raises:
            WorkerDiedError: a process ended early, most likely because memory ran out.
        """
        if len(tasks) < MIN_TASKS and self._pool is None:
            yield from map(function, tasks)
            return
        if self._pool is None:
            num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
            self._pool = ProcessPoolExecutor(num_cores, initializer=_depend_on_the_parent)
        try:
            yield from self._pool.map(function, tasks)
        except BrokenProcessPool as error:
            raise WorkerDiedError(
                "a process died while processing samples, most likely because memory ran out. Run again; if it dies "
                f"again, remove the largest of these files from the data: {str(tasks)[:2000]}"
            ) from error

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def _depend_on_the_parent() -> None:
    """Ignores Ctrl-C, which the parent handles, and ends with the parent if that is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a broken pool ends its workers by it; the parent handles its own
    end_with_parent(signal.SIGKILL)


@contextmanager
def open_workers() -> Iterator[Workers]:
    workers = Workers()
    try:
        yield workers
    finally:
        workers.close()
