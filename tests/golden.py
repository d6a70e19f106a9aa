"""Golden values: what each stage finds on small real data, beside the number of its results in results_versions.yaml.

`python -m tests.golden --write` runs everything and writes the values anew: of stages that have a new number or are
made from one that has, and values that were not looked at before. Others are left alone, and what differs fails.
"""

import argparse
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

if __name__ != "__main__":
    from golden_values import STAGES, Values

PROJECT = Path(__file__).parent.parent
FOLDER = PROJECT / "tests" / "golden"
VERSIONS = PROJECT / "results_versions.yaml"
WRITE = "GRAFT_WRITE_GOLDEN"
"""Environment variable that the command sets for the tests."""
COMMAND = "python -m tests.golden --write"
TOLERANCE = 1e-4
"""Relative to a number, and absolute below 1."""
NUM_NAMED = 20
ABSENT = "nothing"

Found = dict[str, "Values"]
"""Run and file -> values."""


def check(stage: str, found: Found, not_comparable: str | None = None) -> None:
    """
    Args:
        not_comparable: a run that is not among `found`, since other machines compute it otherwise.
    Raises:
        AssertionError: the stage finds something else, or has another number. Says what differs, and what to do.
    """
    path, numbers = FOLDER / f"{stage}.json", _numbers(stage)
    kept = json.loads(path.read_text()) if path.exists() else {"numbers": {}, "values": {}}
    left_out = {name: values for name, values in kept["values"].items() if name.split()[0] == not_comparable}
    found = {**left_out, **found}
    differences = list(_differences(kept["values"], found))
    has_new_number = kept["numbers"] != numbers
    is_changed = any(ABSENT not in pair for _, *pair in differences)
    if os.environ.get(WRITE) and (has_new_number or not is_changed):
        _write(path, {"numbers": numbers, "values": _merged(kept["values"], found)})
        return
    said = [f"  {name}: was {was}, is {now}" for name, was, now in differences[:NUM_NAMED]]
    if len(differences) > NUM_NAMED:
        said.append(f"  and {len(differences) - NUM_NAMED} more")
    new = [name for name, number in numbers.items() if kept["numbers"].get(name) != number]
    if new:
        raise AssertionError("\n".join([
            f"the golden values of {stage} belong to other results: {', '.join(new)} has a new number in "
            f"{VERSIONS.name}. If the change is as meant, run: {COMMAND}", *said,
        ]))  # fmt: skip
    if differences:
        raise AssertionError("\n".join([
            f"the results of {stage} changed:", *said,
            f"If that is not meant, it is a mistake. If it is, give {stage} a new number in "
            f"{VERSIONS.name}, say in CHANGELOG.md what changed and why, and run: {COMMAND}",
        ]))  # fmt: skip


def _numbers(stage: str) -> dict[str, int]:
    """Numbers of the stage and of all stages that it is made from."""
    all_numbers = yaml.safe_load(VERSIONS.read_text()) if VERSIONS.exists() else {}
    found = {stage: all_numbers.get(stage, 1)}
    for before in STAGES[stage].made_from:
        found = _numbers(before) | found
    return found


def _differences(kept: Found, found: Found) -> list[tuple[str, Any, Any]]:
    """Name, and what it was and is; ABSENT where there is no such value."""
    before, after = _flat(kept), _flat(found)
    return [
        (" ".join(name), before.get(name, ABSENT), after.get(name, ABSENT))
        for name in before | after
        if not is_same(before.get(name, ABSENT), after.get(name, ABSENT))
    ]


def _flat(values: Found) -> dict[tuple[str, str], Any]:
    return {(file, name): value for file, named in values.items() for name, value in named.items()}


def is_same(kept: Any, found: Any) -> bool:
    """Numbers with a decimal point within the tolerance, everything else exactly."""
    if isinstance(kept, list) and isinstance(found, list):
        return len(kept) == len(found) and all(map(is_same, kept, found))
    if float in (type(kept), type(found)) and {type(kept), type(found)} <= {float, int}:
        return math.isclose(kept, found, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return type(kept) is type(found) and kept == found


def _merged(kept: Found, found: Found) -> Found:
    """What was found, but the old digits where it is the same within the tolerance."""
    return {
        file: {name: _old_if_same(kept.get(file, {}).get(name), value) for name, value in named.items()}
        for file, named in found.items()
    }


def _old_if_same(old: Any, new: Any) -> Any:
    return old if is_same(old, new) else new


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(_one_value_a_line(content) + "\n")


def _one_value_a_line(content: Any, indent: str = "") -> str:
    if not isinstance(content, dict) or not content:
        return json.dumps(content, ensure_ascii=False)
    lines = [f"{indent} {json.dumps(key)}: {_one_value_a_line(item, indent + ' ')}" for key, item in content.items()]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", required=True, help="write the golden values anew")
    parser.parse_args()
    command = [sys.executable, "-m", "pytest", "tests/stage/test_golden_results.py", "-m", "stage"]
    sys.exit(subprocess.run(command, cwd=PROJECT, env={**os.environ, WRITE: "1"}).returncode)
