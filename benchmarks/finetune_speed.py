"""Accuracy against time of Graft's methods, fastai's `fine_tune` and a plain PyTorch loop.

    python -m benchmarks.finetune_speed             # all: about 50 minutes on 2 quiet cores
    python -m benchmarks.finetune_speed --smoke     # whether it runs: minutes
    python -m benchmarks.finetune_speed --contestants "graft partial" "graft partial, not cached"

The same backbone (efficientnet_lite0, all blocks the very same modules), weights, cells of ELPV and random stratified
75/25 splits for all; uncertain labels have half the weight except in fastai, whose `fine_tune` has no weights. The time
is that of training from decoded images: Graft's passes through frozen blocks count, tests along the way do not. All
models are tested in the same way, on the cells and their three flips, softmax averaged; "one view" is on the cells as
they are. Each contestant and split runs in a separate process, and contestants take turns. Freed memory is kept
(graft.core.memory) for all of them, so that it gives no advantage.

Writes benchmarks/finetune_speed.csv, one row per contestant, split and tested epoch, and docs/finetune_speed.png;
existing rows are kept, so an interrupted run continues, and rows of a contestant with new settings must be deleted.

fastai is no dependency of the project. It goes into a separate environment with the project's packages:

    python3.11 -m venv ../with-fastai
    ../with-fastai/bin/pip install -r requirements.lock fastai
    ../with-fastai/bin/python -m benchmarks.finetune_speed

fastai 2.8.12 works with torch 2.14.1 as it is. Its best settings here, by CPU seconds of two epochs on 192 cells at
160 px: batches of 32 without workers 14.6, of 64 15.0, of 32 with two workers 21.1, whose cores train already.

The third command above names the pair that shows what caching changes: the same training with the frozen blocks
computed in every step and in float32. Further contestants, run only if they are named, are in
benchmarks/finetune_contestants.py. Only contestants with fastai's image size (160 px) can be compared with its time.

Two quiet cores of an AMD EPYC (AVX-512-BF16, no AMX), torch 2.14.1, 656 test cells per split; accuracy is the mean over
the splits, "as good" at the first tested epoch that is at least as good on average as fastai's last one:

                            splits   accuracy   deviation   seconds   as good as fastai after   of fastai's time
    graft partial, short         5     88.0 %         0.7      17.7                    12.9 s               0.09
    graft linear_probe           5     86.9 %         1.6      18.2                    15.9 s               0.11
    graft partial                5     89.3 %         1.0      40.1                    17.3 s               0.12
    graft lp_ft                  1     88.7 %           -      61.9                    25.7 s               0.18
    graft partial, 224 px        3     91.2 %         0.5     142.2                    51.9 s               0.35
    fastai                       3     83.3 %         0.4     189.0                   149.7 s                  1
    plain                        1     87.5 %           -     192.9                    38.7 s               0.27

"graft partial" is the recipe that params.yaml comes to on these cells. With nothing kept and in float32, it ends at
89.6 % instead of 90.2 % on split 0 (the standard error is 1.2) after 62.9 s instead of 41.6 s. To be as good as the
plain loop (87.5 %), "graft partial, short" needs 0.10 of its time and "graft partial" 0.15. fastai's settings are those
of its tutorials; more epochs or a weaker augmentation may end higher.
"""

import argparse
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from importlib.util import find_spec
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import matplotlib
import pandas as pd
import torch
from matplotlib import pyplot as plt

from benchmarks.features import processor
from benchmarks.finetune_contestants import CONTESTANTS, FURTHER, NOT_KEPT
from benchmarks.finetune_task import PROJECT, Clock, Point, decode_cells, read_task
from graft.core.memory import keep_freed_memory

KEYS = ["contestant", "side_px", "threads", "split"]
COLUMNS = [*KEYS, "epoch", "seconds", "accuracy", "accuracy_one_view"]
TABLE = Path(__file__).with_suffix(".csv")
PLOT = PROJECT / "docs" / "finetune_speed.png"
ALL = CONTESTANTS | FURTHER
AGAINST = "fastai"
SMOKE_CELLS, SMOKE_SIDE_PX = 200, 64


def run(name: str, folder: Path, side_px: int, split: int, num_threads: int) -> list[Point]:
    """Runs one contestant in a separate process, so that other contestants have no effect on it."""
    torch.set_num_threads(num_threads)
    entry = ALL[name]
    if entry.keeps_memory:
        keep_freed_memory()
    task = read_task(folder, side_px, split)
    clock = Clock(task)
    entry.run(task, clock)
    return clock.points


def run_all(
    names: list[str], splits: range, side_px: int, num_threads: int, table: Path, is_smoke: bool = False
) -> pd.DataFrame:
    """Runs contestants in turn, split by split; existing rows of the table are kept."""
    sides_px = {name: SMOKE_SIDE_PX if is_smoke else ALL[name].side_px or side_px for name in names}
    known = pd.read_csv(table) if table.exists() else pd.DataFrame(columns=COLUMNS)
    with tempfile.TemporaryDirectory() as baseline:
        decode_cells(Path(baseline), set(sides_px.values()), SMOKE_CELLS if is_smoke else None)
        for split, name in product(splits, names):
            key = [name, sides_px[name], num_threads, split]
            max_splits = ALL[name].max_splits
            is_enough = max_splits is not None and split >= max_splits
            if is_enough or (known[KEYS] == key).all(axis=1).any():
                continue
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                points = pool.submit(run, name, Path(baseline), sides_px[name], split, num_threads).result()
            rows = pd.DataFrame([dict(zip(KEYS, key, strict=True)) | asdict(point) for point in points])
            known = pd.concat([known, rows], ignore_index=True) if len(known) else rows
            rounded = known.sort_values([*KEYS, "epoch"]).round({"seconds": 2, "accuracy": 4, "accuracy_one_view": 4})
            rounded.to_csv(table, index=False)
            print(f"split {split}: {name} {points[-1].accuracy:.1%}, {points[-1].seconds:.0f} s", flush=True)
    is_meant = known["contestant"].isin(names) & (known["threads"] == num_threads)
    return known[is_meant & (known["side_px"] == known["contestant"].map(sides_px))]


def curves(points: pd.DataFrame) -> pd.DataFrame:
    """One row per contestant and epoch: the mean accuracy over the splits, the median of the seconds."""
    grouped = points.groupby(["contestant", "epoch"])
    return grouped.agg(seconds=("seconds", "median"), accuracy=("accuracy", "mean")).reset_index()


def summary(points: pd.DataFrame, against: str = AGAINST) -> pd.DataFrame:
    """One row per contestant; accuracies in percent.

    A contestant has reached `against` at its first epoch with a mean accuracy over the splits that is at least the one
    that `against` ends with; the ratio is the median over the splits of the seconds until then divided by those of
    `against` until its own first such epoch.
    """
    ends = points.sort_values("epoch").groupby(["contestant", "split"]).last()
    finals = ends.groupby("contestant")
    table = pd.DataFrame(
        {
            "accuracy": 100 * finals["accuracy"].mean(),
            "deviation": 100 * finals["accuracy"].std(),
            "one view": 100 * finals["accuracy_one_view"].mean(),
            "seconds": finals["seconds"].median(),
        }
    )
    if against in table.index:
        needed = finals["accuracy"].mean()[against]
        until = {name: _seconds_until(curve, needed) for name, curve in points.groupby("contestant")}
        table[f"as good as {against} after s"] = {name: seconds.median() for name, seconds in until.items()}
        table[f"of the time of {against}"] = {
            name: (seconds / until[against]).median() for name, seconds in until.items()
        }
    return table.sort_values("seconds")


def times_as_long(points: pd.DataFrame, name: str, other: str) -> float:
    """Ratio of the time of `name` to that of `other`: the median over the splits and epochs of both."""
    seconds = points.set_index(["contestant", "split", "epoch"])["seconds"]
    return float((seconds[name] / seconds[other]).median())


def _seconds_until(curve: pd.DataFrame, needed: float) -> pd.Series:
    """Seconds by split until the accuracy is reached; empty if it never is."""
    mean = curve.groupby("epoch")["accuracy"].mean()
    reached = mean.index[mean >= needed]
    is_first = curve["epoch"] == (reached.min() if len(reached) else None)
    return curve[is_first].set_index("split")["seconds"]


def draw(points: pd.DataFrame, path: Path) -> None:
    figure, axes = plt.subplots(figsize=(9, 5.5), layout="constrained")
    for colour, (name, curve) in zip(plt.get_cmap("tab10").colors, curves(points).groupby("contestant"), strict=False):
        for _, own in points[points["contestant"] == name].groupby("split"):
            axes.plot(own["seconds"], 100 * own["accuracy"], color=colour, alpha=0.2, linewidth=0.8)
        axes.plot(curve["seconds"], 100 * curve["accuracy"], "o-", color=colour, markersize=3.5, label=name)
    axes.set_xscale("log")
    axes.set_xticks([10, 20, 50, 100, 200, 500])
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    ends = points.sort_values("epoch").groupby(["contestant", "split"])["accuracy"].last()
    axes.set_ylim(bottom=100 * ends.min() - 2)
    axes.set_xlabel("seconds of training from decoded images")
    axes.set_ylabel("test accuracy on ELPV, %; thick: mean over the splits")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left")
    figure.savefig(path, dpi=130, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--side", type=int, default=160, help="pixels")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--contestants", nargs="+", default=list(CONTESTANTS), choices=ALL, metavar="NAME")
    parser.add_argument("--smoke", action="store_true", help="few small cells, one split; nothing is kept")
    arguments = parser.parse_args()
    if find_spec("fastai") is None and any(name.startswith("fastai") for name in arguments.contestants):
        parser.error("fastai is not in this environment: --help says how to get it; or name contestants without it")
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # of the processes to come
    matplotlib.use("Agg")
    torch.set_num_threads(arguments.threads)
    print(f"{processor()}, torch {torch.__version__}", flush=True)
    with tempfile.TemporaryDirectory() as baseline:
        table, plot = (Path(baseline) / "smoke.csv", Path(baseline) / "smoke.png") if arguments.smoke else (TABLE, PLOT)
        splits = range(1 if arguments.smoke else arguments.splits)
        points = run_all(arguments.contestants, splits, arguments.side, arguments.threads, table, arguments.smoke)
        draw(points, plot)
    print(summary(points).round(2).to_string(na_rep="-"))
    names = set(points["contestant"])
    for name in sorted(names):
        if name + NOT_KEPT in names:
            ratio = times_as_long(points, name + NOT_KEPT, name)
            print(f"{name + NOT_KEPT}: {ratio:.2f} times as long as with freed memory kept")


if __name__ == "__main__":
    main()
