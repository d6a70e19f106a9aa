"""Steps of benchmarks/gpu_check.py that measure the speed and the memory of the library. B batch, H height, W width."""

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.gpu_task import CPU, SEED, Row, Task, at_least, at_most, cudnn_flags, wait_for
from graft.core.choices import Method, Precision
from graft.core.device import forward_precision, reduced_precision
from graft.modalities.image.inputs import Normalise
from graft.selection.features import embed
from graft.training.data import ArmData
from graft.training.loop import Runtime, Training
from graft.training.precision import DTYPES
from graft.training.processes import join_processes

MIN_SHARE_OF_PLAIN = 0.6
"""Smallest speed of Graft's loop, as a share of a plain loop's: it resumes to the bit, and waits for each loss. The
plain loop's own speed differs by half between runs."""
MAX_PEAK_RATIO = 1.05
"""Largest ratio of the peak memory of a second training in the same process to that of the first."""
NUM_WARM_UP = 4
BATCHES = {"cpu": (16,), "cuda": (16, 128)}
NUM_EMBEDDED = {"cpu": 64, "cuda": 4096}


def throughput(task: Task) -> Iterator[Row]:
    """Images per second of training all blocks, by precision, compared with a plain loop that has its images on the
    device and waits for nothing."""
    device, best = task.device, 0.0
    for batch_size in BATCHES[device.type]:
        for name, precision, flags in _precisions(device):
            words = f"training all blocks, batch {batch_size}, {name}"
            with flags():
                graft_s = graft_step_s(task, device, "full", batch_size, precision)
                plain_s = {
                    layout: plain_step_s(task, device, batch_size, DTYPES[precision], layout)
                    for layout in (torch.channels_last, torch.contiguous_format)
                }
            last_s, contiguous_s = plain_s.values()
            best = max(best, batch_size / graft_s)
            rates = f"{batch_size / last_s:,.0f}; NCHW {batch_size / contiguous_s:,.0f}"
            yield Row(words, f"{batch_size / graft_s:,.0f} images/s; plain loop, channels last {rates}")
            yield at_least(f"{words}: share of the faster plain loop", min(plain_s.values()) / graft_s, _share(device))
    for name, precision, flags in _precisions(device):
        with flags():
            graft_s = graft_step_s(task, device, "partial", 16, precision)
        yield Row(f"training the last blocks on cached activations, batch 16, {name}", f"{16 / graft_s:,.0f} images/s")
    if device.type != "cpu":
        cpu_s = graft_step_s(task, CPU, "full", 16, "float32")
        yield Row("training all blocks, batch 16, float32, on the CPU", f"{16 / cpu_s:,.0f} images/s")
        yield at_least("fastest training over the CPU's", best * cpu_s / 16, 1)


def features_throughput(task: Task) -> Iterator[Row]:
    """Images per second through frozen weights, as in select and inspect."""
    rates = {}
    for device in {task.device, CPU}:
        num_images = NUM_EMBEDDED[device.type]
        images_NCHW = task.images["train"]
        images_NCHW = images_NCHW.repeat(-(-num_images // len(images_NCHW)), 1, 1, 1)[:num_images]
        embed(task.source, task.backbone, images_NCHW[:8], device)
        started_s = time.perf_counter()
        embed(task.source, task.backbone, images_NCHW, device)
        rates[device] = num_images / (time.perf_counter() - started_s)
        yield Row(f"features on {device.type}, {forward_precision(device)}", f"{rates[device]:,.0f} images/s")
    if task.device != CPU:
        yield at_least("features: device over CPU", rates[task.device] / rates[CPU], 1)


def memory(task: Task) -> Iterator[Row]:
    device = task.device
    if device.type != "cuda":
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        yield Row("peak of this process so far", f"{peak_mb:,.0f} MB; no requirement on a CPU")
        return
    for batch_size in BATCHES[device.type]:
        for precision in get_args(Precision):
            first_mb, second_mb = (_peak_mb(task, batch_size, precision) for _ in range(2))
            words = f"peak, all blocks, batch {batch_size}, {precision}"
            yield Row(words, f"{first_mb:,.0f} MB")
            yield at_most(f"{words}: second training over first", second_mb / first_mb, MAX_PEAK_RATIO)


def _precisions(device: torch.device) -> Iterator[tuple[str, Precision, Callable[[], AbstractContextManager[None]]]]:
    yield "float32", "float32", nullcontext
    if device.type == "cuda":
        yield "float32, non-deterministic convolutions", "float32", lambda: cudnn_flags(deterministic=False)
        yield "float32 with TF32 convolutions", "float32", lambda: cudnn_flags(allow_tf32=True)
    yield "bfloat16", "bfloat16", nullcontext


def _share(device: torch.device) -> float:
    """Required share; lower on a CPU, where short runs vary more than the loops differ."""
    return MIN_SHARE_OF_PLAIN if device.type != "cpu" else MIN_SHARE_OF_PLAIN / 2


def graft_step_s(task: Task, device: torch.device, method: Method, batch_size: int, precision: Precision) -> float:
    """Seconds per step of Graft's own loop, after warm-up steps."""
    num_steps = NUM_WARM_UP + task.size.num_steps
    data = task.full_batches(device, batch_size)
    recipe = task.recipe(num_steps, method, batch_size=batch_size, num_samples=len(data), precision=precision)
    model = task.classifier(device, task.params.arms.dropout)
    training = Training(model, ArmData(data), recipe, seed=SEED, runtime=Runtime(join_processes(device)))
    training.prepare()
    steps, started_s = training.steps(), 0.0
    for _ in range(num_steps):
        next(steps)
        if training.progress.step == NUM_WARM_UP:
            wait_for(device)
            started_s = time.perf_counter()
    wait_for(device)
    return (time.perf_counter() - started_s) / task.size.num_steps


def plain_step_s(
    task: Task, device: torch.device, batch_size: int, dtype: torch.dtype, layout: torch.memory_format
) -> float:
    """Seconds per step of a hand-written loop that uses only the network of Graft."""
    images, labels = task.images["train"].to(device), task.labels_N.to(device)
    normalise = Normalise.of(task.source.preprocessing).to(device)
    model = task.classifier(device, task.params.arms.dropout).to(memory_format=layout).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step(indices_B: Tensor) -> None:
        images_BCHW = normalise(images[indices_B]).contiguous(memory_format=layout)
        with reduced_precision(device, dtype):
            logits_BK = model(images_BCHW)
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(logits_BK.float(), labels[indices_B], label_smoothing=0.1).backward()
        optimizer.step()

    started_s = 0.0
    for number in range(NUM_WARM_UP + task.size.num_steps):
        if number == NUM_WARM_UP:
            wait_for(device)
            started_s = time.perf_counter()
        step(torch.randint(len(labels), (batch_size,), device=device))
    wait_for(device)
    return (time.perf_counter() - started_s) / task.size.num_steps


def _peak_mb(task: Task, batch_size: int, precision: Precision) -> float:
    torch.cuda.reset_peak_memory_stats(task.device)
    graft_step_s(task, task.device, "full", batch_size, precision)
    return torch.cuda.max_memory_allocated(task.device) / 1e6
