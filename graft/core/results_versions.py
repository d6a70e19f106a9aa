"""Versions in results_versions.yaml: results of a stage with the same version are the same, whatever code made them.

DVC runs a stage again when its version changes. Caches outside of DVC (finished seeds, features, decoded images,
readings of files) are keyed by the version of the stage whose result they are part of.
"""

from functools import cache
from pathlib import Path

import graft
from graft.core.errors import ProjectError
from graft.core.yaml_files import read_yaml

PATH = Path(graft.__file__).with_name("results_versions.yaml")
"""Link to the file in the repository's root; a copy of it in an installed library."""


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
