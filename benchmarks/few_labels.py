"""Methods of fine-tuning on few labels: the evidence for the table of `auto` (graft/training/defaults.py).

    python -m benchmarks.few_labels                # on 2 cores about two hours; continues where it was interrupted
    python -m benchmarks.few_labels --summary      # only prints the existing table

ELPV, Fashion-MNIST, MNIST and UCI digits with 5, 20 and 100 labels per class, three draws each, tested on 1,000 other
images (benchmarks/choice_tasks.py) at 96 px (ELPV) and 64 px. Two sources: efficientnet_lite0, and
drawings_efficientnet_b0 for three variants, so that the distance of the domain changes too. The recipe is that of
params.yaml with 200 steps or three epochs, whichever is more, unless a variant says otherwise; one view. ELPV counts
the mean over its classes, as in benchmarks/choice_truth.py.

The table that is committed (2026-11-22, 2 cores of an AMD EPYC, torch 2.14.1) has all of the first source but the two
settings of steps, and of the second source the first draw.

Writes benchmarks/few_labels.csv, one row per source, data set, labels per class, draw and variant: accuracy 0..1,
TFLOPs of the training, and the source's BatchNorm shift on that data set.
"""

import argparse
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from benchmarks.choice_tasks import DATASETS, LABELS_PER_CLASS, choice_task
from graft.core.config import Params
from graft.core.device import pick_device
from graft.core.memory import keep_freed_memory
from graft.core.params_file import load_params
from graft.experiment.recipes import finetune_recipe
from graft.hub.catalogue import load_catalogue
from graft.hub.weights import load_backbone
from graft.modalities.image.inputs import Normalise
from graft.networks.backbones import backbone_shape
from graft.networks.batchnorm_shift import batchnorm_shift
from graft.selection.short_tuning import ShortFineTuning
from graft.statistics.intervals import mean_interval
from graft.training.activations import CacheBudget
from graft.training.flops import training_flops
from graft.training.processes import join_processes
from graft.training.recipe import Recipe, num_batches, shortened

PROJECT = Path(__file__).parents[1]
TABLE = Path(__file__).with_suffix(".csv")
NUM_DRAWS = 3
SIDE_PX = {"elpv": 96, "fashion": 64, "mnist": 64, "digits": 64}
NUM_STEPS = 200
MIN_EPOCHS = 3
NUM_COMPARED = 64
"""Images that the BatchNorm shift is measured on."""
SETTLED = {
    "num_epochs": 6, "probe_epochs": 4, "num_trained_blocks": 6, "backbone_learning_rate": 1e-3,
    "batchnorm_statistics": "source",
}  # fmt: skip
"""Values used instead of `auto`; the epochs only set the shares of the steps in variants with two phases."""
AGAINST = "partial"
CELL = ["source", "dataset", "labels_per_class", "draw"]
KEYS = [*CELL, "way"]


@dataclass(frozen=True)
class Variant:
    finetune: dict[str, Any]
    """Changes to params.finetune."""
    num_steps: int = NUM_STEPS


VARIANTS = {
    "linear_probe": Variant({"method": "linear_probe"}),
    "partial": Variant({"method": "partial", "num_trained_blocks": 6}),
    "full": Variant({"method": "full"}),
    "lp_ft": Variant({"method": "lp_ft", "num_trained_blocks": None}),
    "lp_ft, 6 blocks": Variant({"method": "lp_ft", "num_trained_blocks": 6}),
    "gradual_unfreeze": Variant({"method": "gradual_unfreeze", "num_trained_blocks": None}),
    "lora": Variant({"method": "lora", "num_trained_blocks": None}),
    "partial, statistics of the target": Variant(
        {"method": "partial", "num_trained_blocks": 6, "batchnorm_statistics": "target"}
    ),
    "full, statistics of the target": Variant({"method": "full", "batchnorm_statistics": "target"}),
    "partial, 2 blocks": Variant({"method": "partial", "num_trained_blocks": 2}),
    "partial, 100 steps": Variant({"method": "partial", "num_trained_blocks": 6}, num_steps=100),
    "partial, 400 steps": Variant({"method": "partial", "num_trained_blocks": 6}, num_steps=400),
    "full, rate / 3": Variant({"method": "full", "backbone_learning_rate": 3e-4}),
    "partial, rate / 3": Variant({"method": "partial", "num_trained_blocks": 6, "backbone_learning_rate": 3e-4}),
    "lp_ft, rate / 3": Variant({"method": "lp_ft", "num_trained_blocks": None, "backbone_learning_rate": 3e-4}),
}
SETTINGS = ["partial, 100 steps", "partial, 400 steps"]
PLAN = [
    ("efficientnet_lite0", [variant for variant in VARIANTS if variant not in SETTINGS]),
    ("drawings_efficientnet_b0", ["partial", "full", "full, rate / 3"]),
    ("efficientnet_lite0", SETTINGS),
]
"""Runs in this order; unfinished ones are missing from the table, and so from the summary."""


def recipe_of(variant: Variant, params: Params, num_samples: int, num_blocks: int) -> Recipe:
    finetune = params.finetune.model_copy(update=SETTLED | variant.finetune)
    recipe = finetune_recipe(params.model_copy(update={"finetune": finetune}), num_blocks)
    num_steps = max(variant.num_steps, MIN_EPOCHS * num_batches(num_samples, recipe.batch_size))
    return shortened(recipe, num_steps, num_samples)


def run_cell(
    source_name: str, dataset: str, labels_per_class: int, draw: int, variants: list[str]
) -> list[dict[str, Any]]:
    """All `variants` on one task, one row each. Frozen activations are computed once and shared by all variants."""
    torch.set_num_threads(1)
    keep_freed_memory()
    params = load_params(PROJECT / "params.yaml")
    source = load_catalogue(PROJECT / "sources.yaml")[source_name]
    side_px = SIDE_PX[dataset]
    task = choice_task(dataset, labels_per_class, draw, side_px)
    backbone = load_backbone(source)
    shift = batchnorm_shift(backbone, Normalise.of(source.preprocessing)(task.images_NCHW[:NUM_COMPARED]))
    trial = ShortFineTuning(
        source, backbone, task.images_NCHW, task.labels_N,
        dropout=params.arms.dropout, fabric=join_processes(pick_device()), budget=CacheBudget(),
    )  # fmt: skip
    num_train = len(task.labelled_N)
    measure = balanced_accuracy_score if task.is_lopsided else accuracy_score
    shape = backbone_shape(source.architecture)
    rows = []
    for name in variants:
        recipe = recipe_of(VARIANTS[name], params, num_train, len(backbone.blocks))
        model = trial.fine_tuned(task.labelled_N, recipe, seed=draw)
        predicted_M = trial.probabilities(model, task.test_M).argmax(dim=1)
        cost = training_flops(shape, side_px, recipe.phases, num_views=1, num_train=num_train)
        outcome = {
            "accuracy": round(float(measure(task.labels_N[task.test_M], predicted_M)), 4),
            "tflops": round(cost / 1e12, 4),
            "batchnorm_shift": None if shift is None else round(shift, 3),
        }
        rows.append(dict(zip(KEYS, (source_name, dataset, labels_per_class, draw, name), strict=True)) | outcome)
    return rows


def run_all(table: Path, num_processes: int) -> pd.DataFrame:
    """Fills the table; a cell's rows are written together."""
    known = pd.read_csv(table) if table.exists() else pd.DataFrame(columns=KEYS)
    done = set(known[KEYS].itertuples(index=False, name=None))
    cells = [
        ((source, *cell), missing)
        for source, variants in PLAN
        for cell in _cells()
        if (missing := [variant for variant in variants if (source, *cell, variant) not in done])
    ]
    with ProcessPoolExecutor(num_processes, get_context("spawn")) as pool:
        running = {pool.submit(run_cell, *cell, variants): cell for cell, variants in cells}
        for number, future in enumerate(as_completed(running), start=1):
            rows = pd.DataFrame(future.result())
            known = pd.concat([known, rows], ignore_index=True) if len(known) else rows
            known.sort_values(KEYS).to_csv(table, index=False)
            print(f"{number} of {len(cells)}: {running[future]}", flush=True)
    return known


def _cells() -> Iterator[tuple[str, int, int]]:
    """Data set, labels per class and draw of each cell, draw by draw."""
    for draw, labels_per_class, dataset in product(range(NUM_DRAWS), LABELS_PER_CLASS, DATASETS):
        yield dataset, labels_per_class, draw


def differences(rows: pd.DataFrame) -> pd.DataFrame:
    """Results by source, labels per class and variant: mean accuracy in percent, and points above `AGAINST` on the same
    cells with a 95 % interval (Student's t over n pairs of data set and draw)."""
    by_cell = rows.pivot_table(index=CELL, columns="way", values="accuracy")
    lines = []
    for (source, labels_per_class), cells in by_cell.groupby(["source", "labels_per_class"]):
        for variant in (name for name in VARIANTS if name in cells):
            both = pd.concat([cells[variant], cells[AGAINST]], axis=1).dropna()
            if len(both) < 2:
                continue
            gains = 100 * (both.iloc[:, 0] - both.iloc[:, -1]).to_numpy() if variant != AGAINST else None
            gain = mean_interval(gains, confidence=0.95) if gains is not None else None
            tflops = rows[rows["way"].eq(variant) & rows["source"].eq(source)]
            tflops = tflops[tflops["labels_per_class"] == labels_per_class]["tflops"].mean()
            lines.append(
                {
                    "source": source, "labels": labels_per_class, "method": variant, "n": len(both),
                    "accuracy": 100 * both.iloc[:, 0].mean(), "TFLOPs": tflops,
                    f"above {AGAINST}": "" if gain is None else f"{gain.mean:+.1f} [{gain.low:+.1f}, {gain.high:+.1f}]",
                }
            )  # fmt: skip
    return pd.DataFrame(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2, help="of one thread each")
    parser.add_argument("--summary", action="store_true")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes to come
    rows = pd.read_csv(TABLE) if arguments.summary else run_all(TABLE, arguments.processes)
    print(differences(rows).round(2).to_string(index=False))


if __name__ == "__main__":
    main()
