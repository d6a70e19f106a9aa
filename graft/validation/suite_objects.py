"""Converts entries of the suite to objects of Great Expectations, or reports why they cannot be converted."""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from graft.validation.conditions import ConditionError, checked_condition
from graft.validation.great_expectations import great_expectations
from graft.validation.suite import Entry, suite_error

COLUMN_ARGUMENTS = ["column", "column_A", "column_B", "column_list"]
OWN_ARGUMENTS = {
    "row_condition": "where", "condition_parser": "where", "severity": "level", "meta": "sentence", "notes": "sentence",
    "id": "sentence", "batch_id": "table", "result_format": "table", "catch_exceptions": "table",
    "rendered_content": "table", "windows": "table",
}  # fmt: skip
"""Argument of Great Expectations -> key of the entry that sets it."""


def built(suite: list[Entry], suite_path: Path, all_columns: dict[str, list[str]]) -> dict[str, Any]:
    """Objects of Great Expectations by sentence. `all_columns`: table -> its columns.

    Raises:
        SuiteError: lists every unknown expectation, argument and column.
    """
    gxe = great_expectations().expectations
    mistakes, built = [], {}
    for entry in suite:
        complaints = _complaints(entry, gxe, all_columns[entry.table])
        if not complaints:
            try:
                built[entry.sentence] = _build(entry, gxe, all_columns[entry.table])
            except (ValueError, TypeError) as error:
                complaints = _argument_complaints(entry, getattr(gxe, entry.expectation), error)
        mistakes += [f'"{entry.sentence}": {complaint}' for complaint in complaints]
    if mistakes:
        raise suite_error(suite_path, mistakes)
    return built


def _build(entry: Entry, gxe: Any, columns: list[str]) -> Any:
    from great_expectations.expectations.row_conditions import PassThroughCondition

    condition = {}
    if entry.has_condition:
        condition = {"row_condition": PassThroughCondition(pass_through_filter=checked_condition(entry.where, columns))}
    return getattr(gxe, entry.expectation)(
        **entry.arguments,
        **condition,
        severity="critical" if entry.level == "error" else "warning",
        meta={"sentence": entry.sentence},
    )


def _complaints(entry: Entry, gxe: Any, columns: list[str]) -> list[str]:
    known = [name for name in dir(gxe) if name.startswith("Expect") and name != "Expectation"]
    if entry.expectation not in known:
        return [f"Great Expectations has no {entry.expectation}{_did_you_mean(entry.expectation, known)}"]
    complaints = [
        f"{entry.expectation}: {name} is set by the entry's own key `{OWN_ARGUMENTS[name]}`"
        for name in entry.arguments
        if name in OWN_ARGUMENTS
    ]
    if entry.where == "usable" and entry.table != "samples":
        complaints.append(f"`where: usable` is about samples; the table {entry.table} has no such rows")
    if entry.has_condition:
        try:
            checked_condition(entry.where, columns)
        except ConditionError as error:
            complaints.append(f"where: {error}")
    if _has_key(entry.arguments, "$PARAMETER"):
        complaints.append(f"{entry.expectation}: $PARAMETER is not allowed; write the value itself")
    for name in _named_columns(entry):
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


def _has_key(value: Any, key: str) -> bool:
    if isinstance(value, dict):
        return key in value or any(_has_key(item, key) for item in value.values())
    return isinstance(value, list) and any(_has_key(item, key) for item in value)


def _did_you_mean(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def columns_needed(entry: Entry, columns: list[str]) -> set[str]:
    """Columns that the entry needs; all of them if it is about the table as a whole."""
    named = _named_columns(entry)
    return set(columns) & {*named, *re.findall(r"\w+", entry.where)} if named else set(columns)


def _named_columns(entry: Entry) -> list[str]:
    if entry.expectation.startswith("ExpectTable") or entry.expectation == "ExpectColumnToExist":
        return []
    values = [entry.arguments.get(name, []) for name in COLUMN_ARGUMENTS]
    return [str(name) for value in values for name in (value if isinstance(value, list) else [value])]
