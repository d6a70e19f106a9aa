"""The shape of the project: layers, one pipeline told twice, code that DVC knows of."""

import ast
import subprocess
import sys
from pathlib import Path

import grimp
import pytest
import yaml

from tasks.recipe import NOT_OF_THE_RECIPE

PROJECT = Path(__file__).parents[2]
STAGES = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
PLUMBING = {
    "graft": "its version",
    "graft.addresses": "how addresses are written",
    "graft.config": "params are tracked by value",
    "graft.costs": "what a training took, which is in no output",
    "graft.encodings": "what is said of a file that is not UTF-8",
    "graft.errors": "what is said when there is no result",
    "graft.memory": "how memory is asked for",
    "graft.paths": "where caches lie",
    "graft.processes": "how processes end together",
    "graft.progress": "what is seen while waiting",
    "graft.terminal": "what is shown on a terminal",
    "graft.tracking": "how MLflow is reached, whose weights are held against their sha256",
    "graft.yaml_files": "which YAML is refused; what it says is tracked itself",
    "tasks": "a docstring",
    "tasks.stage": "exit codes",
}
"""Modules that cannot change a result, and why: their change makes no stage stale."""


@pytest.mark.parametrize(
    "tool", [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"], ["lint-imports"]], ids=" ".join
)
def test_the_code_passes(tool: list[str]) -> None:
    command = [str(Path(sys.executable).parent / tool[0]), *tool[1:]]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_flow_runs_every_stage_of_dvc_yaml_in_its_order() -> None:
    tree = ast.parse((PROJECT / "flows" / "retrain.py").read_text())
    calls = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "run_stage"
    ]
    names = [ast.literal_eval(call.args[0]) for call in sorted(calls, key=lambda call: call.lineno)]
    assert names == ["data.dvc", *STAGES]


def test_dvc_yaml_lists_all_code_that_a_stage_imports() -> None:
    graph = grimp.build_graph("graft", "tasks", cache_dir=None)
    checked = 0
    for stage, definition in STAGES.items():
        code = [dep for dep in definition["deps"] if dep.startswith(("graft/", "tasks/"))]
        module = f"tasks.{stage}"
        for imported in {module, *graph.find_upstream_modules(module)} - set(PLUMBING):
            file = _file_of(imported)
            covered = any(file == dep or file.startswith(f"{dep}/") for dep in code)
            is_empty = not (PROJECT / file).read_text().strip()
            assert covered or is_empty, f"{stage} imports {imported}; add {file} to its deps in dvc.yaml"
            checked += 1
    assert checked > 50


def test_dvc_yaml_lists_no_code_that_a_stage_does_not_import() -> None:
    graph = grimp.build_graph("graft", "tasks", cache_dir=None)
    for stage, definition in STAGES.items():
        module = f"tasks.{stage}"
        files = {_file_of(imported) for imported in {module, *graph.find_upstream_modules(module)}}
        for dep in definition["deps"]:
            if dep.startswith(("graft/", "tasks/")):
                assert any(file == dep or file.startswith(f"{dep}/") for file in files), f"{stage} does not use {dep}"


def test_select_hangs_on_every_setting_of_the_fine_tuning_that_changes_a_training() -> None:
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    changing = {f"finetune.{key}" for key in params["finetune"].keys() - NOT_OF_THE_RECIPE}
    assert len(changing) > 5
    assert {key for key in STAGES["select"]["params"] if key.startswith("finetune.")} == changing


def test_no_file_is_longer_than_400_lines() -> None:
    files = [
        path for folder in ("graft", "tasks", "flows", "infra", "tests") for path in (PROJECT / folder).rglob("*.py")
    ]
    assert len(files) > 50
    assert [str(path) for path in files if len(path.read_text().splitlines()) > 400] == []


def test_nothing_in_the_library_reads_or_writes_pickle() -> None:
    files = [path for folder in ("graft", "tasks", "flows", "infra") for path in (PROJECT / folder).rglob("*.py")]
    assert len(files) > 40
    forbidden = ("import pickle", "import joblib", "weights_only=False", "allow_pickle=True")
    assert [(path.name, word) for path in files for word in forbidden if word in path.read_text()] == []


def _file_of(module: str) -> str:
    path = module.replace(".", "/")
    return f"{path}/__init__.py" if (PROJECT / path).is_dir() else f"{path}.py"
