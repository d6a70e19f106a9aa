"""Progress of long work: a bar with an estimate on a terminal; otherwise a line every 30 seconds at most."""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

logger = logging.getLogger(__name__)

T = TypeVar("T")
LINE_EVERY_S = 30.0
"""Shortest time between two lines; what ends sooner has none."""


def track(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    """Yields `items` while showing the progress and the time left."""
    with progress_bar(description, total) as advance:
        for item in items:
            yield item
            advance()


def progress_bar(description: str, total: int) -> AbstractContextManager[Callable[..., None]]:
    """Yields a function to call after each of `total` steps, or after several with their number."""
    return _bar(description, total) if sys.stderr.isatty() else _lines(description, total)


@contextmanager
def _bar(description: str, total: int) -> Iterator[Callable[..., None]]:
    columns = (
        TextColumn("  {task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(description, total=total)
        yield lambda steps=1: progress.advance(task, steps)


@contextmanager
def _lines(description: str, total: int) -> Iterator[Callable[..., None]]:
    started_s = shown_s = time.monotonic()
    done = 0

    def advance(steps: int = 1) -> None:
        nonlocal done, shown_s
        done += steps
        now_s = time.monotonic()
        if done < total and now_s - shown_s >= LINE_EVERY_S:
            shown_s, elapsed_s = now_s, now_s - started_s
            left_s = elapsed_s * (total - done) / done
            percent_done = 100 * done // total
            logger.info(f"  {description}: {percent_done} %, {elapsed_s:.0f} s so far, about {left_s:.0f} s left")

    yield advance
