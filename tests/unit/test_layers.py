"""The shape of the project: layers, one pipeline told twice, code that DVC knows of."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from graft.core.results_versions import results_version
from graft.experiment.recipes import NON_RECIPE_KEYS

PROJECT = Path(__file__).parents[2]
STAGES = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]


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


def test_every_stage_depends_on_its_own_results_version_and_its_own_file_and_on_no_other_code() -> None:
    assert results_versions_of_the_project().keys() == STAGES.keys()
    for stage, definition in STAGES.items():
        versions = [names for entry in definition["params"] if isinstance(entry, dict) for names in entry.items()]
        assert versions == [("results_versions.yaml", [stage])]
        assert [dep for dep in definition["deps"] if dep.endswith(".py")] == [f"tasks/{stage}.py"]
        assert not [dep for dep in definition["deps"] if dep.startswith("graft")]


def test_the_library_reads_the_results_versions_of_the_project() -> None:
    for stage, version in results_versions_of_the_project().items():
        assert results_version(stage) == version > 0


def results_versions_of_the_project() -> dict[str, int]:
    return yaml.safe_load((PROJECT / "results_versions.yaml").read_text())


def test_select_hangs_on_every_setting_of_the_fine_tuning_that_changes_a_training() -> None:
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    changing = {f"finetune.{key}" for key in params["finetune"].keys() - NON_RECIPE_KEYS}
    assert len(changing) > 5
    assert {key for key in STAGES["select"]["params"] if "finetune." in key} == changing


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
