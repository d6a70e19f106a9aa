"""Files that are whole or not there: atomic writes, checksums, tensors without pickle."""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from graft.errors import ContentChangedError, DiskSpaceError

if TYPE_CHECKING:
    import torch  # half a gigabyte that stages without tensors never need


def sha256_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(*parts: object) -> str:
    """16 hex digits that change when any part changes; parts must be JSON-serialisable."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fingerprint_of_code(package_dir: Path) -> str:
    """Fingerprint of every Python file below `package_dir`: what a checkpoint's validity also hangs on."""
    return fingerprint([(path.name, sha256_of_file(path)) for path in sorted(package_dir.rglob("*.py"))])


@contextmanager
def written_atomically(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; it takes the final name only when the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with written_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: object) -> None:
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def save_tensors(path: Path, tensors: "dict[str, torch.Tensor]", metadata: dict[str, str] | None = None) -> None:
    """Writes a safetensors file, and beside it a `.sha256` file that `load_tensors` holds it against."""
    from safetensors.torch import save as serialise_tensors

    content = serialise_tensors({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata)
    with written_atomically(path) as temporary:
        temporary.write_bytes(content)
    write_text(checksum_path(path), hashlib.sha256(content).hexdigest())


def load_tensors(path: Path) -> "dict[str, torch.Tensor]":
    """Reads what `save_tensors` wrote.

    Raises:
        ContentChangedError: the bytes are not those that were written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load as parse_tensors

    content = path.read_bytes()
    promised = checksum_path(path)
    if not promised.exists() or promised.read_text() != hashlib.sha256(content).hexdigest():
        raise ContentChangedError(
            f"{path} is not what was written there: its sha256 does not match {promised.name}. "
            "Delete both files; they are made anew by the next run."
        )
    try:
        return parse_tensors(content)
    except SafetensorError as error:
        raise ContentChangedError(f"{path} is no safetensors file ({error}). Delete it.") from error


def checksum_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def require_disk_space(folder: Path, needed_bytes: int) -> None:
    """
    Raises:
        DiskSpaceError: fewer than `needed_bytes` are free where `folder` is or will be.
    """
    existing = next(parent for parent in [folder.absolute(), *folder.absolute().parents] if parent.exists())
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes < needed_bytes:
        raise DiskSpaceError(
            f"{existing} has {free_bytes / 1e9:.1f} GB free; this needs {needed_bytes / 1e9:.1f} GB. "
            "Free some space, or move the cache with the environment variable GRAFT_CACHE."
        )
