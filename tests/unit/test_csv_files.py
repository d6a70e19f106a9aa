"""CSV that a person may open in a spreadsheet: no cell is a formula, and all of it reads back as it was."""

import csv
from pathlib import Path

import pandas as pd
import pytest
from pictures import build, folder_of_classes

from graft.csv_files import as_cell, from_cell, read_table, rows_written, write_table
from graft.data.reading import REMEDIES

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
    write_table(tmp_path / "table.csv", table)
    assert read_table(tmp_path / "table.csv", {"score": float}).equals(table.astype({"path": "str"}))
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
    quarantined = read_table(tmp_path / "artifacts" / "quarantine.csv", {})
    assert quarantined.to_dict("records") == [
        {"path": "=HYPERLINK(1)/-b.png", "reason": "empty: 0 bytes", "what_to_do": REMEDIES["empty"]}
    ]
