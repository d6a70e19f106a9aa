"""Finds the samples of a data folder one by one, from `labels.csv`, `labels.parquet` or folders."""

import csv
import math
import posixpath
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from graft.core.encodings import not_utf8
from graft.core.errors import LabelsError, NoDataError
from graft.data.columns import columns_to_read
from graft.data.folders import files_below
from graft.data.layouts import folder_roles, role_of
from graft.data.repairs import Repairs
from graft.data.splits import SPLITS
from graft.data.tables import labels_table

Rows = Iterator[tuple[str, Mapping[str, object]]]
"""Position of each row, and the row. None is the key of surplus fields and the value of missing ones."""
MAX_EXAMPLES = 10
MIN_WEIGHT, MAX_WEIGHT = 1e-30, 1e9
"""Range of weights. A batch's loss is a sum of float32 numbers, the smallest of which is 1.2e-38: below MIN_WEIGHT, a
sample's weight times a loss of 1e-7 rounds to 0, and a batch of such samples may give 0 / 0."""
MAX_WEIGHT_RATIO = 2.0**23
"""Largest ratio of two weights: float32 has 24 binary digits, so a smaller weight would add nothing to the sum."""


class DescribedSample(NamedTuple):
    path: str
    """Path relative to the data folder, with forward slashes."""
    label: str
    """Class name; empty: unlabelled."""
    group: str = ""
    domain: str = ""
    weight: float = 1.0
    split: str = ""
    """Split that the table or the folder names; empty: by hash."""


class WeightRange:
    """Smallest and largest weight of a table, each with the position of its row."""

    def __init__(self) -> None:
        self.smallest, self.largest = (math.inf, ""), (0.0, "")

    def add(self, weight: float, place: str) -> None:
        if weight < self.smallest[0]:
            self.smallest = weight, place
        if weight > self.largest[0]:
            self.largest = weight, place

    def complaint(self, table: Path) -> str | None:
        """Error message if the smallest weight vanishes next to the largest; None otherwise."""
        (least, where_least), (most, where_most) = self.smallest, self.largest
        if most <= MAX_WEIGHT_RATIO * least:
            return None
        return (
            f"the weights of {table} differ too much: {least:g} ({where_least}) vanishes next to {most:g} "
            f"({where_most}) in float32, where the largest may be {MAX_WEIGHT_RATIO:,.0f} times the smallest. Bring "
            "the weights closer together, or delete the rows that should not count."
        )


def _keep_silent(line: str) -> None:
    pass


def describe_samples(
    data_dir: Path,
    suffixes: Collection[str],
    ignored_columns: Collection[str] = (),
    say: Callable[[str], None] = _keep_silent,
) -> Iterator[DescribedSample]:
    """Yields every described file, in arbitrary order, without keeping them all in memory.

    With one folder per class, the first folder of a path is the label; samples in `unlabelled/` or in no folder have
    none. `graft.data.layouts` describes folders that also name the split. In a table, an empty label means unlabelled.
    Whether a file exists and is a sample is checked when it is read.

    Args:
        suffixes: suffixes of samples; see `Modality.suffixes`.
        ignored_columns: columns of the table that are not read.
        say: receives a line about everything that was reinterpreted or not read; some come after the last sample.
    Raises:
        NoDataError: there is no folder, or no sample in it.
        LayoutError: see `folder_roles`.
        LabelsError: see `labels_table` and `columns_to_read`; also after the last sample, if the table has rows that
            cannot be understood. Reports all kinds of mistakes together.
    """
    if not data_dir.is_dir():
        raise NoDataError(
            f"there is no folder {data_dir}. Fetch the example with `make data`, or put your own samples there."
        )
    table = labels_table(data_dir)
    if table is None:
        samples = _from_folders(data_dir, suffixes, say)
        if ignored_columns:
            say(f"ingest.ignored_columns has no effect: {data_dir} has no labels.csv or labels.parquet")
    else:
        rows = _csv_rows if table.suffix == ".csv" else _parquet_rows
        samples = _checked(table, rows(table, ignored_columns, suffixes, say), suffixes, say)
    is_empty = True
    for sample in samples:
        is_empty = False
        yield sample
    if is_empty:
        raise NoDataError(
            f"{data_dir} holds no samples. It needs one folder per class with samples in it "
            f"({', '.join(sorted(suffixes))}), or a labels.csv or labels.parquet with the columns path and label."
        )


def _from_folders(data_dir: Path, suffixes: Collection[str], say: Callable[[str], None]) -> Iterator[DescribedSample]:
    roles = folder_roles(data_dir, suffixes, say)
    repairs = Repairs(data_dir, suffixes)
    for path in files_below(data_dir):
        if "/" in path or PurePosixPath(path).suffix.lower() in suffixes:
            role = role_of(path, roles)
            yield DescribedSample(path, label=repairs.word("label", role.label), split=role.split)
    for note in repairs.notes(data_dir):
        say(note)


def _csv_rows(path: Path, ignored: Collection[str], suffixes: Collection[str], say: Callable[[str], None]) -> Rows:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            names = rows.fieldnames or []
            if "\0" in "".join(names):
                raise LabelsError(not_utf8(path))
            columns = [None, *columns_to_read(path, names, ignored, suffixes, say)]
            for row in rows:
                yield f"line {rows.line_num}", {name: row[name] for name in columns if name in row}  # type: ignore[misc]
    except UnicodeDecodeError as error:
        raise LabelsError(not_utf8(path)) from error
    except csv.Error as error:
        raise LabelsError(f"{path} is not a comma-separated table: {error}") from error
    except OSError as error:
        raise LabelsError(f"{path} cannot be read: {error.strerror}. Grant the permission (chmod u+r).") from error


def _parquet_rows(path: Path, ignored: Collection[str], suffixes: Collection[str], say: Callable[[str], None]) -> Rows:
    try:
        table = pq.ParquetFile(path)
        columns = columns_to_read(path, table.schema_arrow.names, ignored, suffixes, say)
        number = 0
        for batch in table.iter_batches(batch_size=10_000, columns=columns):
            for row in batch.to_pylist():
                number += 1
                yield f"row {number}", {name: _text(value) for name, value in row.items()}
    except UnicodeDecodeError as error:
        raise LabelsError(f"{path} holds text that is not UTF-8 ({error}); rewrite it with text columns") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise LabelsError(f"{path} is not a parquet table: {error}") from error


def _checked(
    table: Path, rows: Rows, suffixes: Collection[str], say: Callable[[str], None]
) -> Iterator[DescribedSample]:
    mistakes: dict[str, list[str]] = {}
    weights = WeightRange()
    repairs = Repairs(table.parent, suffixes)
    for place, row in rows:
        if None in row:
            mistakes.setdefault("have more fields than the table has columns", []).append(place)
            continue
        if None in row.values():
            mistakes.setdefault(
                "have fewer fields than the table has columns (an empty field is two commas)", []
            ).append(place)
            continue
        words = _read_words({name: str(row.get(name, "")) for name in DescribedSample._fields}, repairs)
        weight = _number(words["weight"] or "1")
        complaints = list(_complaints(words, weight))
        for complaint, example in complaints:
            mistakes.setdefault(complaint, []).append(f"{place}: {example}")
        if complaints:
            continue
        assert weight is not None  # a weight that is not a number is a complaint
        weights.add(weight, f"{place}: {words['path']}")
        path = posixpath.normpath(words["path"])
        yield DescribedSample(**{**words, "path": path, "weight": weight})  # type: ignore[arg-type]
    for note in repairs.notes(table):
        say(note)
    found = [_complaint(table, words, places) for words, places in mistakes.items()]
    if far_apart := weights.complaint(table):
        found.append(far_apart)
    if found:
        raise LabelsError("\n".join(found))


def _read_words(written: Mapping[str, str], repairs: Repairs) -> dict[str, str]:
    words = {name: repairs.word(name, written[name]) for name in ("label", "group", "domain")}
    path = written["path"] if written["path"].strip() else ""
    return words | {
        "path": repairs.path(path),
        "weight": written["weight"].strip(),
        "split": repairs.split(written["split"]),
    }


def _complaints(words: Mapping[str, str], weight: float | None) -> Iterator[tuple[str, str]]:
    """Yields each mistake in a row, with the words that name the row."""
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
            "(divide all weights by the largest, and delete the rows that should not count)",
            f"{path} ({words['weight']})",
        )
    if words["split"] not in ("", *SPLITS):
        yield f"have a split that is not one of {', '.join(SPLITS)}", path


def _complaint(table: Path, words: str, places: list[str]) -> str:
    return f"{len(places)} row(s) of {table} {words}:\n" + "\n".join(f"  {place}" for place in places[:MAX_EXAMPLES])


def _text(value: object) -> str:
    return "" if value is None or value != value else str(value)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
