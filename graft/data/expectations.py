"""Holds the data against the user's suite, and says what broke it with numbers and examples."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pandas as pd

from graft.artifacts import ChangedQuantity, Expectation
from graft.data.change import DataSummary, compare, summarise_data
from graft.data.docs_pages import write_pages
from graft.data.great_expectations import NUM_EXAMPLES, great_expectations, new_context, run_suite
from graft.data.suite import Entry, suite_error
from graft.data.tables import CLASS_COLUMNS, columns_of_samples, read_samples, table_of_classes
from graft.files import sha256_of_file

COLUMN_ARGUMENTS = ["column", "column_A", "column_B", "column_list"]
OWN_ARGUMENTS = {
    "row_condition": "where", "condition_parser": "where", "severity": "level", "meta": "sentence", "notes": "sentence",
    "id": "sentence", "batch_id": "table", "result_format": "table", "catch_exceptions": "table",
    "rendered_content": "table", "windows": "table",
}  # fmt: skip
"""Arguments of Great Expectations that a key of the entry stands for."""
SUITES = ["samples", "usable_samples", "classes", "changes"]
NAME_COLUMN = {"samples": "path", "classes": "label", "changes": "quantity"}
CHANGE_COLUMNS = list(ChangedQuantity.model_fields)
SUMMARISED = {"width", "height", "brightness"}


@dataclass(frozen=True)
class Findings:
    expectations: list[Expectation]
    """About `samples` and `classes`."""
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
) -> Findings:
    """Holds the manifest against `suite` and writes Data Docs (a small website) into `docs_dir`.

    Raises:
        SuiteError: the suite (from `suite_path`) asks for what there is not; lists every such mistake.
    """
    all_columns = {
        "samples": columns_of_samples(manifest_path), "classes": CLASS_COLUMNS, "changes": CHANGE_COLUMNS,
    }  # fmt: skip
    expectations = _built(suite, suite_path, all_columns)
    wanted = SUMMARISED.union(
        *(_mentioned(entry, all_columns["samples"]) for entry in suite if entry.table == "samples")
    )
    samples = read_samples(manifest_path, duplicates_path, wanted)
    summary = summarise_data(samples, sha256_of_file(manifest_path))
    quantities = compare(summary, accepted, alpha=change_alpha, min_psi=min_psi)
    tables = {
        "samples": samples,
        "classes": table_of_classes(samples),
        "changes": pd.DataFrame([quantity.model_dump() for quantity in quantities], columns=CHANGE_COLUMNS),
    }
    results = _run(suite, expectations, tables, docs_dir)
    _refuse_what_could_not_be_evaluated(suite, results, suite_path)
    found = {entry.sentence: _finding(entry, results[entry.sentence], tables[entry.table]) for entry in suite}
    by_suite = {name: [found[entry.sentence] for entry in suite if _rows_of(entry) == name] for name in SUITES}
    write_pages(docs_dir, {name: items for name, items in by_suite.items() if items})
    return Findings(
        expectations=[found[entry.sentence] for entry in suite if entry.table != "changes"],
        change_expectations=[found[entry.sentence] for entry in suite if entry.table == "changes"],
        quantities=quantities,
        summary=summary,
    )


def _built(suite: list[Entry], suite_path: Path, all_columns: dict[str, list[str]]) -> dict[str, Any]:
    """Sentence -> Great Expectations' object."""
    gxe = great_expectations().expectations
    mistakes, built = [], {}
    for entry in suite:
        complaints = _complaints(entry, gxe, all_columns[entry.table])
        if not complaints:
            try:
                built[entry.sentence] = _build(entry, gxe)
            except (ValueError, TypeError) as error:
                complaints = _argument_complaints(entry, getattr(gxe, entry.expectation), error)
        mistakes += [f'"{entry.sentence}": {complaint}' for complaint in complaints]
    if mistakes:
        raise suite_error(suite_path, mistakes)
    return built


def _build(entry: Entry, gxe: Any) -> Any:
    from great_expectations.expectations.row_conditions import PassThroughCondition

    condition = {"row_condition": PassThroughCondition(pass_through_filter=entry.where)}
    return getattr(gxe, entry.expectation)(
        **entry.arguments,
        **(condition if entry.where not in ("", "usable") else {}),
        severity="critical" if entry.level == "error" else "warning",
        meta={"sentence": entry.sentence},
    )


def _complaints(entry: Entry, gxe: Any, columns: list[str]) -> list[str]:
    known = [name for name in dir(gxe) if name.startswith("Expect") and name != "Expectation"]
    if entry.expectation not in known:
        return [f"Great Expectations has no {entry.expectation}{_did_you_mean(entry.expectation, known)}"]
    complaints = [
        f"{entry.expectation}: {name} is said by the entry's own key `{OWN_ARGUMENTS[name]}`"
        for name in entry.arguments
        if name in OWN_ARGUMENTS
    ]
    if entry.where == "usable" and entry.table != "samples":
        complaints.append(f"`where: usable` is about samples; the table {entry.table} has no such rows")
    if entry.expectation == "ExpectColumnToExist":
        return complaints
    named = [entry.arguments.get(argument, []) for argument in COLUMN_ARGUMENTS]
    for name in [name for value in named for name in ([value] if isinstance(value, str) else value)]:
        if name not in columns:
            hint = _did_you_mean(name, columns) or f"; it has {', '.join(columns)}"
            complaints.append(f"the table {entry.table} has no column {name}{hint}")
    return complaints


def _argument_complaints(entry: Entry, expectation: Any, error: Exception) -> list[str]:
    if not hasattr(error, "errors"):
        return [f"{entry.expectation}: {error}"]
    fields = [name for name in expectation.__fields__ if name not in OWN_ARGUMENTS]
    words = {
        "value_error.extra": "no such argument; it takes {fields}",
        "value_error.missing": "this argument is missing",
    }
    return [
        f"{entry.expectation}: {str(detail['loc'][0]).replace('__root__', 'arguments')}: "
        + words.get(detail["type"], detail["msg"]).format(fields=", ".join(fields))
        for detail in error.errors()
    ]


def _did_you_mean(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _mentioned(entry: Entry, columns: list[str]) -> set[str]:
    """The columns that the entry needs; all of them where it is about the table as a whole."""
    arguments = [entry.arguments[name] for name in COLUMN_ARGUMENTS if name in entry.arguments]
    if not arguments:
        return set(columns)
    words = re.findall(r"\w+", entry.where)
    return {*words, *(name for value in arguments for name in ([value] if isinstance(value, str) else value))} & {
        *columns
    }


def _run(
    suite: list[Entry], expectations: dict[str, Any], tables: dict[str, pd.DataFrame], docs_dir: Path
) -> dict[str, Any]:
    """Sentence -> Great Expectations' result. Usable samples are picked out once, not once an expectation."""
    context = new_context(docs_dir)
    results = {}
    for name in SUITES:
        of_table = [entry for entry in suite if _rows_of(entry) == name]
        if not of_table:
            continue
        rows = tables[of_table[0].table]
        needed = set[str]().union(*(_mentioned(entry, list(rows.columns)) for entry in of_table))
        rows = rows[[column for column in rows.columns if column in needed]]
        if name == "usable_samples":
            rows = rows[tables["samples"]["is_usable"] == 1]
        for result in run_suite(context, name, rows, [expectations[entry.sentence] for entry in of_table]):
            results[result.expectation_config.meta["sentence"]] = result
    return results


def _rows_of(entry: Entry) -> str:
    return "usable_samples" if entry.where == "usable" else entry.table


def _refuse_what_could_not_be_evaluated(suite: list[Entry], results: dict[str, Any], suite_path: Path) -> None:
    mistakes = []
    for entry in suite:
        info = results[entry.sentence].exception_info or {}
        raised = [info] if "raised_exception" in info else list(info.values())
        messages = [item["exception_message"] for item in raised if item["raised_exception"]]
        mistakes += [f'"{entry.sentence}": {entry.expectation} cannot be evaluated: {text}' for text in messages[:1]]
    if mistakes:
        raise suite_error(suite_path, mistakes)


def _finding(entry: Entry, result: Any, table: pd.DataFrame) -> Expectation:
    positions = result.result.get("partial_unexpected_index_list") or []
    examples = [] if result.success or entry.table == "changes" else table.loc[positions, NAME_COLUMN[entry.table]]
    return Expectation(
        sentence=entry.sentence,
        level=entry.level,
        passed=bool(result.success),
        observed=_change_in_words(entry, table) if entry.table == "changes" else _observed(entry, result),
        examples=[str(name) for name in examples][:NUM_EXAMPLES],
    )


def _change_in_words(entry: Entry, changes: pd.DataFrame) -> str:
    rows = changes.query(entry.where) if entry.where else changes
    return "; ".join(rows["details"] if len(rows) == 1 else rows["quantity"] + ": " + rows["details"])


def _observed(entry: Entry, result: Any) -> str:
    numbers = result.result
    limits = {name: value for name, value in entry.arguments.items() if name not in COLUMN_ARGUMENTS}
    if "unexpected_count" not in numbers:
        expected = ", ".join(f"{name} {_short(value)}" for name, value in limits.items())
        return _short(numbers.get("observed_value")) + (f"; expected {expected}" if expected else "")
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
