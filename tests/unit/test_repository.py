"""A folder that DVC cannot work in is told from a project, with the command that makes it one."""

from pathlib import Path

import pytest

from graft.core.errors import ProjectError
from infra.repository import require_repository
from infra.restore_data import restore_data


def test_a_project_from_a_zip_file_is_told_to_become_a_git_repository(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    with pytest.raises(ProjectError, match="git init"):
        require_repository(tmp_path)
    with pytest.raises(ProjectError, match="git init"):
        restore_data(tmp_path)  # not: fetches the example, and then finds that DVC refuses to work
    assert not (tmp_path / "data").exists()
    (tmp_path / ".git").mkdir()
    require_repository(tmp_path)


def test_dvc_that_is_told_to_do_without_git_needs_none(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    no_scm = True\n")
    require_repository(tmp_path)


def test_a_folder_without_dvc_is_told_to_be_made_a_project(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="dvc init"):
        require_repository(tmp_path)
