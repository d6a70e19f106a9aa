"""Accuracy and cost of the choice of a source: `python -m benchmarks.choice`

Compares the procedure of graft/selection/choice.py, each score alone, and static rules with the true accuracies of
benchmarks/choice_truth.csv (`python -m benchmarks.choice_truth`). Writes benchmarks/choice.csv, one row per task,
method and source, and prints the table; existing tasks are kept, so an interrupted run continues.

    regret   loss of the chosen source compared with the best source, in points of test accuracy averaged over draws
    tau      weighted Kendall rank correlation of the scores with the truth (Vigna 2015), -1..1
    cost     floating-point operations over those of fine-tuning every source once

The tables of 2026-11-27 are in docs/choice.md. Tasks of 160 px and small ones are listed separately, and so are the
tasks that the procedure was designed on (`benchmarks.choice_tasks.DESIGN`) and the others.
"""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import weightedtau

from benchmarks.choice_tasks import DESIGN, LARGE_DATASETS, LARGE_SIDE_PX, SIDE_PX, ChoiceTask, choice_task
from benchmarks.choice_truth import TABLE, all_tasks, full_recipe, sources_for
from graft.core.config import Params
from graft.core.device import pick_device
from graft.core.errors import HubError
from graft.core.memory import keep_freed_memory
from graft.core.params_file import load_params
from graft.experiment.source_choice import choice_settings
from graft.hub.catalogue import Source
from graft.hub.weights import load_backbone, load_classifier
from graft.modalities.image.inputs import Normalise
from graft.networks.backbones import backbone_shape
from graft.selection.budget import TimeBudget
from graft.selection.choice import Target, choose_source
from graft.selection.features import embed
from graft.selection.prior import gflops_of, strongest
from graft.selection.scores import h_score, knn_accuracy, leep, linear_probe, logme, nce, transrate
from graft.training.flops import training_flops
from graft.training.processes import join_processes

PROJECT = Path(__file__).parents[1]
CHOICES = Path(__file__).with_suffix(".csv")
TASK = ["dataset", "labels_per_class", "draw"]
MAX_SAMPLES = 300
TRIAL_STEPS = 12
TRIAL_BATCH_SIZE = 8
"""Batch size of the trials, half of the recipe's: a whole fine-tuning here has only 200 steps."""
PROCEDURE = "the procedure"
NUM_DRAWS_CHOSEN_ON = 1
"""Number of draws used for choices, of those that the truth is averaged over."""


def labelled_subset(task: ChoiceTask) -> torch.Tensor:
    """Indices of at most MAX_SAMPLES labelled images, equally many per class."""
    labels = task.labels_N[task.labelled_N]
    quota = MAX_SAMPLES // len(labels.unique())
    return torch.cat([task.labelled_N[labels == label][:quota] for label in labels.unique()])


def places_and_cost(
    task: ChoiceTask, sources: list[Source], params: Params
) -> tuple[dict[str, dict[str, float]], float]:
    """Scores by method and source, and the relative cost of the procedure.

    The procedure's score of a source is minus its place in the ranking; the others are computed along the way.
    """
    indices_N = labelled_subset(task)
    images_NCHW = task.images_NCHW[indices_N]
    target = Target(
        sample_ids=[hashlib.sha256(image.numpy().tobytes()).hexdigest() for image in images_NCHW],
        labels_N=task.labels_N[indices_N].numpy(),
        load=lambda positions: images_NCHW[positions],
        side_px=images_NCHW.shape[-1],
        groups_N=task.groups_N[indices_N.numpy()],
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
    choice = choose_source(sources, target, settings, TimeBudget(1e9), join_processes(pick_device()))
    spent = sum(evaluation.tflops_spent for evaluation in choice.evaluations)
    ranked = choice.ranked()
    ways = {
        PROCEDURE: {evaluation.source.name: -float(place) for place, evaluation in enumerate(ranked)},
        "linear probe": {evaluation.source.name: float(evaluation.probed.probe_F.mean()) for evaluation in ranked},
        "1-NN": {evaluation.source.name: evaluation.probed.knn_accuracy for evaluation in ranked},
        "LogME": {evaluation.source.name: evaluation.scores["logme"] for evaluation in ranked},
        "H-score, shrunk": {evaluation.source.name: evaluation.scores["h_score"] for evaluation in ranked},
        "TransRate": {evaluation.source.name: evaluation.scores["transrate"] for evaluation in ranked},
    }
    return ways, spent / sum(full_tflops(source, task, params) for source in sources)


def full_tflops(source: Source, task: ChoiceTask, params: Params) -> float:
    backbone = backbone_shape(source.architecture)
    recipe = full_recipe(params, len(task.labelled_N), len(backbone.blocks))
    flops = training_flops(
        backbone, task.images_NCHW.shape[-1], recipe.phases, num_views=1, num_train=len(task.labelled_N)
    )
    return flops / 1e12


def scores_alone(task: ChoiceTask, sources: list[Source], params: Params) -> dict[str, dict[str, float]]:
    """Values by score and source; LEEP and NCE only for sources with classes of their own."""
    indices_N = labelled_subset(task)
    images_NCHW, labels_N = task.images_NCHW[indices_N], task.labels_N[indices_N].numpy()
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
        features_ND = embed(source, load_backbone(source), images_NCHW, pick_device()).numpy()
        for name, score in of_features.items():
            found[name][source.name] = score(features_ND)
        probabilities_NZ = source_probabilities(source, images_NCHW)
        if probabilities_NZ is not None:
            found["LEEP"][source.name] = leep(probabilities_NZ, labels_N)
            found["NCE"][source.name] = nce(probabilities_NZ, labels_N)
    return found


@torch.inference_mode()
def source_probabilities(source: Source, images_NCHW: torch.Tensor) -> np.ndarray | None:
    try:
        classifier = load_classifier(source)
    except HubError:
        return None
    normalise = Normalise.of(source.preprocessing)
    return torch.cat([classifier(normalise(batch)).softmax(dim=1) for batch in images_NCHW.split(32)]).numpy()


def static_rules(sources: list[Source], side_px: int) -> dict[str, dict[str, float]]:
    """Scores by method and source of rules that use the catalogue alone."""
    prior = strongest(sources, {source.name: gflops_of(source, side_px) for source in sources})
    always = {
        f"always {constant.name}": {source.name: float(source is constant) for source in sources}
        for constant in sources
    }
    return always | {
        "the default alone": {source.name: float(source.name == prior) for source in sources},
        "always the largest": {source.name: float(source.num_parameters) for source in sources},
        "always the best on ImageNet": {source.name: source.imagenet_top1 or 0.0 for source in sources},
    }


def rows_of(task: ChoiceTask, sources: list[Source], params: Params, known: set[str]) -> list[dict[str, object]]:
    """Rows of all methods on one task that are not known yet.

    Args:
        known: methods whose rows exist.
    """
    found, cost = places_and_cost(task, sources, params)
    if not known and not task.is_large:  # at 160 px only the scores that the procedure computes are used
        found |= scores_alone(task, sources, params)
    ways = {way: scores for way, scores in found.items() if way not in known}
    return [
        {"way": way, "source": name, "score": score, "cost": cost if way == PROCEDURE else None}
        for way, scores in ways.items()
        for name, score in scores.items()
    ]


def main() -> None:
    keep_freed_memory()
    params = load_params(PROJECT / "params.yaml")
    known = pd.read_csv(CHOICES) if CHOICES.exists() else pd.DataFrame(columns=[*TASK, "way"])
    for key in all_tasks():
        if key[-1] >= NUM_DRAWS_CHOSEN_ON:
            continue
        ways = set(known.loc[(known[TASK] == list(key)).all(axis=1), "way"])
        if PROCEDURE in ways:
            continue
        task = choice_task(*key)
        rows = rows_of(task, sources_for(key[0], params), params, ways)
        known = pd.concat([known, pd.DataFrame([dict(zip(TASK, key, strict=True)) | row for row in rows])])
        known.sort_values([*TASK, "way"], kind="stable").round(5).to_csv(CHOICES, index=False)
        print(f"{task.name}, draw {key[2]}: done", flush=True)
    for title, table in tables(with_static_rules(known, params), pd.read_csv(TABLE)).items():
        print(f"\n{title}\n{table.to_string(float_format='{:.2f}'.format)}")


def with_static_rules(choices: pd.DataFrame, params: Params) -> pd.DataFrame:
    rows = []
    for key in choices[TASK].drop_duplicates().itertuples(index=False):
        side_px = SIDE_PX.get(key[0], LARGE_SIDE_PX)
        for way, scores in static_rules(sources_for(key[0], params), side_px).items():
            rows += [
                dict(zip(TASK, key, strict=True)) | {"way": way, "source": name, "score": score}
                for name, score in scores.items()
            ]
    return pd.concat([choices, pd.DataFrame(rows)], ignore_index=True)


def tables(choices: pd.DataFrame, truths: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Tables by title: for each size of task, all tasks and both halves separately."""
    is_large = choices["dataset"].isin(LARGE_DATASETS)
    is_design = pd.Series(zip(choices["dataset"], choices["labels_per_class"], strict=True)).isin(DESIGN)
    parts = {"all": is_design | True, "designed on": is_design, "held out": ~is_design}
    return {
        f"{size}, {part}": summary(choices[is_size & is_part], truths)
        for size, is_size in {"160 px": is_large, "32 to 48 px": ~is_large}.items()
        for part, is_part in parts.items()
    }


def summary(choices: pd.DataFrame, truths: pd.DataFrame) -> pd.DataFrame:
    """One row per method, the smallest mean regret first."""
    truth = truths.groupby(["dataset", "labels_per_class", "source"])["accuracy"].mean()
    rows = []
    for key, of_task in choices.groupby([*TASK, "way"]):
        of_sources = truth[key[:2]]
        scores = of_task.set_index("source")["score"]
        rows.append(
            {
                "method": key[-1],
                "regret": 100 * (of_sources.max() - of_sources[scores.idxmax()]),
                "tau": weightedtau(of_sources[scores.index], scores).statistic,
                "cost": of_task["cost"].mean(),
            }
        )
    by_method = pd.DataFrame(rows).groupby("method")
    table = by_method.agg(
        num_choices=("regret", "size"), mean_regret=("regret", "mean"), maximal_regret=("regret", "max"),
        tau=("tau", "mean"), cost=("cost", "mean"),
    )  # fmt: skip
    return table.sort_values("mean_regret")


if __name__ == "__main__":
    main()
