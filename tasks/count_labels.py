"""count_labels: both arms with fewer labels -> labels/ (result.json, accuracies.csv, predictions.parquet)

Each seed has samples of its own choice, so that what its model differs by from another's counts the luck of the choice.
Groups of samples are chosen whole.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from graft.core.artifacts import ARM_FOLDERS, ArmName, hash_inputs
from graft.core.config import Params
from graft.core.table_files import read_parquet, write_csv, write_parquet
from graft.data.manifest import class_names, read_manifest, usable_samples
from graft.experiment.subsets import stratified_subset
from graft.training.preemption import Preemption
from graft.training.processes import is_first_process
from graft.transfer.labels_saved import LabelCount, LabelsSaved, claim_of, counts_of, needed_labels
from graft.transfer.predictions import paired_correct, units_of
from tasks.arms import scratch_arm, transfer_arm
from tasks.recipe import settled
from tasks.stage import ARTIFACTS, run_stage
from tasks.train_arm import read_source, ready_arms

LABELS = ARTIFACTS / "labels"
READ = ["manifest.parquet", "selection.json", *(f"{folder}/predictions.parquet" for folder in ARM_FOLDERS.values())]
MIN_PER_CLASS = 2


def count_labels(params: Params) -> None:
    manifest = read_manifest(ARTIFACTS / "manifest.parquet")
    num_all = len(usable_samples(manifest, "train"))
    fractions, skipped = worth_training(
        manifest, params.count_labels.fractions, params.arms.batch_size, params.arms.seeds
    )
    for fraction, why in skipped.items():
        print(f"{fraction} of the labels: left out, {why}", flush=True)
    with_all = _with_all_labels(num_all)
    trained = pd.concat([with_all.iloc[:0], *_trained(params, manifest, fractions)])
    if is_first_process():
        tables = pd.concat([trained, with_all], ignore_index=True)
        result = _result(params, manifest, tables, skipped)
        result.save(LABELS / "result.json")
        write_csv(LABELS / "accuracies.csv", _accuracies(result.counts, result.seeds))
        write_parquet(LABELS / "predictions.parquet", trained)
        print(result.claim)


def worth_training(
    manifest: pd.DataFrame, fractions: list[float], batch_size: int, seeds: list[int]
) -> tuple[dict[float, int], dict[str, str]]:
    """Fraction -> number of labels (mean over the seeds), rising; and fraction -> why it is left out."""
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
            skipped[f"{fraction:g}"] = f"{num_labels} training samples are had already"
        else:
            kept[fraction] = num_labels
    return kept, skipped


def _trained(params: Params, manifest: pd.DataFrame, fractions: dict[float, int]) -> Iterator[pd.DataFrame]:
    """Predictions of both arms for each fraction of the labels and seed, with what a user with so few would get."""
    if not fractions:
        return
    source, train = read_source(), usable_samples(manifest, "train")
    with_all = settled(params, manifest)
    ready = ready_arms(with_all, source, manifest, transfer_arm(with_all, source), scratch_arm(with_all, source))
    with Preemption() as stop:
        for fraction, num_labels in fractions.items():
            chosen = {seed: stratified_subset(train, fraction, key=str(seed)) for seed in params.arms.seeds}
            few = settled(params, _without(manifest, train.drop(chosen[params.arms.seeds[0]].tolist())))
            for arm in (transfer_arm(few, source), scratch_arm(few, source)):
                print(f"{num_labels:,} of {len(train):,} labels", flush=True)
                for seed, indices_N in chosen.items():
                    of_seed = ready[arm.name].with_samples(few, arm, indices_N)
                    runs = of_seed.train(of_seed.tuning.start, [seed], stop)
                    yield of_seed.predictions(runs).assign(arm=arm.name, num_labels=num_labels)


def _without(manifest: pd.DataFrame, unlabelled: pd.DataFrame) -> pd.DataFrame:
    return manifest[~manifest["sample_id"].isin(unlabelled["sample_id"])]


def _with_all_labels(num_labels: int) -> pd.DataFrame:
    """What the stages finetune and scratch left."""
    tables = [
        read_parquet(ARTIFACTS / folder / "predictions.parquet").assign(arm=arm, num_labels=num_labels)
        for arm, folder in ARM_FOLDERS.items()
    ]
    return pd.concat(tables, ignore_index=True)


def _result(params: Params, manifest: pd.DataFrame, tables: pd.DataFrame, skipped: dict[str, str]) -> LabelsSaved:
    """
    Args:
        tables: of both arms and all numbers of labels.
    """
    alpha = params.check_transfer.alpha
    numbers = sorted(int(number) for number in tables["num_labels"].unique())

    def of(arm: ArmName, number: int) -> pd.DataFrame:
        return tables[(tables["arm"] == arm) & (tables["num_labels"] == number)]

    reference = of("scratch", numbers[-1])
    correct: dict[ArmName, np.ndarray] = {
        arm: np.stack([paired_correct(of(arm, number), reference)[0] for number in numbers]) for arm in ARM_FOLDERS
    }
    groups_N = units_of(reference, manifest)
    needed = (
        needed_labels(numbers, correct["transfer"], correct["scratch"][-1], groups_N=groups_N, alpha=alpha)
        if len(numbers) > 1
        else None
    )
    return LabelsSaved(
        inputs=hash_inputs(ARTIFACTS, *READ),
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
    """One row a number of labels and seed, one column an arm."""
    tables = [pd.DataFrame(count.accuracy_per_seed).assign(num_labels=count.num_labels, seed=seeds) for count in counts]
    return pd.concat(tables)[["num_labels", "seed", *ARM_FOLDERS]].round(6)


if __name__ == "__main__":
    run_stage(count_labels)
