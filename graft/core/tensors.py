"""Tensors in files, without pickle and with a checksum."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as serialise_tensors

from graft.core.errors import ContentChangedError
from graft.core.files import write_text, written_atomically

FACTS = "facts"
"""Key in a file's metadata under which everything that is no tensor stands; one key, since their order is random."""


def save_tensors(path: Path, tensors: dict[str, torch.Tensor], facts: dict[str, Any] | None = None) -> None:
    """Writes a safetensors file, and beside it a `.sha256` file with which `load_tensors` verifies it.

    Args:
        facts: what else to keep, JSON-able; goes into the file's metadata.
    """
    metadata = None if facts is None else {FACTS: json.dumps(facts)}
    content = serialise_tensors({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata)
    with written_atomically(path) as temporary:
        temporary.write_bytes(content)
    write_text(checksum_path(path), hashlib.sha256(content).hexdigest())


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Reads the tensors that `save_tensors` wrote.

    Raises:
        ContentChangedError: the bytes are not those that were written.
    """
    return load_tensors_and_facts(path)[0]


def load_tensors_and_facts(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Reads what `save_tensors` wrote; facts that were not given are empty.

    Raises:
        ContentChangedError: the bytes are not those that were written.
    """
    content = path.read_bytes()
    promised = checksum_path(path)
    if not promised.exists() or promised.read_bytes() != hashlib.sha256(content).hexdigest().encode():
        raise ContentChangedError(
            f"{path} is not what was written there: its sha256 does not match {promised.name}. "
            "Delete both files; the next run creates them again."
        )
    try:
        tensors = parse_tensors(content)
    except SafetensorError as error:
        raise ContentChangedError(f"{path} is not a safetensors file ({error}). Delete it.") from error
    return tensors, _facts_in(content)


def _facts_in(content: bytes) -> dict[str, Any]:
    """A safetensors file begins with the length of its header (8 bytes, little endian) and the header in JSON."""
    end = 8 + int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8:end]).get("__metadata__", {})
    return json.loads(metadata[FACTS]) if FACTS in metadata else {}


def checksum_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")
