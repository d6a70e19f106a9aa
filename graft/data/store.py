"""A store that several processes may add to, keyed by content: features of samples, decoded pictures.

N samples, each with a row: a tensor of one shape and type for all.

It is a folder of immutable shards. A shard is a safetensors file of `sample_ids` (uint8 [N, 32], the sha256 of each
sample's file) and `rows` ([N, ...]), and its name is the sha256 of its own bytes: nothing is ever rewritten, two
processes that compute the same write the same file, and damage shows.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save as serialise_tensors
from torch import Tensor

from graft.files import sha256_of_file, written_atomically

SHARD_SIZE = 1024
"""Samples that whoever fills a store should compute at a time: what an interruption costs at most."""
LAYOUT = "sample_ids, rows"
"""Part of the name of every folder: name it anew when shards hold something else."""


def stored_rows(folder: Path, sample_ids: list[str]) -> Iterator[tuple[list[str], Tensor]]:
    """Those of `sample_ids` that the store holds, shard by shard: n of them, and their rows [n, ...].

    Shards are mapped into memory, so that only the rows asked for are loaded. A damaged shard is named and removed:
    its samples count as missing.
    """
    wanted = set(sample_ids)
    for shard in sorted(folder.glob("*.safetensors")):
        if not _is_whole(shard):
            print(f"  {shard} is damaged and was removed; what it held is computed again", flush=True)
            shard.unlink(missing_ok=True)
            continue
        with safe_open(shard, framework="pt") as tensors:
            held = [digest.tobytes().hex() for digest in tensors.get_tensor("sample_ids").numpy()]
            positions = [position for position, sample_id in enumerate(held) if sample_id in wanted]
            if positions:
                yield [held[position] for position in positions], tensors.get_tensor("rows")[positions]


def store_rows(folder: Path, sample_ids: list[str], rows: Tensor) -> None:
    """Writes one shard; on a full disk it says so, and the rows are computed again the next time."""
    digests = torch.frombuffer(bytearray.fromhex("".join(sample_ids)), dtype=torch.uint8).reshape(-1, 32)
    content = serialise_tensors({"sample_ids": digests, "rows": rows.contiguous()})
    try:
        with written_atomically(folder / f"{hashlib.sha256(content).hexdigest()}.safetensors") as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        print(f"  {folder} could not take {len(content) / 1e6:.0f} MB ({error}); they are computed again", flush=True)


def _is_whole(shard: Path) -> bool:
    try:
        return sha256_of_file(shard) == shard.stem
    except FileNotFoundError:  # another process found it damaged first
        return False
