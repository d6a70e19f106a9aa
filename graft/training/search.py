"""A small search for hyperparameters of a recipe, within a budget of seconds, judged on validation data only.

Each trial is a training of the loop. Optuna's median pruner ends one that after an epoch is worse than the median of
the earlier ones. Its tree-structured Parzen estimator proposes the hyperparameters (Bergstra et al. 2011, "Algorithms
for Hyper-Parameter Optimization"); the first trial has those of params.yaml.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import optuna
from lightning_fabric import Fabric
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import TrialState

from graft.core.addresses import sqlite_address
from graft.core.finite import loss_or_worst
from graft.networks.backbones import Classifier
from graft.training.checkpoints import Checkpoints
from graft.training.data import ArmData
from graft.training.evaluation import log_loss, predict
from graft.training.loop import Runtime, Training, train
from graft.training.observer import EpochRecord, StepTaken, TrainingObserver
from graft.training.preemption import StopSignal
from graft.training.processes import any_process
from graft.training.recipe import Recipe

logger = logging.getLogger(__name__)

NUM_RANDOM = 5
"""Number of trials before the estimator is used: the start, and random ones."""
NUM_UNPRUNED = 3
"""Number of trials that must be finished before one is pruned."""
UNPRUNED_SHARE = 1 / 3
"""Share of a training without pruning: while learning rates are high, the loss says little about its end."""

SECONDS = "seconds"
"""Key of a trial's duration in the study; a trial that was stopped from outside has none."""

Hyperparameters = dict[str, float]
Outcome = Literal["finished", "pruned", "out of time"]
STATES: dict[Outcome, TrialState] = {
    "finished": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "out of time": TrialState.FAIL,
}


@dataclass(frozen=True)
class SearchSpace:
    ranges: dict[str, tuple[float, float]]
    """Lowest and highest value of each hyperparameter, on a logarithmic scale; widened to include `start`."""
    start: Hyperparameters
    """First trial, so that the result is no worse on the validation split."""
    recipe_of: Callable[[Hyperparameters], Recipe]


@dataclass(frozen=True)
class SearchLimits:
    seconds: float
    """Budget of all trials together, including those of earlier calls; a trial that was stopped counts from where it
    resumes, and computing frozen activations does not count. The number of trials depends on the machine."""
    num_trials: int | None
    """Maximum number of trials; the result is reproducible if this ends the search and not `seconds`."""


@dataclass(frozen=True)
class Trial:
    hyperparameters: Hyperparameters
    outcome: Outcome
    validation_losses: list[float]
    """Validation loss of each epoch, from `EpochRecord`."""
    loss: float | None
    """Validation loss of the final weights, over all views; None: not finished."""


def best_of(trials: list[Trial]) -> Trial | None:
    """The trial with the lowest loss; None if none finished with a finite loss."""
    losses = [math.inf if trial.loss is None else loss_or_worst(trial.loss) for trial in trials]
    lowest = min(losses, default=math.inf)
    return None if lowest == math.inf else trials[losses.index(lowest)]


def search(
    space: SearchSpace,
    make_classifier: Callable[[int], Classifier],
    data: ArmData,
    limits: SearchLimits,
    *,
    seed: int,
    fabric: Fabric,
    folder: Path,
    stop: StopSignal | None = None,
    clock_s: Callable[[], float] = time.monotonic,
) -> list[Trial]:
    """All trials, in their order.

    Args:
        data: has a validation split.
        seed: seed of every training, and of the hyperparameters that are drawn.
        folder: must be named after everything that a trial's result depends on, but not after the limits. A search that
            was stopped resumes there with the same trials; one that reached its limits is read from there.
    Raises:
        PreemptedError: see `graft.training.loop.train`.
    """
    validation = data.validation
    assert validation is not None, "trials are judged on it"
    # frozen activations are needed in any case, and are not a cost of one trial
    start = space.recipe_of(space.start)
    Training(make_classifier(seed), data, start, seed=seed, runtime=Runtime(fabric)).prepare()
    folder.mkdir(parents=True, exist_ok=True)
    study = _Study(folder / "study.db", space, seed) if fabric.is_global_zero else None
    while (begun := fabric.broadcast(study.begin(limits) if study else None)) is not None:
        started_s = clock_s()
        checkpoints = Checkpoints(folder, f"trial_{begun.number}")
        pruning = _Pruning(study, fabric, clock_s, started_s + begun.seconds_left)
        classifier = make_classifier(seed)
        loss: float | None = None
        outcome: Outcome = "finished"
        try:
            runtime = Runtime(fabric, checkpoints, stop, [pruning])
            train(classifier, data, space.recipe_of(begun.hyperparameters), seed=seed, runtime=runtime)
            loss = fabric.broadcast(log_loss(predict(classifier, validation), validation.labels_N))
            if not math.isfinite(loss):
                raise _EndedError("pruned")
        except _EndedError as ended:
            loss, outcome = None, ended.outcome
        if study is not None:
            study.end(outcome, loss, clock_s() - started_s)
            checkpoints.clear()
        fabric.barrier()
        in_words = ", ".join(f"{name} {value:.3g}" for name, value in begun.hyperparameters.items())
        ending = outcome if loss is None else f"validation loss {loss:.4f}"
        logger.info(f"  trial {begun.number}, {in_words}: {ending}")
    return fabric.broadcast(study.trials(limits) if study else [])


class _EndedError(Exception):
    """Ends a training from an observer."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


@dataclass(frozen=True)
class _Begun:
    number: int
    """Number of the trial, from 1; one that did not end is started again under its number."""
    hyperparameters: Hyperparameters
    seconds_left: float


class _Pruning(TrainingObserver):
    """Ends a trial that should be pruned or is out of time, in all processes together."""

    def __init__(self, study: "_Study | None", fabric: Fabric, clock_s: Callable[[], float], end_s: float) -> None:
        self._study, self._fabric = study, fabric
        self._clock_s, self._end_s = clock_s, end_s

    def resume(self, _step: int, curve: Sequence[EpochRecord]) -> None:
        self._require_time()
        for record in curve:
            self.after_epoch(record)

    def after_step(self, _taken: StepTaken) -> None:
        self._require_time()

    def _require_time(self) -> None:
        if any_process(self._clock_s() >= self._end_s, self._fabric):
            raise _EndedError("out of time")

    def after_epoch(self, record: EpochRecord) -> None:
        if self._fabric.broadcast(self._study.should_prune(record) if self._study else None):
            raise _EndedError("pruned")


class _Study:
    """Optuna's study in a sqlite file, one trial at a time."""

    def __init__(self, path: Path, space: SearchSpace, seed: int) -> None:
        logging.getLogger("optuna").setLevel(logging.WARNING)
        self._space, self._seed = space, seed
        self._distributions: dict[str, BaseDistribution] = {
            name: FloatDistribution(min(low, space.start[name]), max(high, space.start[name]), log=True)
            for name, (low, high) in space.ranges.items()
        }
        num_epochs = space.recipe_of(space.start).num_epochs
        self._study = optuna.create_study(
            study_name=path.stem,
            storage=sqlite_address(path),
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(NUM_UNPRUNED, math.ceil(UNPRUNED_SHARE * num_epochs)),
        )
        for trial in self._study.get_trials(states=[TrialState.RUNNING]):  # left by a process that was stopped
            self._study.tell(trial.number, state=TrialState.FAIL)

    def begin(self, limits: SearchLimits) -> _Begun | None:
        """Starts the next trial; None if the limits are reached, or the trial would not end in time."""
        num_ended = len(self._ended())
        seconds = [trial.user_attrs[SECONDS] for trial in self._study.get_trials() if SECONDS in trial.user_attrs]
        left_s = limits.seconds - sum(seconds)
        is_enough = limits.num_trials is not None and num_ended >= limits.num_trials
        if is_enough or left_s <= 0 or max(seconds, default=0) > left_s:
            return None
        # depends on the number of trials only, so that a resumed search draws the same hyperparameters
        seed = int(np.random.SeedSequence([self._seed, num_ended]).generate_state(1)[0])
        self._study.sampler = optuna.samplers.TPESampler(n_startup_trials=NUM_RANDOM, seed=seed)
        if num_ended == 0 and not self._study.get_trials(states=[TrialState.WAITING]):
            self._study.enqueue_trial(self._space.start)
        self._trial = self._study.ask(self._distributions)
        return _Begun(num_ended + 1, self._trial.params, left_s)

    def should_prune(self, record: EpochRecord) -> bool:
        if not math.isfinite(record.validation_loss):
            return True
        self._trial.report(record.validation_loss, record.epoch)
        return self._trial.should_prune()

    def end(self, outcome: Outcome, loss: float | None, seconds: float) -> None:
        self._trial.set_user_attr(SECONDS, seconds)
        self._study.tell(self._trial, loss, state=STATES[outcome])

    def trials(self, limits: SearchLimits) -> list[Trial]:
        """The trials within the limits; the study may have more, from a call with wider limits."""
        ended = self._ended()
        if limits.num_trials is not None and len(ended) >= limits.num_trials:
            kept = ended[: limits.num_trials]
        else:
            kept = [trial for trial in self._study.get_trials() if SECONDS in trial.user_attrs]
        outcomes = {state: outcome for outcome, state in STATES.items()}
        return [
            Trial(
                hyperparameters=trial.params,
                outcome=outcomes[trial.state],
                validation_losses=list(trial.intermediate_values.values()),
                loss=trial.value if trial.state == TrialState.COMPLETE else None,
            )
            for trial in kept
        ]

    def _ended(self) -> list[optuna.trial.FrozenTrial]:
        return self._study.get_trials(states=[TrialState.COMPLETE, TrialState.PRUNED])
