"""CSV that people open in a spreadsheet: names in it are text there, and read back here as they were.

A cell that begins with one of `= + - @`, a tab or a line break is a formula to Excel and LibreOffice, which can fetch
addresses and start programs. Such a cell is written with an apostrophe before it, which spreadsheets take for "this is
text" (OWASP, "CSV Injection"). A cell that begins with apostrophes before one of these gets one more, so that reading
takes off exactly what writing put on.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from graft.files import written_atomically

FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""The last four are the wide forms, which Excel takes for the same."""


def as_cell(text: str) -> str:
    return f"'{text}" if FORMULA.match(text) else text


def from_cell(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


class _Rows(io.TextIOWrapper):
    """Ends rows in a line feed. The csv module believes in \\r\\n, or it would not quote a name with a \\r in it."""

    def write(self, row: str) -> int:
        return super().write(row.removesuffix("\r\n") + "\n")


def _rows(path: Path) -> _Rows:
    return _Rows(path.open("wb"), encoding="utf-8", newline="")


class RowWriter:
    """Writes rows of text and numbers."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def write(self, row: Sequence[str | float]) -> None:
        self._writer.writerow([as_cell(value) if isinstance(value, str) else value for value in row])


@contextmanager
def rows_written(path: Path, columns: Sequence[str]) -> Iterator[RowWriter]:
    """A table that is written row by row, and is whole or not there."""
    with written_atomically(path) as temporary, _rows(temporary) as file:
        writer = RowWriter(csv.writer(file))
        writer.write(columns)
        yield writer


def write_table(path: Path, table: pd.DataFrame) -> None:
    """All columns, without the index; whole or not there."""
    text = table.select_dtypes(include=["object", "string", "category"]).columns
    cells = table.assign(
        **{name: [as_cell(value) if isinstance(value, str) else value for value in table[name]] for name in text}
    )
    with written_atomically(path) as temporary, _rows(temporary) as file:
        cells.to_csv(file, index=False, lineterminator="\r\n")


def read_table(path: Path, numbers: Mapping[str, type]) -> pd.DataFrame:
    """What `rows_written` or `write_table` wrote: all text but the `numbers`, as a class may be called 007, or None."""
    return pd.read_csv(path, dtype=str, keep_default_na=False).map(from_cell).astype(dict(numbers))
