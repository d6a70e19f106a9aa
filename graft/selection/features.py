"""Frozen features, computed once per source and sample: N samples, D features."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from graft.core.device import forward_batch_size, forward_precision, reduced_precision, sent
from graft.core.errors import HubError
from graft.core.files import fingerprint
from graft.core.paths import user_cache
from graft.core.progress import track
from graft.core.results_versions import results_version
from graft.data.reading import decoding
from graft.data.seals import key_name
from graft.data.store import LAYOUT, SHARD_SIZE, store_rows, stored_rows
from graft.hub.catalogue import Source
from graft.modalities.image.inputs import Normalise
from graft.modalities.image.modality import ImageModality
from graft.modalities.image.reading import WHITE
from graft.networks.backbones import Backbone
from graft.selection.folding import folded


def cached_features(
    source: Source,
    backbone: Backbone,
    side_px: int,
    sample_ids: list[str],
    load_missing: Callable[[list[int]], Tensor],
    device: torch.device,
    background: str = WHITE,
) -> Tensor:
    """Pooled features [N, D], float32, on the CPU. Only samples missing in the cache are loaded and computed.

    Cached features do not read the images: verify those against the manifest with
    `graft.data.loading.verify_samples`, once per stage.

    Args:
        load_missing: maps positions in `sample_ids` to uint8 images [positions, 3, side_px, side_px].
        background: colour behind transparent parts in `load_missing`.
    Raises:
        HubError: features of a sample are not finite.
    """
    folder = feature_folder(source, side_px, device, background)
    known = {
        sample_id: row
        for ids, rows in stored_rows(folder, sample_ids)
        for sample_id, row in zip(ids, rows, strict=True)
    }
    first_positions = {sample_id: position for position, sample_id in reversed(list(enumerate(sample_ids)))}
    missing = sorted(position for sample_id, position in first_positions.items() if sample_id not in known)
    for start in range(0, len(missing), SHARD_SIZE):
        positions = missing[start : start + SHARD_SIZE]
        computed_ids = [sample_ids[position] for position in positions]
        computed = embed(source, backbone, load_missing(positions), device)
        store_rows(folder, computed_ids, computed)
        known |= zip(computed_ids, computed, strict=True)
    features_ND = torch.stack([known[sample_id] for sample_id in sample_ids])
    num_bad = int((~features_ND.isfinite()).any(dim=1).sum())
    if num_bad:
        raise HubError(
            f"source '{source.name}' gives features that are NaN or infinite for {num_bad} of {len(features_ND)} "
            f"images. Its weights are damaged or overflow in {forward_precision(device)}: remove it from "
            "select.candidates."
        )
    return features_ND


def feature_folder(source: Source, side_px: int, device: torch.device, background: str = WHITE) -> Path:
    """Folder of cached features, specific to the weights, the decoding, the preprocessing and the arithmetic."""
    key = fingerprint(
        source.weights_sha256, source.architecture, source.preprocessing.model_dump(), side_px,
        decoding(ImageModality(background)), device.type, str(forward_precision(device)), results_version("select"),
        LAYOUT, key_name(),
    )  # fmt: skip
    return user_cache() / "features" / f"{source.name}-{key}"


@torch.inference_mode()
def embed(source: Source, backbone: Backbone, images_NCHW: Tensor, device: torch.device) -> Tensor:
    """Pooled features [N, D] of uint8 images [N, 3, S, S], float32, on the CPU.

    The fastest method that was measured (benchmarks/features.py). In bfloat16 on a CPU an image's features are
    bit-identical in every batch; in float32 the last digits of some networks depend on the batch.
    """
    precision = forward_precision(device)
    normalise = Normalise.of(source.preprocessing)
    network = folded(backbone.cpu(), normalise(images_NCHW[:2]))
    network = network.to(device, precision).to(memory_format=torch.channels_last)
    normalise = normalise.to(device)
    batches = images_NCHW.split(forward_batch_size(device))
    rows = []
    for images_BCHW in track(batches, f"embedding with {source.name}, batches", total=len(batches)):
        normalised = normalise(sent(images_BCHW, device)).to(precision, memory_format=torch.channels_last)
        with reduced_precision(device, precision):  # for values that a network computes in float32 next to its weights
            rows.append(network(normalised).float().cpu())
    return torch.cat(rows)
