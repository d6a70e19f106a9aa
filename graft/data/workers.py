"""Processes for work on samples: decoding and comparing them keeps Python's lock too busy for threads."""

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
"""Number of tasks below which starting processes costs more than it saves, and they are done in this one."""


class Workers:
    """One process a core, started when the first large batch comes."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def map(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Results in the order of `tasks`. Function and tasks must be such as another process can import and receive.

        Raises:
            WorkerDiedError: a process ended on the way, most likely for want of memory.
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
                "a process died while it worked on samples, most likely for want of memory. Run again; if it dies "
                f"again, take the largest of these files out of the data: {str(tasks)[:2000]}"
            ) from error

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def _depend_on_the_parent() -> None:
    """Ctrl-C reaches all processes of a terminal, and the parent answers it; where it is killed, its workers go too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # by which a broken pool ends its workers; the parent has an answer
    end_with_parent(signal.SIGKILL)


@contextmanager
def open_workers() -> Iterator[Workers]:
    workers = Workers()
    try:
        yield workers
    finally:
        workers.close()
