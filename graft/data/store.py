"""A store that several processes may add to, keyed by content: features of samples, decoded samples.

N samples, each with a row: a tensor of one shape and type for all.

It is a folder of immutable shards, named after everything that its rows follow from besides the samples. A shard is a
safetensors file of `sample_ids` (uint8 [N, 32], the sha256 of each sample's file) and `rows` ([N, ...]). Its name is
the seal of its bytes in this folder (graft.data.seals): nothing is ever rewritten, two processes that compute the same
write the same file, and damage shows, as does a shard that was made for another folder or without the key.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save as serialise_tensors
from torch import Tensor

from graft.core.files import written_atomically
from graft.data.seals import seal

SHARD_SIZE = 1024
"""Samples that whoever fills a store should compute at a time: what an interruption costs at most."""
LAYOUT = "sample_ids, rows"
"""Part of the name of every folder: name it anew when shards hold something else."""


def stored_rows(folder: Path, sample_ids: list[str]) -> Iterator[tuple[list[str], Tensor]]:
    """Those of `sample_ids` that the store holds, shard by shard: n of them, and their rows [n, ...].

    Shards are mapped into memory, so that only the rows asked for are loaded. A shard that is damaged, or was not
    written for this folder with this key, is named and removed: its samples count as missing.
    """
    wanted = set(sample_ids)
    for shard in sorted(folder.glob("*.safetensors")):
        try:
            with shard.open("rb") as file:
                if shard.name == _name_in(folder, hashlib.file_digest(file, "sha256").hexdigest()):
                    # by its descriptor: the file that was verified, whatever lies under its name by now
                    yield from _rows_in(f"/dev/fd/{file.fileno()}", wanted)
                    continue
            print(f"  {shard} is damaged, or not yours, or of something else; it is computed again", flush=True)
            shard.unlink()
        except FileNotFoundError:  # another process found it bad first
            continue
        except OSError as error:
            print(f"  {shard} cannot be read or removed ({error}); what it should hold is computed again", flush=True)


def _rows_in(shard: str, wanted: set[str]) -> Iterator[tuple[list[str], Tensor]]:
    with safe_open(shard, framework="pt") as tensors:
        held = [digest.tobytes().hex() for digest in tensors.get_tensor("sample_ids").numpy()]
        positions = [position for position, sample_id in enumerate(held) if sample_id in wanted]
        if positions:
            yield [held[position] for position in positions], tensors.get_tensor("rows")[positions]


def _name_in(folder: Path, content_sha256: str) -> str:
    return f"{seal(f'{folder.parent.name}/{folder.name}', content_sha256)}.safetensors"


def store_rows(folder: Path, sample_ids: list[str], rows: Tensor) -> None:
    """Writes one shard; on a full disk it says so, and the rows are computed again the next time."""
    digests = torch.frombuffer(bytearray.fromhex("".join(sample_ids)), dtype=torch.uint8).reshape(-1, 32)
    content = serialise_tensors({"sample_ids": digests, "rows": rows.contiguous()})
    try:
        with written_atomically(folder / _name_in(folder, hashlib.sha256(content).hexdigest())) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        print(f"  {folder} could not take {len(content) / 1e6:.0f} MB ({error}); they are computed again", flush=True)
