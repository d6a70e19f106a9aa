"""Checks the data against the user's suite, and reports violations with numbers and examples."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from graft.core.files import sha256_of_file
from graft.validation.change import DataSummary, compare, summarise_data
from graft.validation.conditions import checked_condition
from graft.validation.docs_pages import write_pages
from graft.validation.great_expectations import new_context, run_suite
from graft.validation.result import ChangedQuantity, Expectation
from graft.validation.suite import Entry, suite_error
from graft.validation.suite_objects import COLUMN_ARGUMENTS, built, columns_needed
from graft.validation.tables import CLASS_COLUMNS, columns_of_samples, read_samples, table_of_classes

SUITES = ["samples", "usable_samples", "classes", "changes"]
NAME_COLUMN = {"samples": "path", "classes": "label", "changes": "quantity"}
CHANGE_COLUMNS = [name for name in ChangedQuantity.model_fields if name != "is_judged"]
SUMMARISED = {"width", "height", "brightness"}


@dataclass(frozen=True)
class SuiteResults:
    expectations: list[Expectation]
    """Expectations about `samples` and `classes`."""
    change_expectations: list[Expectation]
    quantities: list[ChangedQuantity]
    summary: DataSummary

    @property
    def all_expectations(self) -> list[Expectation]:
        return [*self.expectations, *self.change_expectations]

    def failed(self, level: str) -> list[Expectation]:
        return [item for item in self.all_expectations if not item.passed and item.level == level]


def expect(
    suite: list[Entry],
    *,
    suite_path: Path,
    manifest_path: Path,
    duplicates_path: Path,
    accepted: DataSummary | None,
    change_alpha: float,
    min_psi: float,
    docs_dir: Path,
) -> SuiteResults:
    """Checks the manifest against `suite` and writes Data Docs (a small website) into `docs_dir`.

    Raises:
        SuiteError: the suite (from `suite_path`) names unknown expectations, arguments or columns; lists every mistake.
    """
    all_columns = {
        "samples": columns_of_samples(manifest_path), "classes": CLASS_COLUMNS, "changes": CHANGE_COLUMNS,
    }  # fmt: skip
    expectations = built(suite, suite_path, all_columns)
    wanted = SUMMARISED.union(
        *(columns_needed(entry, all_columns["samples"]) for entry in suite if entry.table == "samples")
    )
    samples = read_samples(manifest_path, duplicates_path, wanted)
    summary = summarise_data(samples, sha256_of_file(manifest_path))
    quantities = compare(summary, accepted, alpha=change_alpha, min_psi=min_psi)
    tables = {
        "samples": samples,
        "classes": table_of_classes(samples),
        "changes": pd.DataFrame([quantity.model_dump() for quantity in quantities], columns=CHANGE_COLUMNS),
    }
    rows = {name: _rows(name, suite, tables) for name in SUITES}
    results = _run(suite, expectations, rows, docs_dir, suite_path)
    judged = {quantity.quantity for quantity in quantities if quantity.is_judged}
    found = {entry.sentence: _evaluated(entry, results[entry.sentence], tables[entry.table], judged) for entry in suite}
    by_suite = {name: [found[entry.sentence] for entry in _entries_of(name, suite)] for name in SUITES}
    write_pages(docs_dir, {name: items for name, items in by_suite.items() if items})
    return SuiteResults(
        expectations=[found[entry.sentence] for entry in suite if entry.table != "changes"],
        change_expectations=[found[entry.sentence] for entry in suite if entry.table == "changes"],
        quantities=quantities,
        summary=summary,
    )


def _rows(name: str, suite: list[Entry], tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Rows for the expectations of one of `SUITES`: only the needed columns; usable samples are filtered once.

    The index counts from 0 without gaps, as some expectations of Great Expectations require.
    """
    table = tables["samples" if name == "usable_samples" else name]
    columns = list(table.columns)
    needed = set[str]().union(*(columns_needed(entry, columns) for entry in _entries_of(name, suite)))
    rows = table[[column for column in columns if column in needed]]
    return rows[table["is_usable"] == 1].reset_index(drop=True) if name == "usable_samples" else rows


def _run(
    suite: list[Entry], expectations: dict[str, Any], rows: dict[str, pd.DataFrame], docs_dir: Path, suite_path: Path
) -> dict[str, Any]:
    """Results of Great Expectations by sentence."""
    context = new_context(docs_dir)
    results: dict[str, Any] = {}
    mistakes: list[str] = []
    for name in SUITES:
        entries = _entries_of(name, suite)
        if not entries:
            continue
        try:
            run = run_suite(context, name, rows[name], [expectations[entry.sentence] for entry in entries])
        except OSError:
            raise
        except Exception as error:  # an error inside one expectation aborts the whole suite
            raise suite_error(suite_path, _culprits(name, entries, expectations, rows[name], error)) from error
        results |= {result.expectation_config.meta["sentence"]: result for result in run}
        mistakes += [complaint for entry in entries for complaint in _evaluation_complaints(entry, results)]
    if mistakes:
        raise suite_error(suite_path, mistakes)
    return results


def _entries_of(name: str, suite: list[Entry]) -> list[Entry]:
    return [entry for entry in suite if name == ("usable_samples" if entry.where == "usable" else entry.table)]


def _culprits(
    name: str, entries: list[Entry], expectations: dict[str, Any], rows: pd.DataFrame, error: Exception
) -> list[str]:
    """Runs each expectation alone to find the one at which Great Expectations fails."""
    culprits = []
    for entry in entries:
        with tempfile.TemporaryDirectory() as folder:
            try:
                run_suite(new_context(Path(folder)), name, rows, [expectations[entry.sentence]])
            except Exception as reason:
                culprits.append(f'"{entry.sentence}": Great Expectations fails at {entry.expectation}: {reason}')
    return culprits or [f"Great Expectations fails at the table {name}: {error}"]


def _evaluation_complaints(entry: Entry, results: dict[str, Any]) -> list[str]:
    info = results[entry.sentence].exception_info or {}
    raised = [info] if "raised_exception" in info else list(info.values())
    messages = [item["exception_message"] for item in raised if item["raised_exception"]]
    return [f'"{entry.sentence}": {entry.expectation} cannot be evaluated: {message}' for message in messages[:1]]


def _evaluated(entry: Entry, result: Any, table: pd.DataFrame, judged: set[str]) -> Expectation:
    """
    Args:
        judged: quantities whose change could be judged.
    """
    positions = result.result.get("partial_unexpected_index_list") or []
    names = table[NAME_COLUMN[entry.table]]
    if entry.where == "usable" and positions:
        names = names[table["is_usable"] == 1].reset_index(drop=True)
    return Expectation(
        sentence=entry.sentence,
        level=entry.level,
        passed=bool(result.success),
        observed=_change_in_words(entry, table) if entry.table == "changes" else _observed(entry, result),
        examples=[] if result.success or entry.table == "changes" else [str(names[number]) for number in positions],
        is_judged=entry.table != "changes" or not judged.isdisjoint(_change_rows(entry, table)["quantity"]),
    )


def _change_rows(entry: Entry, changes: pd.DataFrame) -> pd.DataFrame:
    return changes.query(checked_condition(entry.where, CHANGE_COLUMNS)) if entry.where else changes


def _change_in_words(entry: Entry, changes: pd.DataFrame) -> str:
    rows = _change_rows(entry, changes)
    return "; ".join(rows["details"] if len(rows) == 1 else rows["quantity"] + ": " + rows["details"])


def _observed(entry: Entry, result: Any) -> str:
    numbers = result.result
    limits = {name: value for name, value in entry.arguments.items() if name not in COLUMN_ARGUMENTS}
    if "unexpected_count" not in numbers or "element_count" not in numbers:
        expected = ", ".join(f"{name} {_short(value)}" for name, value in limits.items())
        value = numbers.get("observed_value", "it holds" if result.success else "it does not hold")
        return _short(value) + (f"; expected {expected}" if expected else "")
    text = f"{numbers['unexpected_count']:,} of {numbers['element_count']:,} fail"
    if "mostly" in limits and numbers["unexpected_count"]:
        text += f", {numbers['unexpected_percent']:.3g} %; at most {100 * (1 - limits['mostly']):.3g} % may"
    values = dict.fromkeys(_short(value) for value in numbers.get("partial_unexpected_list") or [])
    if values and "mostly" not in limits:
        text += f": {', '.join(list(values)[:3])}"
    return text


def _short(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 200 else text[:199] + "…"
