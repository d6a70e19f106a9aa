"""Columns of labels.csv: known, ignored and unknown."""

import difflib
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path, PurePosixPath

from graft.core.errors import LabelsError
from graft.data.naming import MAX_NAMED, listed

REQUIRED_COLUMNS = ["path", "label"]
COLUMNS = [*REQUIRED_COLUMNS, "group", "domain", "weight", "split"]
COLUMN_SYNONYMS = {
    "path": ["file", "filename", "filepath", "image", "imagepath", "img", "imageid", "picture", "uri"],
    "label": ["class", "classname", "category", "target", "y", "diagnosis"],
    "group": ["patient", "patientid", "subject", "subjectid", "series", "groupid", "video"],
    "split": ["set", "subset", "fold", "partition"],
    "weight": ["sampleweight"],
}
"""Other common names of these columns, for suggestions only: a guess is never acted on."""
ROW_NUMBERS = re.compile(r"|Unnamed: \d+|__index_level_\d+__")
"""Names that pandas gives to row numbers and spreadsheets to empty columns."""
MIN_NAME_SIMILARITY = 0.75
"""Similarity of names, as difflib measures it, from which a column is suggested."""


def columns_to_read(
    table: Path,
    found: Sequence[str],
    ignored: Collection[str],
    suffixes: Collection[str],
    say: Callable[[str], None],
) -> list[str]:
    """Names of the columns that are read.

    Args:
        found: the table's columns, in order.
        ignored: columns not to read, spelled as in the table.
        suffixes: suffixes of samples; a name that ends in one is not a column name.
        say: receives a line about each column that is skipped.
    Raises:
        LabelsError: columns are missing, repeated or unknown; reports all of them together.
    """
    considered = [name for name in found if name not in ignored]
    unknown = [name for name in considered if name not in COLUMNS and not ROW_NUMBERS.fullmatch(name)]
    mistakes = [
        _missing(table, found, considered, suffixes),
        _repeated(table, considered),
        _unknown(table, considered, unknown),
    ]
    if any(mistakes):
        raise LabelsError("\n".join(mistake for mistake in mistakes if mistake))
    if numbers := [name for name in considered if ROW_NUMBERS.fullmatch(name)]:
        say(f"{len(numbers)} column(s) of {table} have no name of their own and are not read: {listed(numbers)}")
    if passed_over := [name for name in found if name in ignored]:
        say(f"columns of {table} that are not read (ingest.ignored_columns): {listed(passed_over)}")
    if absent := sorted(set(ignored) - set(found)):
        say(f"ingest.ignored_columns names what {table} does not have: {listed(absent)}")
    return [name for name in considered if name in COLUMNS]


def _missing(table: Path, found: Sequence[str], considered: Collection[str], suffixes: Collection[str]) -> str:
    missing = [name for name in REQUIRED_COLUMNS if name not in considered]
    if not missing:
        return ""
    complaint = (
        f"{table} lacks the column(s) {', '.join(missing)}; it has {listed(found) or 'none'}. "
        "It needs path and label, and may have group, domain, weight and split."
    )
    separator = next((sign for sign in ";\t|" if len(found) == 1 and sign in found[0]), None)
    if separator is not None:
        complaint += f" Its fields are separated by {separator!r}: save it with commas."
    elif any(PurePosixPath(name).suffix.lower() in suffixes for name in found):
        complaint += " Its first line seems to be a sample: add a header line with the column names."
    return complaint


def _repeated(table: Path, considered: Sequence[str]) -> str:
    repeated = [name for name, times in Counter(considered).items() if times > 1 and name in COLUMNS]
    if not repeated:
        return ""
    return f"{table} has more than one column called {listed(repeated)}. Keep the correct one."


def _unknown(table: Path, considered: Collection[str], unknown: Sequence[str]) -> str:
    if not unknown:
        return ""
    suggested = {name: _meant(name) for name in unknown}
    lines = [f"  {name!r}" + _suggestion(meant, considered) for name, meant in suggested.items()]
    ignorable = [name for name, meant in suggested.items() if meant is None] or unknown
    return (
        f"{table} has {len(unknown)} column(s) that Graft does not know:\n" + "\n".join(lines[:MAX_NAMED]) + "\n"
        f"It reads {', '.join(COLUMNS)}. Rename columns that mean one of these; list columns to skip in "
        f"params.yaml under ingest: ignored_columns: {json.dumps(ignorable[:MAX_NAMED], ensure_ascii=False)}"
    )


def _suggestion(meant: str | None, considered: Collection[str]) -> str:
    if meant is None:
        return ""
    return f": did you mean {meant}?" + (f" There is also a column {meant}." if meant in considered else "")


def _meant(name: str) -> str | None:
    """The known column that a name most likely means."""
    letters = re.sub(r"[\W_]+", "", name).casefold()
    words = {word: column for column in COLUMNS for word in (column, *COLUMN_SYNONYMS.get(column, []))}
    if letters in words:
        return words[letters]
    alike = difflib.get_close_matches(letters, COLUMNS, n=1, cutoff=MIN_NAME_SIMILARITY)
    return alike[0] if alike else None
