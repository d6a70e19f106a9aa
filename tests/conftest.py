"""What the tests share: a project folder like a fresh clone, with small real data."""

import contextlib
import importlib
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from filelock import FileLock

from benchmarks.params_changes import merged
from graft.core.logs import log_to_stdout
from graft.core.terminal import answer_to
from graft.project import Project

PROJECT = Path(__file__).parent.parent
PARTS = [
    "graft",
    "tasks",
    "flows",
    "infra",
    "dvc.yaml",
    "expectations.yaml",
    "sources.yaml",
    "rejected_sources.json",
    "results_versions.yaml",
    "test_uses.json",
    "pyproject.toml",
    "requirements.lock",
]
DOTFILES = [".gitignore", ".dvcignore"]
SMALL = {
    "select": {
        "candidates": ["mobilenet_v2", "efficientnet_lite0"],
        "max_samples": 60,
        "num_repeats": 1,
        "num_folds": 3,
        "trial_rounds": 1,
        "trial_steps": 4,
    },
    "inputs": {"image_size_px": 64, "views": ["identity", "rotate_180"]},
    "arms": {"batch_size": 16, "precision": "float32"},
    "finetune": {"method": "partial", "num_epochs": 3, "num_trained_blocks": 4},
    "baseline": {"longer": {"max_budget_ratio": 2}},
    "check_transfer": {"max_seeds": 3},
    "examine": {"max_samples": 20},
    "count_labels": {"fractions": [0.5]},
}

QUICK = {**SMALL, "baseline": {"longer": {"max_budget_ratio": 1}}, "count_labels": {"fractions": []}}
"""Where nothing is asked of these."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test carries its tier's mark by the folder that it lies in. While the first worker makes `finished`, the
    others take what does without it."""
    waiting = {item.path for item in items if "finished" in getattr(item, "fixturenames", ())}
    for item in items:
        item.add_marker(_tier(item))
    items.sort(key=lambda item: (_tier(item), item.path in waiting))  # e2e, slow, stage, unit


def _tier(item: pytest.Item) -> str:
    return Path(item.path).relative_to(PROJECT / "tests").parts[0]


@pytest.fixture(autouse=True)
def _library_is_heard() -> None:
    """Commands show the library's messages on stdout, where tests read them."""
    log_to_stdout()


def run(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command as a user in an activated environment types it."""
    return subprocess.run(command, cwd=folder, env=user_environment(**environment), capture_output=True, text=True)


def user_environment(**changes: str) -> dict[str, str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    not_kept = ("PREFECT_", "MLFLOW_", "COLUMNS")  # the last is the width of the tests' own output
    kept = {name: value for name, value in os.environ.items() if not name.startswith(not_kept)}
    return {**kept, "PATH": path, "DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1", **changes}


def succeed(folder: Path, *command: str, **environment: str) -> str:
    done = run(folder, *command, **environment)
    assert done.returncode == 0, f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run_stages(folder: Path, *stages: str) -> str:
    """Stages one after another in this process, which has loaded torch already; what they print. They are run from
    beside the project: where the tests are started lies another one, with the same files."""
    said = io.StringIO()
    with contextlib.chdir(folder.parent), contextlib.redirect_stdout(said):
        for stage in stages:
            module = importlib.import_module(f"tasks.{stage}")
            getattr(module, stage)(Project(folder))
    return said.getvalue()


def stage_fails(folder: Path, stage: str) -> str:
    """What a user reads of a stage's error, which as a command prints this, without a traceback, and exits with 1
    (tests/unit/test_terminal.py)."""
    try:
        run_stages(folder, stage)
    except Exception as error:
        answer = answer_to(error)
        if answer is None:
            raise
        return answer
    raise AssertionError(f"{stage} does not fail")


def write_params(folder: Path, changes: dict[str, dict[str, Any]]) -> None:
    """The project's params.yaml with some values replaced."""
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    (folder / "params.yaml").write_text(yaml.safe_dump(merged(params, changes), sort_keys=False))


def make_project(folder: Path, fill_data: Callable[[Path], None]) -> Path:
    """A clone in `folder` with its own data, committed to git and DVC, and params for a run of a minute."""
    folder.mkdir(parents=True)
    for name in PARTS:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    for name in DOTFILES:
        shutil.copy(PROJECT / name, folder / name)
    write_params(folder, SMALL)
    fill_data(folder / "data")
    succeed(folder, "git", "init", "--quiet", "--initial-branch=main")
    succeed(folder, "git", "config", "user.email", "tests@example.org")
    succeed(folder, "git", "config", "user.name", "tests")
    succeed(folder, "dvc", "init", "--quiet")
    succeed(folder, "dvc", "add", "--quiet", "data")
    succeed(folder, "git", "add", ".")
    succeed(folder, "git", "commit", "--quiet", "--message", "a project")
    return folder


@pytest.fixture(scope="session")
def elpv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole example data set, from its package."""
    from infra.fetch_example import fetch_example

    folder = tmp_path_factory.mktemp("example") / "elpv"
    fetch_example("elpv", folder)
    return folder


@pytest.fixture(scope="session")
def few_cells(elpv: Path) -> Callable[[Path], None]:
    """Fills a data folder with 240 real cells, 120 a class."""

    def fill(data_dir: Path) -> None:
        labels = pd.read_csv(elpv / "labels.csv").groupby("label").head(120)
        (data_dir / "images").mkdir(parents=True)
        for path in labels["path"]:
            shutil.copy(elpv / path, data_dir / path)
        labels.to_csv(data_dir / "labels.csv", index=False)

    return fill


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, few_cells: Callable[[Path], None]) -> Path:
    """A project in which `dvc repro` has run, the same for all workers. Tests that change something work on a copy."""
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    temporary = tmp_path_factory.getbasetemp()
    folder = (temporary.parent if is_worker else temporary) / "finished" / "project"
    with FileLock(folder.parent.with_suffix(".lock")):
        if not (folder / "artifacts" / "report.html").exists():
            succeed(make_project(folder, few_cells), "dvc", "repro")
    return folder


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[Path], Path]:
    def copy(project: Path) -> Path:
        return Path(shutil.copytree(project, tmp_path / "copy", symlinks=True))

    return copy
