"""Foreign weights into our backbones: hash before load, no pickle, every name accounted for."""

import re
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from safetensors.torch import load as parse_tensors
from torch import Tensor

from graft.errors import BackboneMismatchError, UnsafeWeightsError
from graft.hub.backbones import Backbone, as_backbone, build_backbone, native_network
from graft.hub.catalogue import Source
from graft.hub.fetch import fetch_weights


def load_backbone(source: Source) -> Backbone:
    """The pretrained backbone in eval mode.

    Raises:
        DownloadError, HashMismatchError: see `graft.hub.fetch`.
        UnsafeWeightsError: the file holds more than tensors.
        BackboneMismatchError: a tensor is missing, left over or of another shape; lists them all.
    """
    tensors = _read_tensors(fetch_weights(source))
    if is_own_model(tensors):
        return _own_backbone(source, tensors)
    tensors = {name: tensor for name, tensor in tensors.items() if not _is_unused(name, source)}
    tensors = {_renamed(name, source): tensor for name, tensor in tensors.items()}
    network = native_network(source.architecture)
    _require_fit(source, tensors, network.state_dict())
    network.load_state_dict(tensors, strict=False)  # not strict for BatchNorm's counters alone
    return as_backbone(source.architecture, network).eval()


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        return parse_tensors(path.read_bytes())
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError) as error:
        raise UnsafeWeightsError(f"{path} is not a file of plain tensors, so it is not loaded: {error}") from error


def _is_unused(name: str, source: Source) -> bool:
    return any(re.search(pattern, name) for pattern in [*source.weights.head, *source.weights.unused])


def _renamed(name: str, source: Source) -> str:
    for pattern, replacement in source.weights.renames:
        name = re.sub(pattern, replacement, name)
    return name


def _require_fit(source: Source, found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    # BatchNorm's num_batches_tracked only counts; formats other than PyTorch's do not carry it
    missing = [name for name in expected if name not in found and not name.endswith("num_batches_tracked")]
    left_over = [name for name in found if name not in expected]
    misshapen = [
        f"{name} {tuple(found[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in expected
        if name in found and found[name].shape != expected[name].shape
    ]
    if missing or left_over or misshapen:
        raise BackboneMismatchError(
            f"the weights of source {source.name!r} do not fit architecture {source.architecture!r}: "
            f"missing {missing or 'none'}; left over {left_over or 'none'}; of another shape {misshapen or 'none'}. "
            "Name old heads under `head` and other spellings under `renames` in sources.yaml."
        )


def is_own_model(tensors: dict[str, Tensor]) -> bool:
    """Whether these are a model that this pipeline made: a backbone in blocks, and a head."""
    return all(name.startswith(("backbone.blocks.", "head.")) for name in tensors)


def _own_backbone(source: Source, tensors: dict[str, Tensor]) -> Backbone:
    own = {name.removeprefix("backbone."): tensor for name, tensor in tensors.items() if name.startswith("backbone.")}
    backbone = build_backbone(source.architecture, seed=0)
    _require_fit(source, own, backbone.state_dict())
    backbone.load_state_dict(own)
    return backbone.eval()
