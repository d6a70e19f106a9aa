"""Restores data/ as data.dvc pins it: from DVC's cache, from the remote or, for the example, from its package.

Existing content of data/ belongs to the user, and is not changed.
"""

import subprocess
import sys
from pathlib import Path

from graft.core.errors import DataError
from graft.core.terminal import tell
from graft.core.yaml_files import read_yaml
from infra.fetch_example import fetch_example
from infra.repository import require_repository

EXAMPLE_MD5 = "54af4b25be1060e278795292e760efb3.dir"
"""DVC's hash of the ELPV example, which the output of `fetch_example` must match."""


def restore_data(project: Path) -> str:
    """Restores data/ and returns a sentence on what was done.

    Raises:
        ProjectError: DVC cannot work here.
        DataError: data/ is missing and cannot be obtained, or the rebuilt bytes are not the pinned ones.
        DownloadError, HashMismatchError: see `graft.hub.packages`.
    """
    require_repository(project)
    data = project / "data"
    if data.exists():
        return "data/ exists"
    pinned = _pinned(project)
    if _dvc(project, "checkout", "data.dvc"):
        return "data/ restored from DVC's cache"
    data_is_remote = _dvc_output(project, "remote", "list") != ""
    if data_is_remote and _dvc(project, "pull", "data.dvc"):
        return "data/ pulled from the DVC remote"
    if pinned != EXAMPLE_MD5:
        raise DataError(
            "data/ is missing, and neither DVC's cache nor its remote holds the data that data.dvc pins. Configure the "
            "remote and run `dvc pull`, or put your images into data/ and run `dvc add data`."
        )
    fetch_example("elpv", data)
    if not _dvc(project, "commit", "--force", "data.dvc") or _pinned(project) != pinned:
        raise DataError("the fetched example is not the one that data.dvc pins; see `dvc diff`.")
    return "data/ rebuilt from the example's package, with exactly the pinned bytes"


def _pinned(project: Path) -> str:
    content = read_yaml(project / "data.dvc", DataError)
    try:
        return content["outs"][0]["md5"]
    except (KeyError, IndexError, TypeError):
        raise DataError("data.dvc pins no data. Restore it with: git checkout -- data.dvc") from None


def _dvc(project: Path, *arguments: str) -> bool:
    command = [sys.executable, "-m", "dvc", *arguments, "--quiet"]
    return subprocess.run(command, cwd=project, capture_output=True).returncode == 0


def _dvc_output(project: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=project, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    try:
        print(restore_data(Path.cwd()))
    except Exception as error:
        if not tell(error):
            raise
        sys.exit(1)
