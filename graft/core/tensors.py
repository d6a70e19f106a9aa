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


def save_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Writes a safetensors file, and next to it a `.sha256` file that `load_tensors` checks it against."""
    content = serialise_tensors({name: tensor.contiguous() for name, tensor in tensors.items()})
    with written_atomically(path) as temporary:
        temporary.write_bytes(content)
    write_text(checksum_path(path), hashlib.sha256(content).hexdigest())


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Reads what `save_tensors` wrote.

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
        return parse_tensors(content)
    except SafetensorError as error:
        raise ContentChangedError(f"{path} is not a safetensors file ({error}). Delete it.") from error


def as_tensor(content: Any) -> torch.Tensor:
    """JSON-serialisable content as the bytes of its JSON, so that it can be saved with tensors."""
    return torch.frombuffer(bytearray(json.dumps(content).encode()), dtype=torch.uint8)


def from_tensor(tensor: torch.Tensor) -> Any:
    """Inverse of `as_tensor`."""
    return json.loads(tensor.numpy().tobytes())


def checksum_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")
