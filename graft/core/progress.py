"""Progress: a bar with an estimate on a terminal, otherwise a line per tenth of the work."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")
SILENT_FOR_S = 5
"""Time without lines: work that ends sooner prints none."""


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
    started_s = time.monotonic()
    done = tenths_shown = 0

    def advance(steps: int = 1) -> None:
        nonlocal done, tenths_shown
        done += steps
        tenths = 10 * done // max(total, 1)
        elapsed_s = time.monotonic() - started_s
        if tenths > tenths_shown and elapsed_s > SILENT_FOR_S:
            left_s = elapsed_s * (total - done) / done
            print(f"  {description}: {10 * tenths} %, {elapsed_s:.0f} s so far, about {left_s:.0f} s left", flush=True)
        tenths_shown = tenths

    yield advance
