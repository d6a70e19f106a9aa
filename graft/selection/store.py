"""A feature store that several processes may add to, keyed by content: N samples, D features each.

It is a folder of immutable shards. A shard is a safetensors file of `sample_ids` (uint8 [N, 32], the sha256 of each
sample's file) and `features` (float32 [N, D]), and its name is the sha256 of its own bytes: nothing is ever rewritten,
two processes that compute the same write the same file, and damage shows.
"""

import hashlib
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save as serialise_tensors
from torch import Tensor

from graft.files import sha256_of_file, written_atomically


def read_features(folder: Path, sample_ids: list[str]) -> dict[str, Tensor]:
    """sample_id -> features [D], of those `sample_ids` that the store holds.

    Shards are mapped into memory, so that only the rows asked for are loaded. A damaged shard is named and removed:
    its samples count as missing.
    """
    wanted = set(sample_ids)
    found: dict[str, Tensor] = {}
    for shard in sorted(folder.glob("*.safetensors")):
        if not _is_whole(shard):
            print(f"  {shard} is damaged and was removed; its features are computed again", flush=True)
            shard.unlink(missing_ok=True)
            continue
        with safe_open(shard, framework="pt") as tensors:
            held = [digest.tobytes().hex() for digest in tensors.get_tensor("sample_ids").numpy()]
            positions = [position for position, sample_id in enumerate(held) if sample_id in wanted]
            rows = tensors.get_tensor("features")[positions]
        found |= zip([held[position] for position in positions], rows, strict=True)
    return found


def add_features(folder: Path, sample_ids: list[str], features_ND: Tensor) -> None:
    """Writes one shard."""
    digests = torch.frombuffer(bytearray.fromhex("".join(sample_ids)), dtype=torch.uint8).reshape(-1, 32)
    content = serialise_tensors({"sample_ids": digests, "features": features_ND.contiguous()})
    with written_atomically(folder / f"{hashlib.sha256(content).hexdigest()}.safetensors") as temporary:
        temporary.write_bytes(content)


def _is_whole(shard: Path) -> bool:
    try:
        return sha256_of_file(shard) == shard.stem
    except FileNotFoundError:  # another process found it damaged first
        return False
