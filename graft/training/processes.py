"""Which processes train together, on which device and in which precision: Lightning Fabric."""

import logging
import os
import sys
from functools import cache

import torch
from lightning_fabric import Fabric
from torch import Tensor


@cache
def join_processes(device: torch.device) -> Fabric:
    """The fabric of the processes that torchrun started, or of this one alone. Only the first of them prints."""
    num_processes = int(os.environ.get("WORLD_SIZE", "1"))
    num_local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    logging.getLogger("lightning_fabric.utilities.rank_zero").setLevel(logging.WARNING)  # it recommends TF32
    fabric = Fabric(
        accelerator=device.type,
        devices=num_local if device.index is None or num_processes > 1 else [device.index],
        num_nodes=num_processes // num_local,
        strategy="ddp" if num_processes > 1 else "auto",
    )
    fabric.launch()
    if not is_first_process():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process lives
    return fabric


def is_first_process() -> bool:
    """The one that writes what all have computed."""
    return os.environ.get("RANK", "0") == "0"


def any_process(claim: bool, fabric: Fabric) -> bool:
    """Whether it holds in any process; else one would stop and the others wait for it."""
    if fabric.world_size == 1:
        return claim
    return bool(fabric.all_reduce(torch.tensor(float(claim), device=fabric.device), reduce_op="sum"))


def mean_over_processes(value: Tensor, fabric: Fabric) -> Tensor:
    """Stays on its device: who asks an accelerator for the number waits until it has computed it."""
    mean = fabric.all_reduce(value.detach(), reduce_op="mean")
    assert isinstance(mean, Tensor)
    return mean


def sum_over_processes(value: float, fabric: Fabric) -> float:
    total = fabric.all_reduce(torch.tensor(value, dtype=torch.float64, device=fabric.device), reduce_op="sum")
    assert isinstance(total, Tensor)
    return total.item()
