"""A bar with an estimate on a terminal; a line a tenth of the way elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")


def track(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    """Yields `items` while showing how far it is and how long it will take."""
    return _bar(items, description, total) if sys.stderr.isatty() else _lines(items, description, total)


def _bar(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    columns = (
        TextColumn("  {task.description}"), BarColumn(bar_width=30), MofNCompleteColumn(),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(description, total=total)
        for item in items:
            yield item
            progress.advance(task)


def _lines(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    started_s = time.monotonic()
    shown = 0
    for done, item in enumerate(items, start=1):
        yield item
        tenths = 10 * done // max(total, 1)
        elapsed_s = time.monotonic() - started_s
        if tenths > shown and elapsed_s > 5:
            left_s = elapsed_s * (total - done) / done
            print(f"  {description}: {10 * tenths} %, {elapsed_s:.0f} s so far, about {left_s:.0f} s left", flush=True)
        shown = tenths
