"""Tables and facts for a terminal, a file or a pipe, in which no word is cut."""

import os
import sys
import textwrap

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from graft.core.terminal import plain

WIDTH_WITHOUT_TERMINAL = 110
MIN_PROSE = 20
"""Minimum width of a column of prose, in characters, before columns to its right are dropped."""


def print_table(
    headings: list[str], rows: list[list[str]], *, prose: str, right_aligned: frozenset[str] = frozenset()
) -> list[str]:
    """Prints as many columns from the left as fit without cutting a word, and returns the headings of the others.

    Args:
        prose: heading of the one column whose cells may take several lines.
    """
    console = _console()
    num_columns = len(headings)
    while True:
        table = _table(headings[:num_columns], rows, prose, right_aligned)
        needed = Measurement.get(console, console.options.update(max_width=10_000), table).minimum
        if needed <= console.width or num_columns == 1:
            break
        num_columns -= 1
    console.print(table)
    return headings[num_columns:]


def print_facts(title: str, facts: dict[str, str]) -> None:
    """Prints each fact on one or more lines; a word longer than a line, such as a hash, is not broken."""
    indent = max(map(len, facts)) + 2
    print(plain(title))
    for name, fact in facts.items():
        lines = textwrap.wrap(
            plain(fact), max(_console().width - indent, 20), break_long_words=False, break_on_hyphens=False
        ) or [""]
        print(f"{name:<{indent}}" + f"\n{'':<{indent}}".join(lines))


def _table(headings: list[str], rows: list[list[str]], prose: str, right_aligned: frozenset[str]) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for heading in headings:
        if heading == prose:
            table.add_column(heading, min_width=MIN_PROSE)
        elif heading in right_aligned:
            table.add_column(heading, no_wrap=True, justify="right")
        else:
            table.add_column(heading, no_wrap=True)
    for row in rows:
        table.add_row(*[Text(plain(cell)) for cell in row[: len(headings)]])
    return table


def _console() -> Console:
    has_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if has_width else WIDTH_WITHOUT_TERMINAL, highlight=False)
