"""sources.yaml as validated models."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from graft.core.choices import ChannelOrder
from graft.core.errors import CatalogueError
from graft.core.yaml_files import read_yaml
from graft.modalities import MODALITIES, is_modality

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Channels = Annotated[list[float], Field(min_length=3, max_length=3)]


class Entry(BaseModel):
    """Base of all entries; their fields are explained at the top of sources.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TrainedOn(Entry):
    task: str
    domain: str
    dataset: str
    num_classes: Annotated[int, Field(ge=2)] | None
    """None: not trained to distinguish classes."""
    classes: list[str] | None = None
    """Names of the classes, in the order of the head's outputs; may be omitted for ImageNet-1k."""

    @model_validator(mode="after")
    def _every_class_has_a_name(self) -> "TrainedOn":
        if self.classes is not None and len(self.classes) != self.num_classes:
            raise ValueError(f"{len(self.classes)} names in `classes`, but num_classes is {self.num_classes}")
        return self


class Preprocessing(Entry):
    image_size_px: Annotated[int, Field(ge=32, le=1024)]
    mean: Channels
    std: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=3, max_length=3)]
    channel_order: ChannelOrder = "rgb"


class Weights(Entry):
    """Fields of every scheme. Tensor names are those of the file, before `renames`, unless stated otherwise."""

    sha256: Sha256 | None
    """Hash of the weights file. None where the scheme has other checksums; `graft.hub.fetch.pinned` fills it in."""
    head: list[str] = []
    """Tensors of the last layers, which a backbone does not have."""
    single_logit: bool = False
    """True: the head has two classes and one output, the logit of the second class."""
    unused: list[str] = []
    missing: list[str] = []
    """Tensors of the architecture (under its own names) that may be missing in the file: they stay as initialised."""
    transposed: list[str] = []
    """Matrices that the file stores with the inputs first; the architectures have the outputs first."""
    renames: list[tuple[str, str]] = []
    _project: Path = PrivateAttr(default=Path())

    @property
    def project(self) -> Path:
        """Folder of the project that the registry and relative paths belong to."""
        return self._project

    @field_validator("head", "unused", "missing", "transposed", "renames")
    @classmethod
    def _patterns_compile(cls, entries: list) -> list:
        for entry in entries:
            try:
                re.compile(entry if isinstance(entry, str) else entry[0])
            except re.error as error:
                raise ValueError(f"{entry!r} is not a regular expression: {error}") from error
        return entries


class PackageWeights(Weights):
    scheme: Literal["package"]
    sha256: Sha256
    package: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.]*$")]
    package_sha256: Sha256
    file: str


class TorchvisionWeights(Weights):
    scheme: Literal["torchvision"]
    sha256: Sha256 | None = None
    enum: Annotated[str, Field(pattern=r"^\w+_Weights\.\w+$")]


class TimmWeights(Weights):
    scheme: Literal["timm"]
    sha256: Sha256
    model: str
    revision: str = "main"


class FileWeights(Weights):
    scheme: Literal["file"]
    sha256: Sha256
    path: Path
    """Absolute, or relative to the project's folder."""

    @property
    def file(self) -> Path:
        return self.project / self.path


class RegistryWeights(Weights):
    scheme: Literal["mlflow"]
    sha256: Sha256 | None = None
    model: Annotated[str, Field(pattern=r"^models:/[^/@]+(@[^/@]+|/\d+)$")]


AnyWeights = Annotated[
    PackageWeights | TorchvisionWeights | TimmWeights | FileWeights | RegistryWeights, Field(discriminator="scheme")
]


class Source(Entry):
    """One pretrained model."""

    name: str
    description: str
    modality: str = "image"
    architecture: Annotated[str, Field(pattern=r"^(graft|torchvision|timm)/\w+(@\d+)?$")]
    trained_on: TrainedOn
    licence: str
    num_parameters: Annotated[int, Field(gt=0)]
    """Number of parameters of the backbone, without the head."""
    gflops: Annotated[float, Field(gt=0)]
    """Operations of the backbone for one image of its own size: multiply-adds times two, in 1e9."""
    imagenet_top1: Annotated[float, Field(ge=0, le=1)] | None = None
    """Published top-1 accuracy on ImageNet-1k; None if it was trained on something else."""
    preprocessing: Preprocessing
    weights: AnyWeights

    @field_validator("modality")
    @classmethod
    def _is_a_modality(cls, name: str) -> str:
        if not is_modality(name):
            raise ValueError(f"no modality is called {name!r}: there are {', '.join(MODALITIES)}")
        return name

    @property
    def weights_sha256(self) -> str:
        """sha256 of the weights; the source must be pinned (`graft.hub.fetch.pinned`)."""
        assert self.weights.sha256 is not None, f"{self.name} is not pinned"
        return self.weights.sha256

    def with_sha256(self, sha256: str) -> "Source":
        return self.model_copy(update={"weights": self.weights.model_copy(update={"sha256": sha256})})


def load_catalogue(path: Path) -> dict[str, Source]:
    """
    Raises:
        CatalogueError: the file has mistakes; lists each with its source and key.
    """
    entries = read_yaml(path, CatalogueError)
    try:
        named = {name: {"name": name, **entry} for name, entry in entries.items()}
        sources = TypeAdapter(dict[str, Source]).validate_python(named)
    except ValidationError as error:
        mistakes = [f"  {'.'.join(str(step) for step in item['loc'])}: {item['msg']}" for item in error.errors()]
        raise CatalogueError(f"{path} has {len(mistakes)} mistake(s):\n" + "\n".join(mistakes)) from error
    except (AttributeError, TypeError) as error:
        raise CatalogueError(f"{path} cannot be read as a catalogue of sources: {error}") from error
    for source in sources.values():
        source.weights._project = path.parent
    return sources
