"""Processes that train together, by Lightning Fabric."""

import logging
import os
import sys
from functools import cache

import torch
from lightning_fabric import Fabric
from torch import Tensor


@cache
def join_processes(device: torch.device) -> Fabric:
    """The fabric of the processes that torchrun started, or of this one only. Only the first process prints."""
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
    """True in the process that writes the results of all."""
    return os.environ.get("RANK", "0") == "0"


def any_process(claim: bool, fabric: Fabric) -> bool:
    """True if the claim holds in any process, so that all stop together."""
    if fabric.world_size == 1:
        return claim
    return bool(fabric.all_reduce(torch.tensor(float(claim), device=fabric.device), reduce_op="sum"))


def mean_over_processes(value: Tensor, fabric: Fabric) -> Tensor:
    """Mean on the device of `value`; reading it on the host waits for the accelerator."""
    mean = fabric.all_reduce(value.detach(), reduce_op="mean")
    assert isinstance(mean, Tensor)
    return mean


def sum_over_processes(value: float, fabric: Fabric) -> float:
    total = fabric.all_reduce(torch.tensor(value, dtype=torch.float64, device=fabric.device), reduce_op="sum")
    assert isinstance(total, Tensor)
    return total.item()
