"""Finds the samples of a data folder: `labels.csv`, or a folder a class."""

from pathlib import Path
from typing import Any

import pandas as pd

from graft.errors import LabelsError, NoDataError

PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}
REQUIRED_COLUMNS = ["path", "label"]
OPTIONAL_COLUMNS: dict[str, Any] = {"group": "", "domain": "", "weight": 1.0}


def describe_samples(data_dir: Path) -> pd.DataFrame:
    """Columns path, label, group, domain, weight; one row a described file.

    Raises:
        NoDataError: no folder, or nothing in it that is a picture.
        LabelsError: labels.csv lacks a column, names a file twice or one that is not there, or weighs one not above 0.
    """
    if not data_dir.is_dir():
        raise NoDataError(
            f"there is no folder {data_dir}. Fetch the example with `make data`, or put your own pictures there."
        )
    labels_path = data_dir / "labels.csv"
    described = _read_labels(labels_path) if labels_path.exists() else _read_class_folders(data_dir)
    if described.empty:
        raise NoDataError(
            f"{data_dir} holds no pictures. It needs one folder a class with pictures in it "
            f"({', '.join(sorted(PICTURE_SUFFIXES))}), or a labels.csv with the columns path and label."
        )
    return described


def _read_class_folders(data_dir: Path) -> pd.DataFrame:
    paths = sorted(
        path.relative_to(data_dir)
        for path in data_dir.rglob("*")
        if path.suffix.lower() in PICTURE_SUFFIXES and len(path.relative_to(data_dir).parts) > 1
    )
    rows = [{"path": path.as_posix(), "label": path.parts[0], **OPTIONAL_COLUMNS} for path in paths]
    return pd.DataFrame(rows, columns=[*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS])


def _read_labels(labels_path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(labels_path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise LabelsError(f"{labels_path} is not a comma-separated table in UTF-8: {error}") from error
    missing = [name for name in REQUIRED_COLUMNS if name not in table]
    if missing:
        raise LabelsError(
            f"{labels_path} lacks the column(s) {', '.join(missing)}; it has {', '.join(table.columns)}. "
            "It needs path and label, and may have group, domain and weight."
        )
    for name, default in OPTIONAL_COLUMNS.items():
        if name not in table:
            table[name] = default
    table["weight"] = pd.to_numeric(table["weight"], errors="coerce")
    data_dir = labels_path.parent
    is_inside = table["path"].map(lambda path: (data_dir / path).resolve().is_relative_to(data_dir.resolve()))
    _refuse(labels_path, table[table["label"] == ""], "have no label")
    _refuse(
        labels_path, table[~table["weight"].between(0, 1e9, inclusive="right")], "have a weight that is not above 0"
    )
    _refuse(labels_path, table[table["path"].duplicated()], "name a path a second time")
    _refuse(labels_path, table[~is_inside], "point out of the data folder")
    is_there = table["path"].map(lambda path: (data_dir / path).is_file())
    _refuse(labels_path, table[~is_there], "name a file that is not there (paths are relative to the data folder)")
    return table[[*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS]]


def _refuse(labels_path: Path, rows: pd.DataFrame, complaint: str) -> None:
    if rows.empty:
        return
    first = rows["path"].head(10)
    examples = "\n".join(
        f"  line {number + 2}: {path}" for number, path in zip(first.index.tolist(), first, strict=True)
    )
    raise LabelsError(f"{len(rows)} row(s) of {labels_path} {complaint}:\n{examples}")
