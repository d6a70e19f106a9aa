"""Trains an arm over several seeds; finished seeds are read again, and interrupted ones resumed."""

import dataclasses
import logging
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import Tensor

from graft.core.errors import ContentChangedError
from graft.core.finite import NO_CLASS, loss_or_worst, predicted_classes
from graft.core.progress import progress_bar
from graft.core.tensors import load_tensors_and_facts, save_tensors
from graft.networks.backbones import Classifier
from graft.training.checkpoints import BELONGS_TO, Checkpoints, is_owned, owner_of
from graft.training.costs import Cost
from graft.training.data import ArmData
from graft.training.evaluation import accuracy, log_loss, predict
from graft.training.loop import Runtime, train
from graft.training.meter import Meter, SeedMeter, of_all_processes
from graft.training.observer import EpochRecord, StepCounter, TrainingObserver
from graft.training.pace import Pace
from graft.training.preemption import StopSignal
from graft.training.recipe import Recipe, num_steps_of
from graft.watch.findings import Finding
from graft.watch.watch import Watch

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SeedRun:
    seed: int
    curve: list[EpochRecord]
    validation_accuracy: float
    validation_loss: float
    findings: list[Finding]
    """Findings of the watch."""
    test_probabilities_NK: Tensor
    state: dict[str, Tensor]
    """The classifier's weights, on the CPU."""
    cost: Cost
    """Cost from the initial weights to the predictions for the test split. Frozen activations are computed
    once and counted in the first seed."""

    @property
    def has_diverged(self) -> bool:
        """True: the validation loss is not finite. Such a seed is compared, but its model is never kept."""
        return not math.isfinite(self.validation_loss)


def run_seeds(
    make_classifier: Callable[[int], Classifier],
    data: ArmData,
    recipe: Recipe,
    seeds: list[int],
    fabric: Fabric,
    checkpoint_dir: Path,
    make_watch: Callable[[Classifier, int], Watch],
    meter: Meter,
    stop: StopSignal | None = None,
    observe: Callable[[int], AbstractContextManager[TrainingObserver]] = lambda _seed: nullcontext(TrainingObserver()),
) -> list[SeedRun]:
    """Trains one classifier per seed.

    A seed that an earlier call finished is read from `checkpoint_dir`, which must be named after everything that the
    result depends on; a seed that an earlier call started resumes from its last checkpoint there.

    Args:
        data: has a validation and a test split.
        observe: maps a seed to a context that gives a further observer of its training.
    Raises:
        PreemptedError: see `graft.training.loop.train`.
    """
    runs = []
    for number, seed in enumerate(seeds, start=1):
        finished = checkpoint_dir / f"seed_{seed}.safetensors"
        checkpoints = Checkpoints(checkpoint_dir, f"seed_{seed}")
        run = _read_finished(finished, seed)
        if run is None:
            num_steps = num_steps_of(recipe, len(data.train))
            spent = SeedMeter(meter, checkpoint_dir / f"seed_{seed}-spent_{fabric.global_rank}.json")
            pace = Pace()
            bar = progress_bar(f"seed {number} of {len(seeds)}, steps", num_steps)
            with spent, bar as advance, observe(seed) as further:
                classifier = make_classifier(seed)
                watch = make_watch(classifier, num_steps)
                observers = [watch, StepCounter(advance), spent, pace, further]
                runtime = Runtime(fabric, checkpoints, stop, observers)
                run = _run_seed(classifier, data, recipe, seed, runtime, watch, spent)
            if fabric.is_global_zero:
                _write_finished(finished, run)
            fabric.barrier()
            finding = f"{run.cost}; {pace}"
        else:
            finding = f"already trained, kept; it took {run.cost}"
        if fabric.is_global_zero:  # also those of a run that was killed just after the seed finished
            checkpoints.clear()
            for left in checkpoint_dir.glob(f"seed_{seed}-spent_*.json"):
                left.unlink(missing_ok=True)
        diverged = f", DIVERGED: its validation loss is {run.validation_loss}" if run.has_diverged else ""
        logger.info(f"  seed {seed}: validation accuracy {run.validation_accuracy:.1%}{diverged} ({finding})")
        runs.append(run)
    return runs


def _run_seed(
    classifier: Classifier,
    data: ArmData,
    recipe: Recipe,
    seed: int,
    runtime: Runtime,
    watch: Watch,
    spent: SeedMeter,
) -> SeedRun:
    assert data.validation is not None and data.test is not None, "an arm is watched and tested"  # noqa: PT018
    curve = train(classifier, replace(data, test=None), recipe, seed=seed, runtime=runtime)
    probabilities_NK, labels_N = predict(classifier, data.validation), data.validation.labels_N
    return SeedRun(
        seed=seed,
        curve=curve,
        validation_accuracy=accuracy(probabilities_NK, labels_N),
        validation_loss=log_loss(probabilities_NK, labels_N),
        findings=watch.findings,
        test_probabilities_NK=predict(classifier, data.test),
        state={name: tensor.detach().cpu().clone() for name, tensor in classifier.state_dict().items()},
        cost=of_all_processes(spent.so_far(), runtime.fabric),
    )


def best_run(runs: list[SeedRun]) -> SeedRun | None:
    """Run with the lowest validation loss; None if no seed has a finite one."""
    best = min(runs, key=lambda run: loss_or_worst(run.validation_loss))
    return None if best.has_diverged else best


def has_converged(runs: list[SeedRun], num_epochs: float) -> tuple[bool, str]:
    """True if longer training would not have helped; and a description.

    Converged: in most seeds the lowest validation loss came before the last fifth of the epochs. With fewer than ten
    epochs the curve is too short to judge, which counts as not converged; so does a seed that diverged.
    """
    if num_epochs < 10:
        return False, f"not converged in {num_epochs:g} epochs"
    best_epochs = [_best_epoch(run) for run in runs]
    num_flat = sum(best is not None and best <= 0.8 * num_epochs for best in best_epochs)
    listed = ", ".join("none (diverged)" if best is None else str(best) for best in best_epochs)
    words = f"lowest validation loss in epoch {listed} of {num_epochs:g}, by seed"
    if num_flat > len(runs) / 2:
        return True, f"converged: {words}"
    return False, f"not converged: {words}"


def _best_epoch(run: SeedRun) -> int | None:
    """Epoch with the lowest validation loss; None: the seed diverged."""
    return None if run.has_diverged else min(run.curve, key=lambda record: loss_or_worst(record.validation_loss)).epoch


def curves_table(runs: list[SeedRun], arm: str) -> pd.DataFrame:
    """One row per seed and epoch: arm, seed, and the fields of EpochRecord."""
    return pd.DataFrame(
        [{"arm": arm, "seed": run.seed, **dataclasses.asdict(record)} for run in runs for record in run.curve]
    ).round(6)


def predictions_table(runs: list[SeedRun], samples: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """One row per seed and test sample: seed, sample_id, path, label, predicted, probability_<class>...

    `predicted` is the empty string, which is not a class, if a probability is not finite.
    """
    names = {NO_CLASS: "", **dict(enumerate(classes))}
    tables = []
    for run in runs:
        table = samples[["sample_id", "path", "label"]].copy()
        table.insert(0, "seed", run.seed)
        table["predicted"] = [names[index] for index in predicted_classes(run.test_probabilities_NK.numpy()).tolist()]
        for index, name in enumerate(classes):
            table[f"probability_{name}"] = run.test_probabilities_NK[:, index].numpy()
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _write_finished(path: Path, run: SeedRun) -> None:
    """Saves a finished seed for the next run; a full disk does not stop this one."""
    curve = torch.tensor([dataclasses.astuple(record) for record in run.curve], dtype=torch.float64)
    summary = torch.tensor([run.validation_accuracy, run.validation_loss], dtype=torch.float64)
    weights = {f"state.{name}": tensor for name, tensor in run.state.items()}
    tensors = {"curve": curve, "summary": summary, "test": run.test_probabilities_NK}
    facts = {
        BELONGS_TO: owner_of(path.parent, path.stem),
        "findings": [dataclasses.asdict(finding) for finding in run.findings],
        "cost": run.cost.model_dump(),
    }
    try:
        save_tensors(path, tensors | weights, facts)
    except OSError as error:
        logger.warning(f"  seed {run.seed} cannot be saved for the next run: {error}")


def _read_finished(path: Path, seed: int) -> SeedRun | None:
    if not path.exists():
        return None
    try:
        tensors, facts = load_tensors_and_facts(path)
    except ContentChangedError as error:
        logger.warning(f"  seed {seed} is trained again: its saved result is damaged: {error}")
        return None
    if not is_owned(facts, path.parent, path.stem):
        logger.warning(f"  seed {seed} is trained again: {path} was written for another training")
        return None
    validation_accuracy, validation_loss = tensors["summary"].tolist()
    return SeedRun(
        seed=seed,
        curve=[EpochRecord(int(epoch), *rest) for epoch, *rest in tensors["curve"].tolist()],
        validation_accuracy=validation_accuracy,
        validation_loss=validation_loss,
        findings=[Finding(**finding) for finding in facts["findings"]],
        test_probabilities_NK=tensors["test"],
        state={name.removeprefix("state."): tensor for name, tensor in tensors.items() if name.startswith("state.")},
        cost=Cost(**facts["cost"]),
    )
