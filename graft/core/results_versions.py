"""The numbers of results_versions.yaml: which results of a stage are alike, whatever code made them.

DVC makes a stage again when its number changes, and what is kept outside of DVC (finished seeds, features, decoded
images, readings of files) is kept under the number of the stage whose result it is a part of.
"""

from functools import cache
from pathlib import Path

import graft
from graft.core.errors import ProjectError
from graft.core.yaml_files import read_yaml

PATH = Path(graft.__file__).with_name("results_versions.yaml")
"""A link to the file at the top of the repository; a copy of it where the library is installed."""


def results_version(stage: str) -> int:
    """
    Args:
        stage: a name in dvc.yaml.
    Raises:
        ProjectError: the file has no whole number for it.
    """
    version = _versions().get(stage)
    if type(version) is not int:
        raise ProjectError(f"{PATH} has no whole number for the stage '{stage}'. Restore it from the repository.")
    return version


@cache
def _versions() -> dict[str, object]:
    versions = read_yaml(PATH, ProjectError)
    return versions if isinstance(versions, dict) else {}
