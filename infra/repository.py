"""Checks that DVC can work in a folder: a project downloaded as a zip file is not in a git repository."""

import subprocess
import sys
from pathlib import Path

from graft.core.errors import ProjectError


def require_repository(project: Path) -> None:
    """
    Raises:
        ProjectError: DVC would refuse to work here.
    """
    around = [project.absolute(), *project.absolute().parents]
    if not any((folder / ".dvc").is_dir() for folder in around):
        raise ProjectError(f"{project.absolute()} is not a DVC project. Make it one: git init && dvc init")
    if not any((folder / ".git").exists() for folder in around) and not _does_without_git(project):
        raise ProjectError(
            f"{project.absolute()} is not a git repository, and DVC needs one (a zip file of a project has none). "
            "Make it one: git init. To work without git: dvc config core.no_scm true"
        )


def _does_without_git(project: Path) -> bool:
    command = [sys.executable, "-m", "dvc", "config", "core.no_scm"]
    return subprocess.run(command, cwd=project, capture_output=True, text=True).stdout.strip().lower() == "true"
