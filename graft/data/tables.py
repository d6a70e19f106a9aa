"""The table that describes a data folder, if there is one, and tables next to it that are not read."""

import os
import re
import stat
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from graft.core.errors import LabelsError, LayoutError
from graft.data.folders import IGNORED_NAMES, names_in, num_samples_in
from graft.data.naming import SPLIT_WORDS, listed, words_of

TABLES = ["labels.csv", "labels.parquet"]
TABLE_SUFFIXES = {
    ".csv", ".tsv", ".tab", ".xlsx", ".xls", ".ods", ".parquet", ".feather", ".arrow", ".json", ".jsonl", ".ndjson",
    ".xml", ".pkl", ".sqlite", ".db", ".h5", ".hdf5", ".mat",
}  # fmt: skip
MISNAMED = re.compile(
    r"\s*labels?(\s*\(\d+\)|[\s_-]*copy)?\s*(\.csv)?\.(csv|tsv|txt|xlsx?|ods|parquet|jsonl?|feather)\s*", re.I
)
"""File names that certainly mean the label table; labels.txt is not one, as it often lists the classes."""
LIST_WORDS = {*SPLIT_WORDS, "label", "labels", "annotations", "images", "groups", "list", "metadata", "split", "splits"}


def labels_table(data_dir: Path) -> Path | None:
    """The table that describes the folder, if it has one.

    Raises:
        LabelsError: there are two, or one that cannot be a table, or one whose name is nearly correct.
    """
    names = names_in(data_dir)
    tables = [name for name in names if name in TABLES]
    for name in tables:
        _require_file(data_dir / name)
    if len(tables) == 2:
        raise LabelsError(f"{data_dir} holds both labels.csv and labels.parquet. Keep the correct one.")
    for name in names:
        is_near = name not in TABLES and name.strip().lower() in TABLES
        if is_near or (not tables and name not in TABLES and _is_misnamed(name)):
            raise LabelsError(
                f"{name!r} in {data_dir} is not read: a label table is called labels.csv or labels.parquet, in "
                f"lower case. {_remedy(data_dir, name, has_table=bool(tables))}"
            )
    return data_dir / tables[0] if tables else None


def _is_misnamed(name: str) -> bool:
    return MISNAMED.fullmatch(name) is not None and name.strip().lower() not in ("label.txt", "labels.txt")


def _remedy(data_dir: Path, name: str, *, has_table: bool) -> str:
    suffix = Path(name.strip()).suffix.lower()
    if has_table:
        return "There is another one: keep the correct one."
    if suffix in (".csv", ".parquet"):
        return f"Rename it to labels{suffix}."
    return f"Save it as {data_dir / 'labels.csv'}, with commas, in UTF-8, with the columns path and label."


def _require_file(table: Path) -> None:
    """Refuses a pipe, which would block, and a broken link, in place of which the folders would be read."""
    if table.is_symlink() and not table.exists():
        raise LabelsError(
            f"{table} is a link to {os.readlink(table)!r}, which does not exist. Restore it (dvc checkout data.dvc), "
            "or put the table itself there."
        )
    mode = table.stat().st_mode
    if not stat.S_ISREG(mode):
        kind = "folder" if stat.S_ISDIR(mode) else "pipe, socket or device"
        raise LabelsError(
            f"{table} is a {kind}, not a file. Put the label table there, or rename it if it is something else."
        )


def warn_of_unread_tables(
    data_dir: Path, names: Sequence[str], suffixes: Collection[str], say: Callable[[str], None]
) -> None:
    """Reports tables next to the folders `names`.

    Raises:
        LayoutError: only such a table could define classes.
    """
    unread = [
        entry for entry in names_in(data_dir)
        if _is_table(entry) and (data_dir / entry).is_file()
    ]  # fmt: skip
    if not unread:
        return
    how = f"write it as {data_dir}/labels.csv with the columns path and label, and group, domain, weight or split"
    holds_classes = len(names) > 1 or (names and not num_samples_in(data_dir / names[0], suffixes))
    if not holds_classes:
        raise LayoutError(
            f"{data_dir} does not hold two folders that could be classes, but possibly a table of them: "
            f"{listed(unread)}. If it says which label each sample has, {how}. If not, move it out of {data_dir}."
        )
    say(f"not read: {listed(unread)} in {data_dir}. If they contain labels, groups or splits, {how}")


def _is_table(name: str) -> bool:
    """Whether a file is a table, judged by its name; for text files, by common names of sample lists."""
    stem, suffix = os.path.splitext(name.lower())
    if name.startswith(".") or name.lower() in IGNORED_NAMES:
        return False
    return suffix in TABLE_SUFFIXES or (suffix in (".txt", ".lst") and bool({*words_of(stem)} & LIST_WORDS))
