"""Choice of the device: an accelerator if there is one, unless GRAFT_DEVICE names another."""

import os
import platform
from contextlib import AbstractContextManager
from pathlib import Path

import torch

from graft.core.errors import ParamsError


def pick_device() -> torch.device:
    """Picks the device and makes it exact and deterministic.

    By default an NVIDIA GPU rounds the inputs of convolutions to 10 bits (TF32) and sums their gradients in any order.
    Without the first setting, a model's probabilities differed by up to 0.005 from those of its ONNX file on a CPU;
    without the second, a repeated training gave different bytes (docs/gpu.md).

    Raises:
        ParamsError: GRAFT_DEVICE names a device that this machine does not have.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    wanted = os.environ.get("GRAFT_DEVICE", "auto")
    if wanted == "auto":
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        return accelerator or torch.device("cpu")
    try:
        torch.empty(1, device=wanted)
    except (RuntimeError, AssertionError) as error:
        raise ParamsError(f"GRAFT_DEVICE={wanted} cannot be used here: {error}. Unset it, or use cpu.") from error
    return torch.device(wanted)


def forward_precision(device: torch.device) -> torch.dtype:
    """Precision of forward passes through frozen weights: bfloat16 if the device computes it natively, else float32.

    bfloat16 is two to four times faster on a CPU with AVX-512-BF16 or AMX. Training in it was slower there, so training
    stays in float32.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    is_native = device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if is_native else torch.float32


def describe_device(device: torch.device) -> str:
    """Name and capabilities of the device: equal on machines of equal speed."""
    if device.type != "cpu":
        return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return f"{_processor()}, {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"


def _processor() -> str:
    """Processor name as Linux gives it; on other systems as Python does."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())


def forward_batch_size(device: torch.device) -> int:
    """Batch size of forward passes through frozen weights: small on a CPU, where more is no faster and takes memory."""
    return 8 if device.type == "cpu" else 128


def sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The tensor on the device; copied to an accelerator asynchronously, from pinned memory."""
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def reduced_precision(device: torch.device, precision: torch.dtype) -> AbstractContextManager[None]:
    return torch.autocast(device.type, dtype=precision, enabled=precision != torch.float32)
