"""Accuracy of every source fine-tuned on every task: the truth that choices are compared with.

    python -m benchmarks.choice_truth

Writes benchmarks/choice_truth.csv, one row per source, data set, labels per class and draw; existing rows are
kept, so an interrupted run continues. Each training is the loop of the pipeline with its recipe (params.yaml), but one
view, 200 steps or three epochs, the last four blocks trained, and the images of benchmarks/choice_tasks.py; it is
tested on 1,000 other images, at 160 px on 600. ELPV's hold twice as many functional cells as defective ones, and the
classes of emoji differ as much; there the mean over classes counts, since the labelled images are as many of each
class. At 160 px the sources are those that `select.max_gflops` of params.yaml allows: aerial_resnet18 takes 20 minutes
there.
"""

import time
from itertools import product
from pathlib import Path

import pandas as pd
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from benchmarks.choice_tasks import DATASETS, LABELS_PER_CLASS, LARGE_SIDE_PX, LARGE_TASKS, ChoiceTask, choice_task
from graft.core.config import Params
from graft.core.device import pick_device
from graft.core.memory import keep_freed_memory
from graft.core.params_file import load_params
from graft.experiment.recipes import finetune_recipe
from graft.hub.catalogue import Source, load_catalogue
from graft.hub.weights import load_backbone
from graft.selection.prior import gflops_of
from graft.selection.short_tuning import ShortFineTuning
from graft.training.activations import CacheBudget
from graft.training.processes import join_processes
from graft.training.recipe import Recipe, num_batches, shortened

PROJECT = Path(__file__).parents[1]
TABLE = Path(__file__).with_suffix(".csv")
KEYS = ["dataset", "labels_per_class", "draw", "source"]
NUM_DRAWS = 3
NUM_LARGE_DRAWS = 1
MIN_STEPS = 200
MIN_EPOCHS = 3
NUM_TRAINED_BLOCKS = 4


def full_recipe(params: Params, num_samples: int, num_blocks: int) -> Recipe:
    """Recipe of the pipeline for this number of samples, with the last blocks trained."""
    num_epochs = max(MIN_EPOCHS, MIN_STEPS * params.arms.batch_size / num_samples)
    partial = {
        "method": "partial", "num_trained_blocks": NUM_TRAINED_BLOCKS, "num_epochs": MIN_EPOCHS,
        "backbone_learning_rate": 0.001, "batchnorm_statistics": "target",
    }  # fmt: skip
    finetune = params.finetune.model_copy(update=partial)
    recipe = finetune_recipe(params.model_copy(update={"finetune": finetune}), num_blocks)
    return shortened(recipe, round(num_epochs * num_batches(num_samples, recipe.batch_size)), num_samples)


def all_tasks() -> list[tuple[str, int, int]]:
    """Data set, labels per class and draw of each task: the tasks of 160 px, then the small ones."""
    small = [(dataset, labels, draw) for draw, labels, dataset in product(range(NUM_DRAWS), LABELS_PER_CLASS, DATASETS)]
    return [(*task, draw) for draw, task in product(range(NUM_LARGE_DRAWS), LARGE_TASKS)] + small


def sources_for(dataset: str, params: Params) -> list[Source]:
    """Sources of the catalogue; at 160 px only those within `select.max_gflops`."""
    sources = list(load_catalogue(PROJECT / "sources.yaml").values())
    if dataset in DATASETS or params.select.max_gflops is None:
        return sources
    return [source for source in sources if gflops_of(source, LARGE_SIDE_PX) <= params.select.max_gflops]


def train_all(table: Path = TABLE) -> pd.DataFrame:
    params = load_params(PROJECT / "params.yaml")
    known = pd.read_csv(table) if table.exists() else pd.DataFrame(columns=[*KEYS, "accuracy", "seconds"])
    for dataset, labels_per_class, draw in all_tasks():
        keys = [[dataset, labels_per_class, draw, source.name] for source in sources_for(dataset, params)]
        if all((known[KEYS] == key).all(axis=1).any() for key in keys):
            continue
        task = choice_task(dataset, labels_per_class, draw)
        for key, source in zip(keys, sources_for(dataset, params), strict=True):
            if (known[KEYS] == key).all(axis=1).any():
                continue
            row = dict(zip(KEYS, key, strict=True)) | fine_tune(source, task, params)
            known = pd.concat([known, pd.DataFrame([row])], ignore_index=True)
            known.sort_values(KEYS).round({"accuracy": 4, "seconds": 2}).to_csv(table, index=False)
            print(f"{task.name}, draw {draw}: {source.name} {row['accuracy']:.1%}, {row['seconds']:.0f} s", flush=True)
    return known


def fine_tune(source: Source, task: ChoiceTask, params: Params) -> dict[str, float]:
    """Test accuracy, 0..1, and the seconds of training, frozen blocks included."""
    started_s = time.monotonic()
    backbone = load_backbone(source)
    trial = ShortFineTuning(
        source,
        backbone,
        task.images_NCHW,
        task.labels_N,
        dropout=params.arms.dropout,
        fabric=join_processes(pick_device()),
        budget=CacheBudget(),
    )
    labelled_share = len(task.labelled_N) / len(task.labels_N)
    frozen_s = (time.monotonic() - started_s) * labelled_share
    started_s = time.monotonic()
    recipe = full_recipe(params, len(task.labelled_N), len(backbone.blocks))
    model = trial.fine_tuned(task.labelled_N, recipe, seed=0)
    trained_s = time.monotonic() - started_s
    measure = balanced_accuracy_score if task.is_lopsided else accuracy_score
    probabilities_MK = trial.probabilities(model, task.test_M)
    return {
        "accuracy": float(measure(task.labels_N[task.test_M], probabilities_MK.argmax(dim=1))),
        "seconds": frozen_s + trained_s,
    }


if __name__ == "__main__":
    keep_freed_memory()
    train_all()
