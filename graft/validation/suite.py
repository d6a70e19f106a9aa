"""expectations.yaml as checked entries; names of expectations and columns are checked later, against the tables."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from graft.core.errors import SuiteError
from graft.core.yaml_files import read_yaml, shown

Table = Literal["samples", "classes", "changes"]
Level = Literal["error", "warning"]


class Entry(BaseModel):
    """One expectation; the fields are explained at the top of expectations.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sentence: Annotated[str, Field(min_length=1)]
    table: Table
    level: Level
    where: str = ""
    """Rows to check: "usable", a condition (graft.validation.conditions), or empty for every row."""
    expect: Annotated[dict[str, dict[str, Any]], Field(min_length=1, max_length=1)]
    """Name of one Great Expectations class -> its arguments."""

    @property
    def has_condition(self) -> bool:
        return self.where not in ("", "usable")

    @property
    def expectation(self) -> str:
        return next(iter(self.expect))

    @property
    def arguments(self) -> dict[str, Any]:
        return self.expect[self.expectation]


def load_suite(path: Path) -> list[Entry]:
    """
    Raises:
        SuiteError: lists every mistake with its sentence and key.
    """
    content = read_yaml(path, SuiteError)
    if not isinstance(content, list) or not content:
        raise SuiteError(f"{path} must be a list of expectations, each beginning with `- sentence:`.")
    try:
        suite = TypeAdapter(list[Entry]).validate_python(content)
    except ValidationError as error:
        mistakes = [f"{_name_of(content, int(detail['loc'][0]))}: {_in_words(detail)}" for detail in error.errors()]
        raise suite_error(path, mistakes) from error
    repeated = {name: num for name, num in Counter(entry.sentence for entry in suite).items() if num > 1}
    if repeated:
        raise suite_error(path, [f'"{name}": {num} entries have this sentence' for name, num in repeated.items()])
    return suite


def suite_error(path: Path, mistakes: list[str]) -> SuiteError:
    return SuiteError(f"{path} holds {len(mistakes)} mistake(s):\n" + "\n".join(f"  {mistake}" for mistake in mistakes))


def _name_of(content: list[Any], position: int) -> str:
    entry = content[position]
    sentence = entry.get("sentence") if isinstance(entry, dict) else None
    return f'"{sentence}"' if sentence else f"entry {position + 1}"


def _in_words(detail: Any) -> str:
    key = ".".join(str(step) for step in detail["loc"][1:])
    words = {
        "extra_forbidden": f"{key}: no such key; an entry has {', '.join(Entry.model_fields)}",
        "missing": f"{key}: this key is missing",
        "too_long": f"{key}: only one expectation per entry; add a second entry with its own sentence",
        "model_type": "an entry is a list of `key: value` lines, the first being `sentence:`",
    }.get(detail["type"])
    return words or f"{key}: {detail['msg']} (found: {shown(detail['input'])})"
