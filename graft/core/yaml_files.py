"""Reads the YAML that users write (params.yaml, expectations.yaml, sources.yaml), with one way to report mistakes."""

import reprlib
from pathlib import Path
from typing import Any

import yaml

from graft.core.encodings import read_utf8
from graft.core.errors import GraftError

MAX_VALUES = 100_000
"""Maximum number of values including aliases, a few lines of which can stand for billions."""
MAX_SHOWN = 100
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = MAX_SHOWN


def read_yaml(path: Path, error: type[GraftError]) -> Any:
    """
    Args:
        error: raised for a file that is missing, not UTF-8, not YAML, repeats a key, or holds more than MAX_VALUES
            values when its aliases are followed.
    """
    try:
        loader = yaml.SafeLoader(read_utf8(path))
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _num_values(node, {})
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except FileNotFoundError:
        raise error(f"{path} is missing. Restore it with: git checkout -- {path.name}") from None
    except OSError as reason:
        raise error(f"{path} cannot be read: {reason.strerror}") from reason
    except UnicodeError as reason:
        raise error(str(reason)) from reason
    except RecursionError:
        raise error(f"{path} is not valid YAML: it is nested too deeply") from None
    except (yaml.YAMLError, ValueError, OverflowError) as reason:
        raise error(f"{path} is not valid YAML: {reason}") from reason


def shown(value: object) -> str:
    """The value as error messages quote it, at most MAX_SHOWN characters."""
    text = _REPR.repr(value)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def _num_values(node: yaml.Node, known: dict[int, int | None]) -> int:
    """Number of values when every alias is followed; fails if there are too many, or a key is repeated.

    Args:
        known: number of values per counted node; None for nodes that are being counted.
    """
    if id(node) in known:
        found = known[id(node)]
        if found is None:
            raise yaml.MarkedYAMLError(
                problem="an alias refers to a value that contains it", problem_mark=node.start_mark
            )
        return found
    known[id(node)] = None
    number = 1
    if isinstance(node, yaml.MappingNode):
        _require_single_keys(node)
        number += sum(_num_values(part, known) for pair in node.value for part in pair)
    elif isinstance(node, yaml.SequenceNode):
        number += sum(_num_values(part, known) for part in node.value)
    if number > MAX_VALUES:
        raise yaml.MarkedYAMLError(
            problem=f"more than {MAX_VALUES:,} values, counting what aliases (*name) stand for",
            problem_mark=node.start_mark,
        )
    known[id(node)] = number
    return number


def _require_single_keys(node: yaml.MappingNode) -> None:
    lines: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        line = key.start_mark.line + 1
        if (key.tag, key.value) in lines:
            first = lines[key.tag, key.value]
            raise yaml.MarkedYAMLError(problem=f"the key {key.value} appears in lines {first} and {line}; keep one")
        lines[key.tag, key.value] = line
