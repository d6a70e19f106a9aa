"""Accuracy against time: Graft's methods, fastai's `fine_tune` and a plain PyTorch loop."""

import argparse
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import matplotlib
import pandas as pd
import torch
from matplotlib import pyplot as plt

from benchmarks.features import processor
from benchmarks.finetune_contestants import CONTESTANTS
from benchmarks.finetune_task import Clock, Point, decode_cells, read_task

KEYS = ["contestant", "side_px", "threads", "split"]
COLUMNS = [*KEYS, "epoch", "seconds", "accuracy", "accuracy_one_view"]
PROJECT = Path(__file__).parents[1]
TABLE = Path(__file__).with_suffix(".csv")
PICTURE = PROJECT / "docs" / "finetune_speed.png"
DEFAULT = list(CONTESTANTS)
SMOKE_CELLS, SMOKE_SIDE_PX = 200, 64


def run(name: str, folder: Path, side_px: int, split: int, num_threads: int) -> list[Point]:
    """In a process of its own, so that no contestant trains with what another did to the memory or to torch."""
    torch.set_num_threads(num_threads)
    task = read_task(folder, side_px, split)
    clock = Clock(task)
    CONTESTANTS[name].run(task, clock)
    return clock.points


def run_all(
    names: list[str], splits: range, side_px: int, num_threads: int, table: Path, is_smoke: bool = False
) -> pd.DataFrame:
    """Contestants take turns, split by split; those that are in the table already are kept."""
    sides_px = {name: SMOKE_SIDE_PX if is_smoke else CONTESTANTS[name].side_px or side_px for name in names}
    known = pd.read_csv(table) if table.exists() else pd.DataFrame(columns=COLUMNS)
    with tempfile.TemporaryDirectory() as scratch:
        decode_cells(Path(scratch), set(sides_px.values()), SMOKE_CELLS if is_smoke else None)
        for split, name in product(splits, names):
            key = [name, sides_px[name], num_threads, split]
            if (known[KEYS] == key).all(axis=1).any():
                continue
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                points = pool.submit(run, name, Path(scratch), sides_px[name], split, num_threads).result()
            rows = pd.DataFrame([dict(zip(KEYS, key, strict=True)) | asdict(point) for point in points])
            known = pd.concat([known, rows], ignore_index=True) if len(known) else rows
            rounded = known.sort_values([*KEYS, "epoch"]).round({"seconds": 2, "accuracy": 4, "accuracy_one_view": 4})
            rounded.to_csv(table, index=False)
            print(f"split {split}: {name} {points[-1].accuracy:.1%}, {points[-1].seconds:.0f} s", flush=True)
    is_meant = known["contestant"].isin(names) & (known["threads"] == num_threads)
    return known[is_meant & (known["side_px"] == known["contestant"].map(sides_px))]


def curves(points: pd.DataFrame) -> pd.DataFrame:
    """One row a contestant and epoch: the mean accuracy over the splits, the median of the seconds."""
    grouped = points.groupby(["contestant", "epoch"])
    return grouped.agg(seconds=("seconds", "median"), accuracy=("accuracy", "mean")).reset_index()


def summary(points: pd.DataFrame, against: str = "fastai") -> pd.DataFrame:
    """One row a contestant; accuracies in percent.

    A contestant has reached `against` at its first epoch with a mean accuracy over the splits that is at least the one
    that `against` ends with; the ratio is the median over the splits of the seconds until then, held against those of
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


def _seconds_until(curve: pd.DataFrame, needed: float) -> pd.Series:
    """By split; empty where it was never reached."""
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
    axes.set_ylim(bottom=100 * points["accuracy"].quantile(0.1))
    axes.set_xlabel("seconds of training from decoded pictures")
    axes.set_ylabel("test accuracy on ELPV, %; thick: mean over the splits")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=130, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--side", type=int, default=160, help="pixels")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--contestants", nargs="+", default=DEFAULT, choices=CONTESTANTS, metavar="NAME")
    parser.add_argument("--smoke", action="store_true", help="few small cells, one split; nothing is kept")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # of the processes to come
    matplotlib.use("Agg")
    print(f"{processor()}; {arguments.threads} threads a contestant; torch {torch.__version__}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        table, picture = (
            (Path(scratch) / "smoke.csv", Path(scratch) / "smoke.png") if arguments.smoke else (TABLE, PICTURE)
        )
        splits = range(1 if arguments.smoke else arguments.splits)
        points = run_all(arguments.contestants, splits, arguments.side, arguments.threads, table, arguments.smoke)
        draw(points, picture)
    print(summary(points).round(2).to_string(na_rep="never"))


if __name__ == "__main__":
    main()
