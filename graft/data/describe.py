"""Finds the samples of a data folder, one at a time: `labels.csv`, `labels.parquet`, or a folder a class."""

import csv
import math
import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from graft.data.reading import SUFFIXES
from graft.data.splits import SPLITS
from graft.encodings import not_utf8
from graft.errors import LabelsError, NoDataError

UNLABELLED_FOLDER = "unlabelled"
LITTER = {"thumbs.db", "desktop.ini"}
REQUIRED_COLUMNS = ["path", "label"]
MAX_EXAMPLES = 10
MIN_WEIGHT, MAX_WEIGHT = 1e-30, 1e9
"""The loss of a batch is a sum of float32 numbers, the smallest of which is 1.2e-38: below MIN_WEIGHT a sample's weight
times a loss of 1e-7 rounds to 0, and a batch of such samples may give 0 / 0."""
MAX_WEIGHT_RATIO = 2.0**23
"""float32 keeps 24 binary digits: beside a weight more than so many times larger a sample adds nothing to the sum."""


class Described(NamedTuple):
    path: str
    """Relative to the data folder, with forward slashes."""
    label: str
    """Empty: unlabelled."""
    group: str = ""
    domain: str = ""
    weight: float = 1.0
    split: str = ""
    """As the table says; empty: by hash."""


class WeightRange:
    """Smallest and largest weight of a table, each with its row."""

    def __init__(self) -> None:
        self.smallest, self.largest = (math.inf, ""), (0.0, "")

    def add(self, weight: float, place: str) -> None:
        if weight < self.smallest[0]:
            self.smallest = weight, place
        if weight > self.largest[0]:
            self.largest = weight, place

    def complaint(self, table: Path) -> str | None:
        """None where the smallest weight still counts beside the largest."""
        (least, where_least), (most, where_most) = self.smallest, self.largest
        if most <= MAX_WEIGHT_RATIO * least:
            return None
        return (
            f"the weights of {table} differ too much: {least:g} ({where_least}) vanishes beside {most:g} "
            f"({where_most}) in float32, where the largest may be {MAX_WEIGHT_RATIO:,.0f} times the smallest. Bring "
            "the weights closer together, or leave out the rows that should not count."
        )


def describe_samples(data_dir: Path) -> Iterator[Described]:
    """Yields every described file, in no order that matters, without holding them all.

    A folder a class: the first folder of a path is the label; pictures in `unlabelled/` or in no folder have none. In a
    table, an empty label means unlabelled. Whether a file is there and is a picture is found out when it is read.

    Raises:
        NoDataError: no folder, or nothing in it that is a picture. After the last sample, as the next one is:
        LabelsError: the table lacks a column, or has rows that cannot be understood; all kinds of mistakes together.
    """
    if not data_dir.is_dir():
        raise NoDataError(
            f"there is no folder {data_dir}. Fetch the example with `make data`, or put your own pictures there."
        )
    is_empty = True
    for sample in _described(data_dir):
        is_empty = False
        yield sample
    if is_empty:
        raise NoDataError(
            f"{data_dir} holds no pictures. It needs one folder a class with pictures in it "
            f"({', '.join(sorted(SUFFIXES))}), or a labels.csv or labels.parquet with the columns path and label."
        )


def files_below(folder: Path, prefix: str = "") -> Iterator[str]:
    """Relative paths of all files but hidden ones and what file managers leave. A link to a folder ends in a slash."""
    try:
        entries = os.scandir(folder)
    except OSError as error:
        raise NoDataError(
            f"the folder {folder} cannot be looked into: {error.strerror}. What lies in it would be missing "
            "without a word. Allow it (chmod -R u+rX), or move it out of the data folder."
        ) from error
    with entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower() in LITTER:
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from files_below(Path(entry.path), f"{prefix}{entry.name}/")
            else:
                yield prefix + entry.name + ("/" if entry.is_dir() else "")


def labels_table(data_dir: Path) -> Path | None:
    """The table that describes the folder, if it has one.

    Raises:
        LabelsError: it has two.
    """
    tables = [data_dir / name for name in ("labels.csv", "labels.parquet") if (data_dir / name).exists()]
    if len(tables) == 2:
        raise LabelsError(f"{data_dir} holds both labels.csv and labels.parquet. Keep the one that is right.")
    return tables[0] if tables else None


def _described(data_dir: Path) -> Iterator[Described]:
    table = labels_table(data_dir)
    if table is not None:
        return _checked(table, _csv_rows(table) if table.suffix == ".csv" else _parquet_rows(table))
    return (
        Described(path, label="" if folder in ("", UNLABELLED_FOLDER) else folder)
        for path in files_below(data_dir)
        for folder in [path.partition("/")[0] if "/" in path else ""]
        if folder or PurePosixPath(path).suffix.lower() in SUFFIXES
    )


def _csv_rows(path: Path) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Where a row stands, and the row."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            if "\0" in "".join(rows.fieldnames or []):
                raise LabelsError(not_utf8(path))
            _require_columns(path, rows.fieldnames or [])
            for row in rows:
                yield f"line {rows.line_num}", row
    except UnicodeDecodeError as error:
        raise LabelsError(not_utf8(path)) from error
    except csv.Error as error:
        raise LabelsError(f"{path} is not a comma-separated table: {error}") from error
    except OSError as error:
        raise LabelsError(f"{path} cannot be read: {error.strerror}. Allow it (chmod u+r).") from error


def _parquet_rows(path: Path) -> Iterator[tuple[str, Mapping[str, object]]]:
    try:
        table = pq.ParquetFile(path)
        _require_columns(path, table.schema_arrow.names)
        columns = [name for name in table.schema_arrow.names if name in Described._fields]
        number = 0
        for batch in table.iter_batches(batch_size=10_000, columns=columns):
            for row in batch.to_pylist():
                number += 1
                yield f"row {number}", row
    except UnicodeDecodeError as error:
        raise LabelsError(f"{path} holds text that is not UTF-8 ({error}); write it anew with text columns") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise LabelsError(f"{path} is not a parquet table: {error}") from error


def _require_columns(path: Path, columns: Iterable[str]) -> None:
    found = list(columns)
    missing = [name for name in REQUIRED_COLUMNS if name not in found]
    if missing:
        raise LabelsError(
            f"{path} lacks the column(s) {', '.join(missing)}; it has {', '.join(found) or 'none'}. "
            "It needs path and label, and may have group, domain, weight and split."
        )


def _checked(table: Path, rows: Iterable[tuple[str, Mapping[str, object]]]) -> Iterator[Described]:
    mistakes: dict[str, list[str]] = {}
    weights = WeightRange()
    for place, row in rows:
        if None in row:
            mistakes.setdefault("have more fields than the table has columns", []).append(place)
            continue
        words = {name: _text(row.get(name)) for name in Described._fields}
        weight = _number(words["weight"] or "1")
        complaints = list(_complaints(words, weight))
        for complaint, example in complaints:
            mistakes.setdefault(complaint, []).append(f"{place}: {example}")
        if complaints:
            continue
        assert weight is not None  # a missing one is a complaint
        weights.add(weight, f"{place}: {words['path']}")
        path = posixpath.normpath(words["path"])
        yield Described(**{**words, "path": path, "weight": weight})  # type: ignore[arg-type]
    found = [_complaint(table, words, places) for words, places in mistakes.items()]
    if far_apart := weights.complaint(table):
        found.append(far_apart)
    if found:
        raise LabelsError("\n".join(found))


def _complaints(words: Mapping[str, str], weight: float | None) -> Iterator[tuple[str, str]]:
    """What is wrong with a row, and how the row is named there."""
    path = words["path"]
    if not path:
        yield "have no path", path
    if any("\0" in text for text in words.values()):
        yield "have a NUL character, which no path and no name can hold", repr(path)
    if weight is None or not weight > 0:
        yield "have a weight that is not above 0", f"{path} ({words['weight']})"
    elif not MIN_WEIGHT <= weight <= MAX_WEIGHT:
        yield (
            f"have a weight below {MIN_WEIGHT:g} or above {MAX_WEIGHT:g}, which vanishes or overflows in float32 "
            "(divide all weights by the largest, and leave out the rows that should not count)",
            f"{path} ({words['weight']})",
        )
    if words["split"] not in ("", *SPLITS):
        yield f"have a split that is none of {', '.join(SPLITS)}", path


def _complaint(table: Path, words: str, places: list[str]) -> str:
    return f"{len(places)} row(s) of {table} {words}:\n" + "\n".join(f"  {place}" for place in places[:MAX_EXAMPLES])


def _text(value: object) -> str:
    return "" if value is None or value != value else str(value)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
