"""Labels saved by transfer: both arms are trained with fewer labels.

Each seed draws its own samples, so that differences between seeds include the variation from the draw. Groups of
samples are drawn whole.
"""

import logging
from collections.abc import Iterator

import numpy as np
import pandas as pd

from graft.core.arms import ARMS, ArmName
from graft.core.artifacts import LABEL_ACCURACIES, LABEL_PREDICTIONS, MANIFEST
from graft.core.table_files import read_parquet, write_csv, write_parquet
from graft.data.manifest import class_names, usable_samples
from graft.experiment.experiment import Experiment
from graft.experiment.subsets import stratified_subset
from graft.project import Project
from graft.selection.result import Selection
from graft.training.defaults import resolve_auto
from graft.training.preemption import Preemption
from graft.training.processes import is_first_process
from graft.transfer.labels_saved import LabelCount, LabelsSaved, claim_of, counts_of, needed_labels
from graft.transfer.predictions import paired_correct, units_of

logger = logging.getLogger(__name__)

READ = [MANIFEST, Selection.NAME, *(files.predictions for files in ARMS.values())]
MIN_PER_CLASS = 2


def count_labels_saved(project: Project) -> None:
    """Trains both arms with shares of the training samples, and writes the estimate of the labels saved."""
    params, manifest = project.params, project.manifest
    fractions, skipped = worth_training(
        manifest, params.count_labels.fractions, params.arms.batch_size, params.arms.seeds
    )
    for fraction, why in skipped.items():
        logger.info(f"{fraction} of the labels: skipped, {why}")
    with_all = _with_all_labels(project, project.num_train)
    trained = pd.concat([with_all.iloc[:0], *_trained(project, fractions)])
    if is_first_process():
        result = _result(project, pd.concat([trained, with_all], ignore_index=True), skipped)
        project.save(result)
        write_csv(project.path(LABEL_ACCURACIES), _accuracies(result.counts, result.seeds))
        write_parquet(project.path(LABEL_PREDICTIONS), trained)
        logger.info(result.claim)


def worth_training(
    manifest: pd.DataFrame, fractions: list[float], batch_size: int, seeds: list[int]
) -> tuple[dict[float, int], dict[str, str]]:
    """Fraction -> number of labels (mean over the seeds), rising; and fraction -> why it is skipped."""
    train = usable_samples(manifest, "train")
    kept: dict[float, int] = {}
    skipped: dict[str, str] = {}
    for fraction in sorted(fractions):
        chosen = [train.iloc[stratified_subset(train, fraction, key=str(seed)).numpy()] for seed in seeds]
        counts = [of_seed["label"].value_counts().reindex(class_names(manifest), fill_value=0) for of_seed in chosen]
        fewest, smallest = min(count.min() for count in counts), min(map(len, chosen))
        num_labels = round(sum(map(len, chosen)) / len(seeds))
        if fewest < MIN_PER_CLASS:
            skipped[f"{fraction:g}"] = f"a class has {fewest} of {num_labels} training samples"
        elif smallest < batch_size:
            skipped[f"{fraction:g}"] = f"{smallest} training samples are less than one batch of {batch_size}"
        elif num_labels in (*kept.values(), len(train)):
            skipped[f"{fraction:g}"] = f"{num_labels} training samples were already tried"
        else:
            kept[fraction] = num_labels
    return kept, skipped


def _trained(project: Project, fractions: dict[float, int]) -> Iterator[pd.DataFrame]:
    """Predictions of both arms per fraction and seed, with the default settings for so few labels."""
    if not fractions:
        return
    experiment, train = Experiment(project), usable_samples(project.manifest, "train")
    seeds, num_classes = project.params.arms.seeds, len(class_names(project.manifest))
    with Preemption() as stop:
        for fraction, num_labels in fractions.items():
            chosen = {seed: stratified_subset(train, fraction, key=str(seed)) for seed in seeds}
            few = resolve_auto(project.params, num_train=len(chosen[seeds[0]]), num_classes=num_classes)
            for arm in ARMS:
                logger.info(f"{num_labels:,} of {len(train):,} labels")
                for seed, indices_N in chosen.items():
                    of_seed = experiment.trainer(arm).with_samples(few, indices_N)
                    runs = of_seed.train(of_seed.tuning.start, [seed], stop)
                    yield of_seed.predictions(runs).assign(arm=arm, num_labels=num_labels)


def _with_all_labels(project: Project, num_labels: int) -> pd.DataFrame:
    """Predictions of the arms' stages."""
    tables = [
        read_parquet(project.path(files.predictions)).assign(arm=arm, num_labels=num_labels)
        for arm, files in ARMS.items()
    ]
    return pd.concat(tables, ignore_index=True)


def _result(project: Project, tables: pd.DataFrame, skipped: dict[str, str]) -> LabelsSaved:
    """
    Args:
        tables: predictions of both arms for all numbers of labels.
    """
    alpha = project.params.check_transfer.alpha
    numbers = sorted(int(number) for number in tables["num_labels"].unique())

    def of(arm: ArmName, number: int) -> pd.DataFrame:
        return tables[(tables["arm"] == arm) & (tables["num_labels"] == number)]

    reference = of("baseline", numbers[-1])
    correct: dict[ArmName, np.ndarray] = {
        arm: np.stack([paired_correct(of(arm, number), reference)[0] for number in numbers]) for arm in ARMS
    }
    groups_N = units_of(reference, project.manifest)
    needed = (
        needed_labels(numbers, correct["transfer"], correct["baseline"][-1], groups_N=groups_N, alpha=alpha)
        if len(numbers) > 1
        else None
    )
    return LabelsSaved(
        inputs=project.hashes(*READ),
        claim=claim_of(needed),
        alpha=alpha,
        seeds=sorted(int(seed) for seed in reference["seed"].unique()),
        num_test=reference["sample_id"].nunique(),
        num_test_units=len(np.unique(groups_N)),
        counts=counts_of(numbers, correct, groups_N=groups_N, alpha=alpha),
        needed=needed,
        skipped=skipped,
    )


def _accuracies(counts: list[LabelCount], seeds: list[int]) -> pd.DataFrame:
    """Accuracies with one row per number of labels and seed, one column per arm."""
    tables = [pd.DataFrame(count.accuracy_per_seed).assign(num_labels=count.num_labels, seed=seeds) for count in counts]
    return pd.concat(tables)[["num_labels", "seed", *ARMS]].round(6)
