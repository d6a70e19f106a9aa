"""Are choices right, and what do they cost? `python -m benchmarks.choice`

Holds the procedure of graft/selection/choice.py, each score alone, and static rules against the truth of
benchmarks/choice_truth.csv (`python -m benchmarks.choice_truth`). Writes benchmarks/choice.csv, a row a task, way of
choosing and source, and prints the table; tasks that are there are kept, so an interrupted run goes on.

    regret   what the chosen source loses against the best one, in points of test accuracy averaged over draws
    tau      weighted Kendall rank correlation of the scores with the truth (Vigna 2015), -1..1
    cost     floating-point operations over those of fine-tuning every source once

The table of 2026-11-22 is in docs/choice.md: mean regret 1.79 points, maximal 20.0, cost 0.14; the best score alone,
the linear probe, 2.36 and 21.4; always the largest 0.78 and 4.0.
"""

import dataclasses
import hashlib
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import weightedtau

from benchmarks.choice_tasks import DATASETS, LABELS_PER_CLASS, ChoiceTask, choice_task
from benchmarks.choice_truth import NUM_DRAWS, TABLE, full_recipe
from graft.config import Params, load_params
from graft.data.transforms import Normalise
from graft.device import pick_device
from graft.errors import HubError
from graft.hub.backbones import backbone_shape
from graft.hub.catalogue import Source, load_catalogue
from graft.hub.weights import load_backbone, load_classifier
from graft.memory import keep_freed_memory
from graft.selection.budget import Budget
from graft.selection.choice import Target, choose_source
from graft.selection.features import embed
from graft.selection.scores import h_score, knn_accuracy, leep, linear_probe, logme, nce, transrate
from graft.training.arms import training_flops
from graft.training.processes import join_processes
from tasks.select import choice_settings

PROJECT = Path(__file__).parents[1]
CHOICES = Path(__file__).with_suffix(".csv")
TASK = ["dataset", "labels_per_class", "draw"]
MAX_SAMPLES = 300
TRIAL_STEPS = 12
TRIAL_BATCH_SIZE = 8
"""Half of the recipe's: the fine-tuning that is cut short here has no more than 200 steps itself."""
PROCEDURE = "the procedure"


def labelled_subset(task: ChoiceTask) -> torch.Tensor:
    """Indices of at most MAX_SAMPLES labelled pictures, as many of each class."""
    labels = task.labels_N[task.labelled_N]
    quota = MAX_SAMPLES // len(labels.unique())
    return torch.cat([task.labelled_N[labels == label][:quota] for label in labels.unique()])


def places_and_cost(task: ChoiceTask, sources: list[Source], params: Params) -> tuple[dict[str, float], float]:
    """source -> minus its place in the procedure's ranking; and what the procedure cost."""
    indices_N = labelled_subset(task)
    pictures_NCHW = task.pictures_NCHW[indices_N]
    target = Target(
        sample_ids=[hashlib.sha256(picture.numpy().tobytes()).hexdigest() for picture in pictures_NCHW],
        labels_N=task.labels_N[indices_N].numpy(),
        load=lambda positions: pictures_NCHW[positions],
        side_px=pictures_NCHW.shape[-1],
    )
    settings = dataclasses.replace(
        choice_settings(params),
        default=None,
        domain=None,
        licences=[source.licence for source in sources],
        max_parameters=None,
        max_gflops=None,
        trial_steps=TRIAL_STEPS,
        recipe_of=lambda num_blocks: dataclasses.replace(
            full_recipe(params, len(task.labelled_N), num_blocks), batch_size=TRIAL_BATCH_SIZE
        ),
    )
    choice = choose_source(sources, target, settings, Budget(1e9), join_processes(pick_device()))
    spent = sum(looked.tflops_spent for looked in choice.looked_at)
    places = {looked.source.name: -float(place) for place, looked in enumerate(choice.ranked())}
    return places, spent / sum(full_tflops(source, task, params) for source in sources)


def full_tflops(source: Source, task: ChoiceTask, params: Params) -> float:
    backbone = backbone_shape(source.architecture)
    recipe = full_recipe(params, len(task.labelled_N), len(backbone.blocks))
    flops = training_flops(
        backbone, task.pictures_NCHW.shape[-1], recipe.phases, num_views=1, num_train=len(task.labelled_N)
    )
    return flops / 1e12


def scores_alone(task: ChoiceTask, sources: list[Source], params: Params) -> dict[str, dict[str, float]]:
    """score -> source -> value; LEEP and NCE only of sources with classes of their own."""
    indices_N = labelled_subset(task)
    pictures_NCHW, labels_N = task.pictures_NCHW[indices_N], task.labels_N[indices_N].numpy()
    of_features: dict[str, Callable[[np.ndarray], float]] = {
        "LogME": lambda features_ND: logme(features_ND, labels_N),
        "H-score": lambda features_ND: h_score(features_ND, labels_N, shrinkage=False),
        "H-score, shrunk": lambda features_ND: h_score(features_ND, labels_N, shrinkage=True),
        "TransRate": lambda features_ND: transrate(features_ND, labels_N),
        "1-NN": lambda features_ND: knn_accuracy(features_ND, labels_N),
        "linear probe": lambda features_ND: float(
            linear_probe(
                features_ND, labels_N, num_folds=params.select.num_folds, num_repeats=params.select.num_repeats,
                regularisation_strength=params.select.regularisation_strength, seed=params.select.seed,
            ).mean()
        ),
    }  # fmt: skip
    found: dict[str, dict[str, float]] = {name: {} for name in [*of_features, "LEEP", "NCE"]}
    for source in sources:
        features_ND = embed(source, load_backbone(source), pictures_NCHW, pick_device()).numpy()
        for name, score in of_features.items():
            found[name][source.name] = score(features_ND)
        probabilities_NZ = source_probabilities(source, pictures_NCHW)
        if probabilities_NZ is not None:
            found["LEEP"][source.name] = leep(probabilities_NZ, labels_N)
            found["NCE"][source.name] = nce(probabilities_NZ, labels_N)
    return found


@torch.inference_mode()
def source_probabilities(source: Source, pictures_NCHW: torch.Tensor) -> np.ndarray | None:
    try:
        classifier = load_classifier(source)
    except HubError:
        return None
    normalise = Normalise.of(source.preprocessing)
    return torch.cat([classifier(normalise(batch)).softmax(dim=1) for batch in pictures_NCHW.split(32)]).numpy()


def static_rules(sources: list[Source]) -> dict[str, dict[str, float]]:
    return {
        "always the largest": {source.name: float(source.num_parameters) for source in sources},
        "always the best on ImageNet": {source.name: source.imagenet_top1 or 0.0 for source in sources},
    }


def rows_of(task: ChoiceTask, sources: list[Source], params: Params) -> list[dict[str, object]]:
    places, cost = places_and_cost(task, sources, params)
    ways = {PROCEDURE: places, **scores_alone(task, sources, params), **static_rules(sources)}
    return [
        {"way": way, "source": name, "score": score, "cost": cost if way == PROCEDURE else None}
        for way, scores in ways.items()
        for name, score in scores.items()
    ]


def main() -> None:
    keep_freed_memory()
    params = load_params(PROJECT / "params.yaml")
    sources = list(load_catalogue(PROJECT / "sources.yaml").values())
    known = pd.read_csv(CHOICES) if CHOICES.exists() else pd.DataFrame(columns=TASK)
    for key in product(DATASETS, LABELS_PER_CLASS, range(NUM_DRAWS)):
        if (known[TASK] == list(key)).all(axis=1).any():
            continue
        task = choice_task(*key)
        rows = [dict(zip(TASK, key, strict=True)) | row for row in rows_of(task, sources, params)]
        known = pd.concat([known, pd.DataFrame(rows)], ignore_index=True)
        known.round(5).to_csv(CHOICES, index=False)
        print(f"{task.name}, draw {key[2]}: done", flush=True)
    print(summary(known, pd.read_csv(TABLE)).to_string(float_format="{:.2f}".format))


def summary(choices: pd.DataFrame, truths: pd.DataFrame) -> pd.DataFrame:
    """One row a way of choosing, the smallest mean regret first."""
    truth = truths.groupby(["dataset", "labels_per_class", "source"])["accuracy"].mean()
    rows = []
    for key, of_task in choices.groupby([*TASK, "way"]):
        of_sources = truth[key[:2]]
        scores = of_task.set_index("source")["score"]
        rows.append(
            {
                "way": key[-1],
                "regret": 100 * (of_sources.max() - of_sources[scores.idxmax()]),
                "tau": weightedtau(of_sources[scores.index], scores).statistic,
                "cost": of_task["cost"].mean(),
            }
        )
    random = [
        {"way": "random", "regret": 100 * (group.max() - group.mean()), "tau": 0.0}
        for _, group in truth.groupby(level=[0, 1])
    ]
    by_way = pd.DataFrame(rows + random).groupby("way")
    table = by_way.agg(
        mean_regret=("regret", "mean"), maximal_regret=("regret", "max"), tau=("tau", "mean"), cost=("cost", "mean")
    )
    return table.sort_values("mean_regret")


if __name__ == "__main__":
    main()
