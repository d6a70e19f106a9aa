"""A project: its folder, its params, and typed access to its files."""

from functools import cached_property
from pathlib import Path
from typing import TypeVar

import pandas as pd

from graft.core.artifacts import ACCEPTED_DATA, MANIFEST, Artifact, KeptInGit, Link
from graft.core.config import Params
from graft.core.files import sha256_of_file
from graft.core.params_file import load_params
from graft.data.manifest import class_names, read_manifest, usable_samples
from graft.modalities import modality
from graft.modalities.base import Modality
from graft.training.defaults import resolve_auto

AnyArtifact = TypeVar("AnyArtifact", bound=Artifact)
AnyKept = TypeVar("AnyKept", bound=KeptInGit)


class Project:
    """The folder in which `dvc repro` runs, or any other with the same layout.

    Artifacts are named as in the map of graft/core/artifacts.py: relative to `artifacts`, with forward slashes.
    """

    def __init__(self, root: Path = Path()) -> None:
        """
        Args:
            root: folder with params.yaml and data/; paths in messages begin with it.
        """
        self.root = root

    @classmethod
    def checked(cls, root: Path = Path()) -> "Project":
        """A project whose params.yaml has been checked.

        Raises:
            ParamsError: params.yaml holds mistakes.
        """
        project = cls(root)
        project.params  # noqa: B018
        return project

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def params_file(self) -> Path:
        return self.root / "params.yaml"

    @property
    def sources_file(self) -> Path:
        return self.root / "sources.yaml"

    @property
    def expectations_file(self) -> Path:
        return self.root / "expectations.yaml"

    @property
    def accepted_data(self) -> Path:
        """Summary of the data of the last accepted run."""
        return self.root / ACCEPTED_DATA

    @cached_property
    def params(self) -> Params:
        """Content of params.yaml, with `auto` unresolved.

        Raises:
            ParamsError: params.yaml holds mistakes.
        """
        return load_params(self.params_file)

    @property
    def modality(self) -> Modality:
        """Modality of the samples, with the settings for reading their files."""
        return modality(self.params.inputs.modality, background=self.params.ingest.background)

    @cached_property
    def resolved_params(self) -> Params:
        """Params with every `auto` replaced by its value; needs the manifest."""
        return resolve_auto(self.params, num_train=self.num_train, num_classes=len(class_names(self.manifest)))

    @property
    def num_train(self) -> int:
        """Number of training samples."""
        return len(usable_samples(self.manifest, "train"))

    @cached_property
    def manifest(self) -> pd.DataFrame:
        """The manifest with all columns (graft.data.manifest)."""
        return read_manifest(self.path(MANIFEST))

    def path(self, name: str) -> Path:
        return self.artifacts / name

    def path_of(self, kind: type[KeptInGit]) -> Path:
        return self.root / kind.NAME

    def kept(self, kind: type[AnyKept]) -> AnyKept:
        """Loads a committed file that runs add to; its initial content if there is no file yet.

        Raises:
            ContentChangedError: the file is not what a run wrote.
        """
        return kind.load(self.path_of(kind))

    def load(self, kind: type[AnyArtifact], folder: str = "") -> AnyArtifact:
        """Loads an artifact, and checks that the inputs it names are unchanged.

        Args:
            folder: folder below `artifacts`, for kinds that exist in several.
        Raises:
            ContentChangedError: the file is damaged, or one of its inputs has changed.
        """
        name = _in(folder, kind)
        if issubclass(kind, Link):
            return kind.load_verified(self.artifacts, name)
        return kind.load(self.path(name))

    def save(self, artifact: Artifact, folder: str = "") -> None:
        artifact.save(self.path(_in(folder, type(artifact))))

    def hashes(self, *names: str) -> dict[str, str]:
        """Name -> sha256, as in `Link.inputs`."""
        return {name: sha256_of_file(self.path(name)) for name in names}


def _in(folder: str, kind: type[Artifact]) -> str:
    return f"{folder}/{kind.NAME}" if folder else kind.NAME
