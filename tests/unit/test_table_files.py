"""CSV that a person may open in a spreadsheet: no cell is a formula, and all of it reads back as it was."""

import csv
from pathlib import Path

import pandas as pd
import pytest
from pictures import build, folder_of_classes

from graft.core.errors import ContentChangedError
from graft.core.table_files import as_cell, from_cell, read_csv, read_parquet, rows_written, write_csv, write_parquet
from graft.data.manifest import read_manifest
from graft.data.reading import FILE_REMEDIES

NAMES = [
    "=cmd|'/C calc'!A0", "+1", "-rf.png", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "'=1", "''-1", "'quoted'", "a=b",
    "plain", "", "a,b\"c\"", "'",
]  # fmt: skip
STARTS_A_FORMULA = tuple("=+-@\t\r\n＝＋－＠")


@pytest.mark.parametrize("name", NAMES)
def test_no_cell_begins_a_formula_and_each_reads_back(name: str) -> None:
    assert not as_cell(name).startswith(STARTS_A_FORMULA)
    assert from_cell(as_cell(name)) == name


def test_names_that_are_no_formula_stay_as_they_are() -> None:
    assert [as_cell(name) for name in ("a=b", "'quoted'", "plain", "", "'")] == ["a=b", "'quoted'", "plain", "", "'"]


def test_tables_read_back_as_they_were_and_numbers_stay_numbers(tmp_path: Path) -> None:
    table = pd.DataFrame({"path": NAMES, "score": [-0.5] * len(NAMES)})
    write_csv(tmp_path / "table.csv", table)
    assert read_csv(tmp_path / "table.csv", {"score": float}).equals(table.astype({"path": "str"}))
    assert "\nplain,-0.5\n" in (tmp_path / "table.csv").read_text()
    with rows_written(tmp_path / "rows.csv", ["path", "score"]) as rows:
        for name in NAMES:
            rows.write([name, -0.5])
    assert (tmp_path / "rows.csv").read_bytes() == (tmp_path / "table.csv").read_bytes()


def test_files_and_classes_called_like_formulas_are_text_in_what_ingest_writes(tmp_path: Path) -> None:
    data_dir = folder_of_classes(tmp_path / "data")
    (data_dir / "=HYPERLINK(1)").mkdir()
    copied = next((data_dir / "cat").iterdir()).read_bytes()
    (data_dir / "=HYPERLINK(1)" / "a.png").write_bytes(copied)
    (data_dir / "=HYPERLINK(1)" / "-b.png").write_bytes(b"")
    build(data_dir)
    for name in ("quarantine.csv", "duplicates.csv"):
        text = (tmp_path / "artifacts" / name).read_text()
        assert "'=HYPERLINK(1)" in text
        assert not any(cell.startswith(STARTS_A_FORMULA) for row in csv.reader(text.splitlines()) for cell in row)
    quarantined = read_csv(tmp_path / "artifacts" / "quarantine.csv", {})
    assert quarantined.to_dict("records") == [
        {"path": "=HYPERLINK(1)/-b.png", "reason": "empty: 0 bytes", "what_to_do": FILE_REMEDIES["empty"]}
    ]


@pytest.mark.parametrize("content", [b"", b"PAR1", None, b"seed,epoch\n1,2\n"], ids=["empty", "cut", "torn", "csv"])
def test_a_damaged_parquet_file_is_named_with_what_to_do(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "predictions.parquet"
    write_parquet(path, pd.DataFrame({"seed": range(10_000)}))
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + bytes(len(whole) - 200) + whole[-100:] if content is None else content)
    with pytest.raises(ContentChangedError, match=r"predictions\.parquet is not what this version.*dvc repro"):
        read_parquet(path)


def test_a_table_of_an_older_version_is_named_with_what_to_do(tmp_path: Path) -> None:
    write_parquet(tmp_path / "manifest.parquet", pd.DataFrame({"path": ["a.png"]}))
    write_csv(tmp_path / "suspects.csv", pd.DataFrame({"rank": ["a"]}))
    for read in (
        lambda: read_manifest(tmp_path / "manifest.parquet"),
        lambda: read_parquet(tmp_path / "manifest.parquet", ["label"]),
        lambda: read_csv(tmp_path / "suspects.csv", {"rank": int}),
        lambda: read_csv(tmp_path / "suspects.csv", {"score": float}),
    ):
        with pytest.raises(ContentChangedError, match="create it again with: dvc repro"):
            read()
