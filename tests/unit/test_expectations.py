"""The user's suite: what the shipped one catches, how it is extended, how mistakes in it are answered."""

import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from conftest import PROJECT
from pictures import build, folder_of_classes

from benchmarks.validate_rows import synthetic_manifest, write_artifacts
from graft.core.errors import ExpectationsError, SuiteError
from graft.project import Project
from graft.validation import expectations as expectations_module
from graft.validation.change import DataSummary
from graft.validation.expectations import Findings, expect
from graft.validation.result import Expectation
from graft.validation.suite import load_suite
from graft.validation.validate import validate_data

SHIPPED = PROJECT / "expectations.yaml"


def _paths(*numbers: int) -> list[str]:
    return [f"images/{number:07}.png" for number in numbers]


BROKEN_STRUCTURE = {
    "every path is named once": ("error", "2 of 2,000 fail: images/0000010.png", ["images/0000010.png"] * 2),
    "every usable sample has different content": ("error", "2 of 1,960 fail", _paths(20, 21)),
    "every usable sample is in one of the three splits": ("error", "1 of 1,960 fail: holdout", ["images/0000030.png"]),
    "every group stays within one split": (
        "error", "4 of 2,000 fail: 2", _paths(40, 41, 42, 43),
    ),
    "weights are positive": ("error", "1 of 2,000 fail: 0", ["images/0000050.png"]),
    "widths are 16 to 4,096 px": ("warning", "12 of 1,960 fail: 8", _paths(*range(60, 70))),
    "heights are 16 to 4,096 px": ("warning", "1 of 1,960 fail: 5000", ["images/0000072.png"]),
    "images are grey or RGB, with 8 bits per channel": ("warning", "1 of 1,960 fail: CMYK", ["images/0000080.png"]),
    "at most 0.1 % of the files are quarantined": (
        "warning", "20 of 2,000 fail, 1 %; at most 0.1 % may", _paths(*range(100, 200, 10)),
    ),
    "no two file names differ only in case": ("warning", "2 of 2,000 fail", ["images/0000010.png"] * 2),
}  # fmt: skip
BROKEN_CLASSES = {
    "every class has at least 50 samples": ("warning", "1 of 7 fail: 7", ["Rare"]),
    "every class is at least 2 % of the samples": ("warning", "1 of 7 fail: 0.00", ["Rare"]),
    "every class has at least 10 test samples": ("warning", "1 of 7 fail: 7", ["Rare"]),
    "every class has at least 2 validation samples": ("warning", "1 of 7 fail: 0", ["Rare"]),
    "no two class names differ only in case or spaces": ("error", "2 of 7 fail: 1", ["Cat", "cat"]),
    "no usable duplicates lie in different splits": ("error", "2 of 2,000 fail: 2", _paths(0, 1)),
    "at most 5 % of the files are set aside as near duplicates of another split (otherwise, name series in `group`)": (
        "warning", "120 of 2,000 fail, 6 %; at most 5 % may", _paths(*range(500, 510)),
    ),
    "duplicates have the same label": ("warning", "2 of 2,000 fail: 1", _paths(2, 3)),
}  # fmt: skip


def test_good_data_satisfy_the_shipped_suite(good: Path) -> None:
    findings = _expect(good)
    assert len(findings.all_expectations) == len(load_suite(SHIPPED)) == 25
    assert [item.sentence for item in findings.all_expectations if not item.passed] == []
    assert {item.observed for item in findings.change_expectations} == {"no accepted run yet"}
    assert {item.outcome for item in findings.change_expectations} == {"not compared"}
    assert {item.outcome for item in findings.expectations} == {"passed"}


def test_thirty_pictures_of_two_classes_pass_the_shipped_suite_with_warnings(tmp_path: Path) -> None:
    build(folder_of_classes(tmp_path / "data", 15))
    findings = _expect(tmp_path / "artifacts")
    assert findings.failed("error") == []
    assert {item.sentence for item in findings.failed("warning")} == {
        "every class has at least 50 samples", "every class has at least 10 test samples",
    }  # fmt: skip


def test_broken_structure_is_named_with_numbers_and_paths(tmp_path: Path, manifest: pd.DataFrame) -> None:
    table = manifest.set_index("path", drop=False)

    def change(number: int, column: str, value: Any) -> None:
        table.loc[f"images/{number:07}.png", column] = value

    change(21, "sample_id", table.loc["images/0000020.png", "sample_id"])
    change(30, "split", "holdout")
    change(40, "split", "test" if table.loc["images/0000041.png", "split"] != "test" else "train")
    change(50, "weight", 0.0)
    for number in range(60, 72):
        change(number, "width", 8)
    change(72, "height", 5000)
    change(80, "mode", "CMYK")
    for number in range(100, 300, 10):
        change(number, "status", "empty: the file has no bytes")
    table.loc["images/0000011.png", "path"] = "images/0000010.png"
    findings = _expect(_written(tmp_path, table))
    _assert_broken(findings, BROKEN_STRUCTURE)


def test_broken_classes_and_duplicates_are_named_with_numbers_and_paths(tmp_path: Path, manifest: pd.DataFrame) -> None:
    manifest["split"] = manifest["split"].where(manifest["split"] != "", "train")
    manifest.loc[[0, 1], "split"] = ["test", "train"]
    manifest.loc[1, "duplicate_of"] = "images/0000000.png"
    manifest["group"] = ""
    manifest.loc[500:619, "status"] = "leak"
    manifest.loc[1000:1006, ["label", "split", "status"]] = ["Rare", "test", "ok"]
    of_cat = manifest.index[(manifest["label"] == "cat") & (manifest["status"] == "ok")]
    manifest.loc[of_cat[::2], "label"] = "Cat"
    folder = _written(tmp_path, manifest)
    pair = "images/0000002.png,images/0000003.png,cat,dog,train,train,near,0.97\n"
    unlabelled = "images/0000004.png,images/0000005.png,,dog,train,train,near,0.97\n"
    with (folder / "duplicates.csv").open("a") as file:
        file.write(pair + unlabelled)
    _assert_broken(_expect(folder), BROKEN_CLASSES)


def test_data_docs_load_nothing_from_anywhere_and_tell_all_findings(good: Path) -> None:
    findings = _expect(good)
    pages = {path.name: path.read_text() for path in (good / "data_docs").rglob("*.html")}
    assert len(pages) == 9
    for page in pages.values():
        assert not re.search(r"https?:|<script|<img|<link", page)
    for item in findings.all_expectations:
        assert f"<td>{item.sentence}</td>" in pages["index.html"]
    for target in re.findall(r'href="([^"#]+)"', pages["index.html"]):
        assert (good / "data_docs" / target).exists()


def test_a_user_adds_expectations_without_touching_the_library(tmp_path: Path, good: Path) -> None:
    own = [
        _entry("the camera is sharp enough", "ExpectColumnMedianToBeBetween", {"column": "sharpness", "min_value": 5}),
        _entry("wide pictures are PNG", "ExpectColumnValuesToBeInSet", {"column": "format", "value_set": ["JPEG"]},
               where='width > 795 and mode == "L"', level="warning"),
        _entry("no panorama", "ExpectColumnMaxToBeBetween", {"column": "aspect_ratio", "max_value": 1.5}),
        _entry("names are numbers", "ExpectColumnValuesToMatchRegex", {"column": "path", "regex": r"images/\d+\.png"}),
        _entry("hash and content agree", "ExpectCompoundColumnsToBeUnique",
               {"column_list": ["sample_id", "perceptual_hash"]}, where="usable"),
        _entry("enough files", "ExpectTableRowCountToBeBetween", {"min_value": 5000}),
        _entry("the site is known", "ExpectColumnToExist", {"column": "site"}, level="warning"),
        _entry("half are of medium width", "ExpectColumnQuantileValuesToBeBetween",
               {"column": "width", "quantile_ranges": {"quantiles": [0.5], "value_ranges": [[400, 600]]}}),
        _entry("two modes", "ExpectColumnDistinctValuesToEqualSet", {"column": "mode", "value_set": ["L", "RGB"]}),
        _entry("columns in order", "ExpectTableColumnsToMatchOrderedList", {"column_list": ["path", "label"]}),
        _entry("five classes", "ExpectTableRowCountToEqual", {"value": 5}, table="classes"),
        _entry("few", "ExpectColumnMinToBeBetween", {"column": "num_accepted", "min_value": 0}, table="changes"),
    ]  # fmt: skip
    findings = _expect(good, _suite(tmp_path, own))
    found = {item.sentence: item for item in findings.all_expectations}
    assert [found[entry["sentence"]].passed for entry in own] == [
        True, False, False, True, True, False, False, True, True, False, True, True,
    ]  # fmt: skip
    assert re.fullmatch(r"(\d+) of \1 fail: PNG", found["wide pictures are PNG"].observed)
    widths = synthetic_manifest(2000, seed=1).set_index("path")["width"]
    assert len(found["wide pictures are PNG"].examples) > 1
    assert (widths[found["wide pictures are PNG"].examples] > 795).all()
    assert re.fullmatch(r"[34]\.\d+; expected max_value 1\.5", found["no panorama"].observed)
    assert found["enough files"].observed == "2000; expected min_value 5000"


def test_mistakes_in_the_file_are_explained_together(tmp_path: Path) -> None:
    entries = [
        {"sentence": "a", "table": "sample", "level": "fatal", "expect": {"ExpectColumnToExist": {"column": "path"}}},
        {"sentence": "b", "table": "samples", "level": "error", "expects": {}},
        {"table": "samples", "level": "error", "expect": {"A": {}, "B": {}}},
        "c",
    ]
    with pytest.raises(SuiteError, match=r"holds 7 mistake") as caught:
        load_suite(_suite(tmp_path, entries))
    for words in (
        "\"a\": table: Input should be 'samples', 'classes' or 'changes' (found: 'sample')",
        "\"a\": level: Input should be 'error' or 'warning'",
        '"b": expect: this key is missing',
        '"b": expects: no such key; an entry has sentence, table, level, where, expect',
        "entry 3: sentence: this key is missing",
        "entry 3: expect: only one expectation per entry",
        "entry 4: an entry is a list of `key: value` lines",
    ):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "answer"),
    [("- sentence: [", "not valid YAML"), ("", "must be a list"), ("samples: {}", "must be a list")],
)
def test_a_file_that_is_no_list_of_expectations_is_refused(tmp_path: Path, text: str, answer: str) -> None:
    (tmp_path / "expectations.yaml").write_text(text)
    with pytest.raises(SuiteError, match=answer):
        load_suite(tmp_path / "expectations.yaml")


def test_a_sentence_stands_for_one_expectation(tmp_path: Path) -> None:
    entry = _entry("twice", "ExpectColumnToExist", {"column": "path"})
    with pytest.raises(SuiteError, match='"twice": 2 entries have this sentence'):
        load_suite(_suite(tmp_path, [entry, entry]))


def test_unknown_expectations_columns_and_arguments_are_explained_together(tmp_path: Path, good: Path) -> None:
    between = "ExpectColumnValuesToBeBetween"
    entries = [
        _entry("a", "ExpectColumnValueToBeBetween", {"column": "width", "min_value": 1}),
        _entry("b", between, {"column": "widht", "min_value": 1}),
        _entry("c", between, {"column": "width", "min": 1, "max_value": 9}),
        _entry("d", between, {"min_value": 1}),
        _entry("e", between, {"column": "test", "min_value": 1, "row_condition": "x"}, table="classes", where="usable"),
        _entry("f", "ExpectColumnPairValuesToBeEqual", {"column_A": "mode", "column_B": "camera"}),
    ]  # fmt: skip
    with pytest.raises(SuiteError, match="holds 7 mistake") as caught:
        _expect(good, _suite(tmp_path, entries))
    for words in (
        '"a": Great Expectations has no ExpectColumnValueToBeBetween; did you mean ExpectColumnValuesToBeBetween?',
        '"b": the table samples has no column widht; did you mean width?',
        '"c": ExpectColumnValuesToBeBetween: min: no such argument; it takes description, column, mostly, min_value',
        '"d": ExpectColumnValuesToBeBetween: column: this argument is missing',
        '"e": ExpectColumnValuesToBeBetween: row_condition is set by the entry\'s own key `where`',
        '"e": `where: usable` is about samples',
        '"f": the table samples has no column camera; it has sample_id, path',
    ):
        assert words in str(caught.value)


def test_what_cannot_be_evaluated_is_named(tmp_path: Path, good: Path) -> None:
    entries = [
        _entry("a", "ExpectColumnMeanToBeBetween", {"column": "mode", "min_value": 1}),
        _entry("b", "ExpectColumnMaxToBeBetween", {"column": "width", "min_value": 1}, where="mode > 3"),
    ]
    with pytest.raises(SuiteError, match="holds 2 mistake") as caught:
        _expect(good, _suite(tmp_path, entries))
    for name, expectation in (("a", "ExpectColumnMeanToBeBetween"), ("b", "ExpectColumnMaxToBeBetween")):
        assert f'"{name}": {expectation} cannot be evaluated: ' in str(caught.value)


def test_a_condition_that_would_run_code_is_refused_and_runs_none(tmp_path: Path, good: Path) -> None:
    trace = tmp_path / "trace"
    command = f'@pd.io.common.os.system("touch {trace}") == 0'
    with pytest.raises(SuiteError, match=r'"a": where: .* cannot be understood; a condition compares columns'):
        _expect(good, _suite(tmp_path, [_entry("a", "ExpectTableRowCountToEqual", {"value": 1}, where=command)]))
    assert not trace.exists()


def test_where_great_expectations_itself_breaks_off_the_entry_is_named(
    tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_suite(context: Any, name: str, table: pd.DataFrame, suite: list[Any]) -> list[Any]:
        if any(item.column == "height" for item in suite):
            raise TypeError("a fault of its own")
        return unbroken(context, name, table, suite)

    unbroken = expectations_module.run_suite
    monkeypatch.setattr(expectations_module, "run_suite", run_suite)
    entries = [
        _entry(side, "ExpectColumnMinToBeBetween", {"column": side, "min_value": 1}) for side in ("width", "height")
    ]
    with pytest.raises(SuiteError, match=r'1 mistake\(s\):\n  "height": .*breaks off.*: a fault of its own'):
        _expect(good, _suite(tmp_path, entries))


def test_a_warning_goes_on_and_an_error_stops_with_a_message(
    tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tmp_path / "project"
    write_artifacts(project / "artifacts", pd.read_parquet(good / "manifest.parquet"))
    monkeypatch.chdir(project)
    shutil.copy(PROJECT / "params.yaml", project)
    sides = {"ExpectColumnValuesToBeBetween": {"column": "width", "max_value": 790}}
    entries = [{"sentence": "narrow", "table": "samples", "level": "warning", "expect": sides}]
    _suite(project, entries)
    validate_data(Project())
    said = capsys.readouterr().out
    assert "0 of 1 expectations hold, 1 warning(s)" in said
    assert re.search(r"warning: narrow: \d+ of 2,000 fail: \d+, \d+, \d+\n    images/", said)
    _suite(project, [{**entries[0], "level": "error"}])
    with pytest.raises(ExpectationsError) as caught:
        validate_data(Project())
    message = str(caught.value)
    assert re.search(r"break 1 expectation\(s\):\n  narrow: \d+ of 2,000 fail", message)
    assert message.count("\n    images/") == 10
    assert "expectations.yaml" in message


def test_an_accepted_run_of_the_same_data_changes_no_byte_of_the_result(
    tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    write_artifacts(project / "artifacts", pd.read_parquet(good / "manifest.parquet"))
    (project / "expectations.yaml").write_text(SHIPPED.read_text())
    shutil.copy(PROJECT / "params.yaml", project)
    monkeypatch.chdir(project)
    validation = project / "artifacts" / "validation"
    runs = []
    for _ in range(2):
        validate_data(Project())
        runs.append(
            {path.relative_to(validation): path.read_bytes() for path in validation.rglob("*") if path.is_file()}
        )
        DataSummary.load(validation / "data_summary.json").save(project / "accepted_data.json")
    first, second = runs
    assert first.keys() == second.keys()
    different = {str(path) for path in first if first[path] != second[path]}
    assert "change.json" in different
    assert not {name for name in different if "change" not in name} - {"data_docs/index.html"}
    assert not {"result.json", "data_summary.json"} & different
    validate_data(Project())
    third = {path.relative_to(validation): path.read_bytes() for path in validation.rglob("*") if path.is_file()}
    assert third == second


@pytest.fixture
def manifest() -> pd.DataFrame:
    """2,000 rows with labels that are exactly balanced, none quarantined."""
    table = synthetic_manifest(2000, seed=1)
    table["label"] = table["label"].where(table.index % 2 == 0, "cat").where(table.index % 4 != 0, "dog")
    return table


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _written(tmp_path_factory.mktemp("good"), synthetic_manifest(2000, seed=1))


def _written(folder: Path, manifest: pd.DataFrame) -> Path:
    write_artifacts(folder / "artifacts", manifest)
    return folder / "artifacts"


def _entry(sentence: str, expectation: str, arguments: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {"sentence": sentence, "table": "samples", "level": "error", "expect": {expectation: arguments}, **keys}


def _suite(folder: Path, entries: list[Any]) -> Path:
    path = folder / "expectations.yaml"
    path.write_text(yaml.safe_dump(entries, sort_keys=False))
    return path


def _expect(artifacts: Path, suite_path: Path = SHIPPED, accepted: DataSummary | None = None) -> Findings:
    return expect(
        load_suite(suite_path), suite_path=suite_path, manifest_path=artifacts / "manifest.parquet",
        duplicates_path=artifacts / "duplicates.csv", accepted=accepted, change_alpha=0.01, min_psi=0.1,
        docs_dir=artifacts / "data_docs",
    )  # fmt: skip


def _assert_broken(findings: Findings, expected: dict[str, tuple[str, str, list[str]]]) -> None:
    broken: dict[str, Expectation] = {item.sentence: item for item in findings.all_expectations if not item.passed}
    assert set(broken) == set(expected)
    for sentence, (level, observed, examples) in expected.items():
        assert broken[sentence].level == level
        assert broken[sentence].observed.startswith(observed)
        assert broken[sentence].examples == examples
