"""Which device computes: an accelerator where there is one, unless GRAFT_DEVICE names another."""

import os
import platform
from contextlib import AbstractContextManager
from pathlib import Path

import torch

from graft.core.errors import ParamsError


def pick_device() -> torch.device:
    """On it, from then on, float32 is float32 and what is computed twice comes out the same: else an NVIDIA card rounds
    what goes into convolutions to 10 bits (TF32), and adds up their gradients in any order. Without the first, a
    model's probabilities were up to 0.005 from those of its ONNX file on a CPU; without the second, a repeated training
    ended in other bytes (docs/gpu.md).

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
    """bfloat16 where the device computes it natively, else float32: for forward passes through frozen weights.

    Two to four times faster on a CPU with AVX-512-BF16 or AMX; training in it was slower there, so that stays float32.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    is_native = device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if is_native else torch.float32


def describe_device(device: torch.device) -> str:
    """Name and abilities of what computes: equal on machines that are equally fast at the same things."""
    if device.type != "cpu":
        return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return f"{_processor()}, {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"


def _processor() -> str:
    """Of Linux; elsewhere what Python knows."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())


def forward_batch_size(device: torch.device) -> int:
    """Pictures at a time through frozen weights: few on a CPU, where more are no faster and take memory."""
    return 8 if device.type == "cpu" else 128


def sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The tensor on the device; to an accelerator it goes out of pinned memory, and nobody waits for it."""
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def reduced_precision(device: torch.device, precision: torch.dtype) -> AbstractContextManager[None]:
    return torch.autocast(device.type, dtype=precision, enabled=precision != torch.float32)
