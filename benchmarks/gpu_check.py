"""Comparison of this machine's accelerator with its CPU: `python -m benchmarks.gpu_check --out docs/gpu.md`.

Losses, features, augmentation, predictions and ONNX against the CPU; resumption to the bit; training and features in
images per second by precision, against the CPU and a plain loop; memory; energy; two processes if there are two GPUs.
It takes at most 8 minutes. Without a GPU, or with GRAFT_DEVICE=cpu, it runs smaller tasks on the CPU in 2 minutes.

A step that fails does not affect the others: it becomes a row, and its traceback goes to the log. The exit code is 1 if
a requirement is not met. It needs a folder of images with a labels.csv, and the weights of one source (GRAFT_CACHE,
or the network).
"""

import argparse
import datetime
import json
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import onnxruntime
import torch

from benchmarks import gpu_speed, gpu_steps
from benchmarks.gpu_task import SEED, Row, Size, Task, make_task
from graft.core.device import describe_device, forward_precision, pick_device
from graft.core.files import write_text
from graft.core.memory import keep_freed_memory
from graft.training.processes import is_first_process

STEPS: tuple[Callable[[Task], Iterator[Row]], ...] = (
    gpu_steps.losses,
    gpu_steps.selection,
    gpu_steps.augmentation,
    gpu_steps.whole_arm,
    gpu_steps.export,
    gpu_steps.resumption,
    gpu_speed.throughput,
    gpu_speed.features_throughput,
    gpu_speed.memory,
    gpu_steps.processes,
)
SIZES = {"cpu": Size(64, 64, 4, 1), "cuda": Size(400, 160, 12, None)}
"""Default sizes by device."""
LAST_START_S = 420
"""Latest start of a step, in seconds since the beginning, so that everything ends within 8 minutes."""
LOG = Path(".graft/gpu_check.log")


@dataclass
class Table:
    """Table of the rows so far, written after each row, so that an early end of the script loses none of them."""

    heading: str
    out: Path | None
    lines: list[str]
    num_failed: int = 0

    def add(self, step: str, row: Row) -> None:
        verdict = {None: "", True: "yes", False: "**NO**"}[row.is_met]
        self.num_failed += row.is_met is False
        cells = (step, row.quantity, row.found, row.required, verdict)
        self.lines.append("".join(f"| {cell} " if cell else "| " for cell in cells) + "|")
        print(
            f"{step}: {row.quantity}: {row.found}{f' ({row.required}: {verdict})' if row.required else ''}", flush=True
        )
        self.write()

    def write(self) -> None:
        if self.out is not None:
            head = ["| step | quantity | found | required | met |", "|---|---|---|---|---|"]
            write_text(self.out, "\n".join([self.heading, *head, *self.lines, "", self.summary(), ""]))

    def summary(self) -> str:
        return f"{self.num_failed} of {len(self.lines)} rows do not meet their requirement."


def run_steps(table: Table, folder: Path, arguments: argparse.Namespace, device: torch.device) -> None:
    started_s = time.monotonic()
    LOG.parent.mkdir(exist_ok=True)
    LOG.write_text("", encoding="utf-8")
    try:
        task = make_task(arguments.data, folder, arguments.source, _size(arguments, device), device)
    except Exception as error:
        _add_failure(table, "images", error)
        return
    counts = ", ".join(f"{len(images)} {name}" for name, images in task.images.items())
    table.add("images", Row(f"{task.size.side_px} px, {arguments.source}", counts))
    for step in STEPS:
        name = step.__name__.replace("_", " ")
        before_s = time.monotonic() - started_s
        if before_s > LAST_START_S:
            table.add(name, Row("all", f"not checked: {before_s:.0f} s have passed", "", False))
            continue
        print(f"{name}...", flush=True)
        try:
            for row in step(task):
                table.add(name, row)
        except Exception as error:
            _add_failure(table, name, error)
        table.add(name, Row("time", f"{time.monotonic() - started_s - before_s:.0f} s"))


def _add_failure(table: Table, step: str, error: Exception) -> None:
    with LOG.open("a", encoding="utf-8") as log:
        log.write(f"{step}\n{traceback.format_exc()}\n")
    words = " ".join(str(error).split())[:200].replace("|", "/")
    table.add(step, Row("ended early", f"{type(error).__name__}: {words}", "no error", False))


def _heading(device: torch.device) -> str:
    now = datetime.datetime.now(datetime.UTC).date().isoformat()
    onnx = f"onnxruntime {onnxruntime.__version__}"
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, {onnx}"
    gpu = "" if device.type != "cpu" else " (no GPU)"
    if device.type == "cuda":
        memory_gb = torch.cuda.get_device_properties(device).total_memory / 1e9
        gpu = f", {torch.cuda.device_count()} of them, {memory_gb:.0f} GB, cuDNN {torch.backends.cudnn.version()}"
    return "\n".join(
        [
            "# On a GPU",
            "",
            "This page shows whether the library gives the same results on an accelerator as on a CPU, and how fast "
            "it is. It is\nwritten, in at most 8 minutes, by",
            "",
            "    python -m benchmarks.gpu_check --out docs/gpu.md",
            "",
            "which also runs without a GPU, on smaller tasks. The requirements are in `benchmarks/gpu_steps.py` and",
            "`benchmarks/gpu_speed.py`; tracebacks of steps that failed go to `.graft/gpu_check.log`.",
            "",
            f"{now}, {describe_device(device)}{gpu}; {os.cpu_count()} CPUs; {versions}; frozen blocks in "
            f"{forward_precision(device)}.",
            "",
        ]
    )


def _size(arguments: argparse.Namespace, device: torch.device) -> Size:
    usual = SIZES[device.type]
    return Size(
        num_images=arguments.limit or usual.num_images,
        side_px=arguments.side or usual.side_px,
        num_steps=arguments.steps or usual.num_steps,
        num_epochs=arguments.epochs or usual.num_epochs,
    )


def child(arguments: argparse.Namespace, folder: Path, device: torch.device) -> None:
    """Runs one of the processes that `gpu_steps.processes` starts."""
    task = make_task(arguments.data, folder, arguments.source, _size(arguments, device), device)
    found = gpu_steps.shared_losses(task)
    if is_first_process():
        arguments.child.write_text(json.dumps(found), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="images, and labels.csv of path and label")
    parser.add_argument("--source", default="efficientnet_lite0", help="a name in sources.yaml")
    parser.add_argument("--limit", type=int, metavar="N", help="images")
    parser.add_argument("--side", type=int, metavar="PIXELS")
    parser.add_argument("--steps", type=int, metavar="N", help="of each training that is compared or timed")
    parser.add_argument("--epochs", type=int, metavar="N", help="of the whole training")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the table in Markdown, e.g. docs/gpu.md")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.manual_seed(SEED)
    keep_freed_memory()
    device = pick_device()
    with tempfile.TemporaryDirectory(prefix="gpu_check-") as folder:
        if arguments.child:
            child(arguments, Path(folder), device)
            return
        table = Table(_heading(device), arguments.out, [])
        print(table.heading, flush=True)
        run_steps(table, Path(folder), arguments, device)
    print(table.summary(), flush=True)
    sys.exit(int(table.num_failed > 0))


if __name__ == "__main__":
    main()
