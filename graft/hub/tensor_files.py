"""Tensors from third-party files (.safetensors, .npz, .onnx and PyTorch's own), read without running code."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from graft.core.errors import UnsafeWeightsError


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of the file by name; all floating-point tensors as float32.

    Raises:
        UnsafeWeightsError: the file is empty, damaged, of another format, or contains more than tensors.
    """
    read = _READERS.get(path.suffix, _read_pytorch)
    try:
        found = read(path)
    except Exception as error:  # each parser has its own exceptions for damaged files
        what = str(error).splitlines()[0][:300] if str(error) else "it ends too early"
        raise UnsafeWeightsError(
            f"{path} ({path.stat().st_size:,} bytes) is not a complete {path.suffix} file of plain tensors, so it is "
            f"not loaded ({type(error).__name__}: {what}). Correct `file` or `path` in sources.yaml, or save the "
            "weights again as safetensors."
        ) from error
    tensors = {name: _as_float32(tensor) for name, tensor in found.items() if isinstance(tensor, Tensor)}
    others = [f"{name} ({type(value).__name__})" for name, value in found.items() if name not in tensors]
    unusable = [f"{name} ({tensor.dtype})" for name, tensor in tensors.items() if tensor.is_complex()]
    if others or unusable or not tensors:
        raise UnsafeWeightsError(
            f"{path} is not a file of real tensors by name; it contains "
            f"{', '.join((others + unusable)[:10]) or 'nothing'}. Save only the state_dict(), as safetensors."
        )
    return tensors


def _as_float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _read_pytorch(path: Path) -> dict[str, Any]:
    content = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(content, dict):
        raise TypeError(f"it contains a {type(content).__name__} instead of tensors by name")
    return content


def _read_npz(path: Path) -> dict[str, Tensor]:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def _read_onnx(path: Path) -> dict[str, Tensor]:
    """Initializers and constants. The graph is not run; tensors in external files are not read."""
    import onnx  # takes half a second, and most files are of another format

    graph = onnx.load(path, load_external_data=False).graph
    protos = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                protos[node.output[0]] = attribute.t
    outside = [name for name, proto in protos.items() if proto.data_location == onnx.TensorProto.EXTERNAL]
    if outside:
        raise ValueError(f"{len(outside)} tensors are in another file, the first of them {outside[0]}")
    return {name: torch.from_numpy(onnx.numpy_helper.to_array(proto).copy()) for name, proto in protos.items()}


_READERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    ".safetensors": load_file,
    ".npz": _read_npz,
    ".onnx": _read_onnx,
}
