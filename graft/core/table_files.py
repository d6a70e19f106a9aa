"""Tables that Graft writes and reads back: parquet, and CSV that people can safely open in a spreadsheet.

Excel and LibreOffice treat a CSV cell that begins with one of `= + - @`, a tab or a line break as a formula, which can
fetch addresses and start programs. Such a cell is written with a leading apostrophe, which marks it as text (OWASP,
"CSV Injection"). A cell that begins with apostrophes before one of these gets one more, so that reading removes exactly
what writing added.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from graft.core.errors import ContentChangedError
from graft.core.files import written_atomically

FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""Start of a cell that spreadsheets treat as a formula; the last four are full-width forms, which Excel accepts too."""


def as_cell(text: str) -> str:
    return f"'{text}" if FORMULA.match(text) else text


def from_cell(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


class _Rows(io.TextIOWrapper):
    """Ends rows in a line feed. The csv module must assume \\r\\n, or it would not quote a name with a \\r in it."""

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
    """Writes a table row by row; the file is complete or absent."""
    with written_atomically(path) as temporary, _rows(temporary) as file:
        writer = RowWriter(csv.writer(file))
        writer.write(columns)
        yield writer


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Writes all columns without the index; the file is complete or absent."""
    text = table.select_dtypes(include=["object", "string", "category"]).columns
    cells = table.assign(
        **{name: [as_cell(value) if isinstance(value, str) else value for value in table[name]] for name in text}
    )
    with written_atomically(path) as temporary, _rows(temporary) as file:
        cells.to_csv(file, index=False, lineterminator="\r\n")


def read_csv(path: Path, numbers: Mapping[str, type] | None = None) -> pd.DataFrame:
    """Reads a table that `rows_written` or `write_csv` wrote.

    Args:
        numbers: types of the numeric columns; all others are text, since a class may be called 007 or None. None, for
            tables without a user's text: types are inferred.
    Raises:
        ContentChangedError: the file is damaged, or from another version of Graft.
    """
    with _damage_named(path):
        if numbers is None:
            return pd.read_csv(path)
        return pd.read_csv(path, dtype=str, keep_default_na=False).map(from_cell).astype(dict(numbers))


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    """Writes all columns without the index; the file is complete or absent."""
    with written_atomically(path) as temporary:
        table.to_parquet(temporary, index=False)


def read_parquet(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Reads all columns, or those named.

    Raises:
        ContentChangedError: the file is damaged, or from another version of Graft.
    """
    with _damage_named(path):
        return pd.read_parquet(path, columns=columns)


def parquet_columns(path: Path) -> list[str]:
    """
    Raises:
        ContentChangedError: the file is damaged.
    """
    with _damage_named(path):
        return pq.read_schema(path).names


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        if isinstance(error, FileNotFoundError) or (isinstance(error, OSError) and error.errno):
            raise  # an error of the machine, see graft/core/terminal.py
        raise ContentChangedError.of_artifact(path, error) from error
