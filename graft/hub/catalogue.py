"""sources.yaml as checked models."""

import re
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from graft.errors import CatalogueError

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Channels = Annotated[list[float], Field(min_length=3, max_length=3)]


class Source(BaseModel):
    """One pretrained model; the fields are explained at the top of sources.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str
    domain: str
    architecture: str
    licence: str
    package: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+==[A-Za-z0-9.]+$")]
    package_sha256: Sha256
    file: str
    file_sha256: Sha256
    image_size_px: Annotated[int, Field(ge=32, le=1024)]
    mean: Channels
    std: Channels
    channel_order: Literal["rgb", "bgr"] = "rgb"
    unused: list[str] = []
    renames: list[tuple[str, str]] = []

    @field_validator("unused", "renames")
    @classmethod
    def _patterns_compile(cls, entries: list) -> list:
        for entry in entries:
            try:
                re.compile(entry if isinstance(entry, str) else entry[0])
            except re.error as error:
                raise ValueError(f"{entry!r} is no regular expression: {error}") from error
        return entries


def load_catalogue(path: Path) -> dict[str, Source]:
    """
    Raises:
        CatalogueError: lists every mistake with the source and key it stands under.
    """
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
        named = {name: {"name": name, **entry} for name, entry in entries.items()}
        return TypeAdapter(dict[str, Source]).validate_python(named)
    except ValidationError as error:
        mistakes = [f"  {'.'.join(str(step) for step in item['loc'])}: {item['msg']}" for item in error.errors()]
        raise CatalogueError(f"{path} holds {len(mistakes)} mistake(s):\n" + "\n".join(mistakes)) from error
    except (OSError, yaml.YAMLError, AttributeError, TypeError) as error:
        raise CatalogueError(f"{path} cannot be read as a catalogue of sources: {error}") from error


def pick_sources(catalogue: dict[str, Source], names: list[str]) -> list[Source]:
    """
    Raises:
        CatalogueError: a name is not in the catalogue.
    """
    unknown = [name for name in names if name not in catalogue]
    if unknown:
        raise CatalogueError(
            f"select.candidates names {', '.join(unknown)}, but sources.yaml only has {', '.join(catalogue)}."
        )
    return [catalogue[name] for name in names]
