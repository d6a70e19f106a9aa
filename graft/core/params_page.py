"""The table in docs/params.md, made from the models: `python -m graft.core.params_page` writes it.

Each key has its allowed values, its shipped value and its meaning, which is the docstring of its field.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import yaml
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from graft.core.config import Params
from graft.core.files import write_text

PAGE = Path("docs/params.md")
BEGIN, END = "<!-- made by python -m graft.core.params_page -->", "<!-- end -->"
SIGNS = {Ge: ("ge", "≥"), Gt: ("gt", ">"), Le: ("le", "≤"), Lt: ("lt", "<")}
DETAILS = {
    "inputs.augmentation": "training.md#other-settings",
    "inputs.num_augmented_views": "training.md#other-settings",
    "ingest.test_fraction": "data.md#splits-that-never-move",
    "ingest.validation_fraction": "data.md#splits-that-never-move",
    "ingest.near_duplicate_similarity": "duplicates.md",
    "ingest.accept": "data.md",
    "ingest.ignored_columns": "data.md#columns-that-are-not-read",
    "validate.change_alpha": "expectations.md",
    "select.candidates": "sources.md",
    "select.default": "choice.md",
    "arms": "training.md#other-settings",
    "arms.search_s": "#searching-the-learning-rates",
    "finetune": "training.md",
    "finetune.backbone_learning_rate": "training.md#what-auto-takes",
    "baseline.longer.max_budget_ratio": "verdict.md#two-budgets",
    "check_transfer": "verdict.md",
    "count_labels": "verdict.md",
    "examine": "verdict.md#beyond-accuracy",
}
"""Key, or beginning of keys -> the section of the docs that says more."""


def table(shipped: dict[str, Any]) -> str:
    """Markdown.

    Args:
        shipped: content of params.yaml.
    """
    rows = ["| key | allowed | shipped | meaning |", "|---|---|---|---|"]
    for key, field in _fields(Params):
        value = shipped
        for step in key.split("."):
            value = value[step]
        more = max((start for start in DETAILS if key.startswith(start)), key=len, default=None)
        link = "" if more is None else f" [More]({DETAILS[more]})"
        meaning = " ".join((field.description or "").split())
        rows.append(f"| `{key}` | {_allowed(field)} | `{_shown(value)}` | {_as_markdown(meaning)}{link} |")
    return "\n".join(rows)


def with_table(page: str, shipped: dict[str, Any]) -> str:
    """The page with the table between its marks renewed."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table(shipped)}\n\n{END}{after}"


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        sections = [kind for kind in (field.annotation, *get_args(field.annotation)) if _is_section(kind)]
        if not sections:
            yield key, field
        for section in sections:
            yield from _fields(section, f"{key}.")


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _allowed(field: FieldInfo) -> str:
    return ", ".join([*_kinds(field.annotation), *_bounds(field.metadata)]).replace("|", "or")


def _kinds(annotation: Any) -> list[str]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return [f"`{choice}`" for choice in arguments]
    if origin in (Union, UnionType):
        return [kind for argument in arguments for kind in _kinds(argument)]
    if origin is list:
        return [f"list of {', '.join(_kinds(arguments[0]))}"]
    if hasattr(annotation, "__metadata__"):
        limits = [limit for found in annotation.__metadata__ for limit in getattr(found, "metadata", [found])]
        return [" ".join([*_kinds(arguments[0]), *_bounds(limits)])]
    if annotation is type(None):
        return ["`null`"]
    return [{"str": "text", "int": "whole number", "float": "number", "bool": "`true`, `false`"}[annotation.__name__]]


def _bounds(limits: list[Any]) -> list[str]:
    return [
        f"{sign} {_number(getattr(limit, name))}"
        for limit in limits
        for kind, (name, sign) in SIGNS.items()
        if isinstance(limit, kind)
    ]


def _number(limit: float) -> str:
    return str(int(limit)) if limit == int(limit) else f"{limit:g}"


def _shown(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("\n...\n").strip()


def _as_markdown(text: str) -> str:
    """File names as code, since on a page they would be links to nowhere."""
    return re.sub(r"(?<![`\w])(graft/[\w/]+(?:\.py)?)", r"`\1`", text).replace("|", "or")


if __name__ == "__main__":
    content = yaml.safe_load(Path("params.yaml").read_text())
    write_text(PAGE, with_table(PAGE.read_text(), content))
