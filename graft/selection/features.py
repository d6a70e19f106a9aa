"""Frozen features of a source, computed once a source and sample: N samples, D features."""

from pathlib import Path

import torch
from torch import Tensor

from graft.data.transforms import Normalise
from graft.device import forward_precision, reduced_precision
from graft.errors import ContentChangedError
from graft.files import fingerprint
from graft.hub.backbones import Backbone
from graft.hub.catalogue import Source
from graft.paths import user_cache
from graft.progress import track
from graft.tensors import load_tensors, save_tensors

BATCH_SIZE = 32


def cached_features(
    source: Source, backbone: Backbone, sample_ids: list[str], pictures_NCHW: Tensor, device: torch.device
) -> Tensor:
    """Pooled features [N, D], float32, on the CPU. Only samples that the cache lacks are computed.

    The cache is keyed by weights, input size and sample content; a damaged cache file is made anew.
    """
    precision = str(forward_precision(device))
    key = fingerprint(
        source.file_sha256, source.mean, source.std, source.channel_order, pictures_NCHW.shape[-1], precision
    )
    path = user_cache() / "features" / f"{source.name}-{key}.safetensors"
    known = _read(path)
    missing = [position for position, sample_id in enumerate(sample_ids) if sample_id not in known]
    if missing:
        computed = embed(source, backbone, pictures_NCHW[missing], device)
        known |= {sample_ids[position]: row for position, row in zip(missing, computed, strict=True)}
        save_tensors(path, known)
    return torch.stack([known[sample_id] for sample_id in sample_ids])


@torch.no_grad()
def embed(source: Source, backbone: Backbone, pictures_NCHW: Tensor, device: torch.device) -> Tensor:
    """uint8 pictures [N, 3, S, S] to pooled features [N, D], float32, on the CPU."""
    precision = forward_precision(device)
    backbone = backbone.eval().to(device).to(memory_format=torch.channels_last)
    normalise = Normalise(source.mean, source.std, source.channel_order).to(device)
    batches = pictures_NCHW.split(BATCH_SIZE)
    rows = []
    for pictures_BCHW in track(batches, f"embedding with {source.name}, batches", total=len(batches)):
        normalised = normalise(pictures_BCHW.to(device)).contiguous(memory_format=torch.channels_last)
        with reduced_precision(device, precision):
            rows.append(backbone(normalised).float().cpu())
    return torch.cat(rows)


def _read(path: Path) -> dict[str, Tensor]:
    if not path.exists():
        return {}
    try:
        return load_tensors(path)
    except ContentChangedError as error:
        print(f"  feature cache made anew: {error}", flush=True)
        return {}
