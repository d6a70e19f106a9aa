"""Content-addressed store of features and decoded samples, to which several processes may add.

N samples, each with a row: a tensor of the same shape and type.

A store is a folder of immutable shards, named after everything that its rows depend on besides the samples. A shard is
a safetensors file of `sample_ids` (uint8 [N, 32], the sha256 of each sample's file) and `rows` ([N, ...]). Its name is
the seal of its bytes in this folder (graft.data.seals): nothing is ever rewritten, two processes that compute the same
rows write the same file, and a shard that is damaged, or made for another folder or without the key, is detected.
"""

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save as serialise_tensors
from torch import Tensor

from graft.core.files import written_atomically
from graft.data.seals import seal

logger = logging.getLogger(__name__)

SHARD_SIZE = 1024
"""Number of samples to compute before storing them: at most these are lost by an interruption."""
LAYOUT = "sample_ids, rows"
"""Part of every folder's name: change it when the content of shards changes."""


def stored_rows(folder: Path, sample_ids: list[str]) -> Iterator[tuple[list[str], Tensor]]:
    """Yields, per shard, the n of `sample_ids` that it holds, and their rows [n, ...].

    Shards are mapped into memory, so that only the requested rows are loaded. A shard that is damaged, or was not
    written for this folder with this key, is reported and removed: its samples count as missing.
    """
    wanted = set(sample_ids)
    for shard in sorted(folder.glob("*.safetensors")):
        try:
            with shard.open("rb") as file:
                if shard.name == _name_in(folder, hashlib.file_digest(file, "sha256").hexdigest()):
                    # by descriptor: the verified file, whatever has its name by now
                    yield from _rows_in(f"/dev/fd/{file.fileno()}", wanted)
                    continue
            logger.warning(
                f"  {shard} is damaged, written by somebody else, or made from something else; it is computed again"
            )
            shard.unlink()
        except FileNotFoundError:  # another process has removed it already
            continue
        except OSError as error:
            logger.warning(f"  {shard} cannot be read or removed ({error}); its rows are computed again")


def _rows_in(shard: str, wanted: set[str]) -> Iterator[tuple[list[str], Tensor]]:
    with safe_open(shard, framework="pt") as tensors:
        held = [digest.tobytes().hex() for digest in tensors.get_tensor("sample_ids").numpy()]
        positions = [position for position, sample_id in enumerate(held) if sample_id in wanted]
        if positions:
            yield [held[position] for position in positions], tensors.get_tensor("rows")[positions]


def _name_in(folder: Path, content_sha256: str) -> str:
    return f"{seal(f'{folder.parent.name}/{folder.name}', content_sha256)}.safetensors"


def store_rows(folder: Path, sample_ids: list[str], rows: Tensor) -> None:
    """Writes one shard. On a full disk it prints a note, and the rows are computed again the next time."""
    digests = torch.frombuffer(bytearray.fromhex("".join(sample_ids)), dtype=torch.uint8).reshape(-1, 32)
    content = serialise_tensors({"sample_ids": digests, "rows": rows.contiguous()})
    try:
        with written_atomically(folder / _name_in(folder, hashlib.sha256(content).hexdigest())) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        logger.warning(f"  {folder} could not store {len(content) / 1e6:.0f} MB ({error}); they are computed again")
