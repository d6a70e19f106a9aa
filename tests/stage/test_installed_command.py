"""`graft` as set-up installs it."""

import shutil
import site
import sys
from pathlib import Path

import pytest
from conftest import PARTS, PROJECT, run, succeed


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A project, and the folder of commands of an environment of its own in which it is installed."""
    folder = tmp_path_factory.mktemp("installed")
    for name in [*PARTS, "README.md"]:
        copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy
        copy(PROJECT / name, folder / name)  # type: ignore[operator]
    environment = folder / "environment"
    succeed(folder, sys.executable, "-m", "venv", "--without-pip", str(environment))
    packages = next(environment.glob("lib/python*/site-packages"))
    (packages / "libraries.pth").write_text("\n".join(site.getsitepackages()))
    python = str(environment / "bin" / "python")
    install = ["install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--editable", "."]
    succeed(folder, sys.executable, "-m", "pip", "--python", python, *install)
    return folder, environment / "bin"


def test_the_command_lists_the_sources_of_the_folder_that_it_is_run_in(installed: tuple[Path, Path]) -> None:
    project, commands = installed
    printed = succeed(project, str(commands / "graft"), "sources")
    assert "mobilenet_v2" in printed
    elsewhere = run(commands, str(commands / "graft"), "sources")
    assert elsewhere.returncode == 1
    assert "Run this from the project's folder" in elsewhere.stderr


def test_a_copy_of_the_project_runs_its_own_code_and_not_the_installed_one(
    installed: tuple[Path, Path], tmp_path: Path
) -> None:
    _, commands = installed
    for package in ("graft", "tasks"):
        (tmp_path / package).mkdir()
    (tmp_path / "graft" / "__init__.py").write_text("ORIGIN = 'the copy'")
    (tmp_path / "tasks" / "tell.py").write_text("import graft; print(graft.ORIGIN)")
    assert succeed(tmp_path, str(commands / "python"), "-m", "tasks.tell") == "the copy\n"
