"""Longer trainings of the baseline, for as long as they help.

Equal compute compares the arms at the same cost; this shows what the baseline reaches without that limit. The budget is
chosen on the validation split.
"""

import dataclasses
import logging
from collections.abc import Iterator
from itertools import count, takewhile
from statistics import fmean

import pandas as pd

from graft.core.arms import ARMS
from graft.core.artifacts import LONGER_PREDICTIONS
from graft.core.finite import loss_or_worst
from graft.core.table_files import read_parquet, write_parquet
from graft.experiment.experiment import Experiment
from graft.experiment.result import ArmResult
from graft.experiment.seeds import SeedRun
from graft.project import Project
from graft.training.preemption import Preemption
from graft.training.processes import is_first_process
from graft.training.recipe import Recipe
from graft.transfer.longer_training import LongerBudget, LongerTraining, is_flat

logger = logging.getLogger(__name__)


def train_longer(project: Project) -> None:
    """Repeatedly doubles the training of the baseline, and keeps the best by validation loss."""
    files, longer = ARMS["baseline"], project.params.baseline.longer
    baseline = project.load(ArmResult, files.folder)
    tables = {1.0: read_parquet(project.path(files.predictions))}
    budgets = [
        LongerBudget(
            ratio=1.0,
            num_epochs=baseline.num_epochs,
            validation_loss=fmean(baseline.validation_loss_per_seed),
            validation_accuracy=fmean(baseline.validation_accuracy_per_seed),
        )
    ]
    for budget, predictions in _longer_trainings(project, baseline, longer.max_budget_ratio):
        budgets.append(budget)
        tables[budget.ratio] = predictions
        if is_flat(budgets, longer.least_improvement):
            break
    if is_first_process():
        chosen = min(budgets, key=lambda budget: loss_or_worst(budget.validation_loss))
        result = LongerTraining(
            inputs=project.hashes(files.result, files.predictions),
            budgets=budgets,
            chosen_ratio=chosen.ratio,
            is_flat=is_flat(budgets, longer.least_improvement),
            max_budget_ratio=longer.max_budget_ratio,
        )
        write_parquet(project.path(LONGER_PREDICTIONS), tables[chosen.ratio])
        project.save(result)
        logger.info(result.in_words)


def _longer_trainings(
    project: Project, baseline: ArmResult, max_ratio: float
) -> Iterator[tuple[LongerBudget, pd.DataFrame]]:
    """Budgets of 2, 4, 8... times the baseline's training; each is trained when the iterator reaches it."""
    ratios = list(takewhile(lambda ratio: ratio <= max_ratio, (2.0**n for n in count(1))))
    if not ratios:
        return
    trainer = Experiment(project).trainer("baseline")
    for ratio in ratios:
        recipe = _longer(baseline.recipe, ratio)
        with Preemption() as stop:
            runs = trainer.train(recipe, baseline.seeds, stop)
        yield _budget_of(ratio, recipe, runs), trainer.predictions(runs)


def _budget_of(ratio: float, recipe: Recipe, runs: list[SeedRun]) -> LongerBudget:
    return LongerBudget(
        ratio=ratio,
        num_epochs=recipe.num_epochs,
        validation_loss=fmean([run.validation_loss for run in runs]),
        validation_accuracy=fmean([run.validation_accuracy for run in runs]),
    )


def _longer(recipe: Recipe, ratio: float) -> Recipe:
    phases = [dataclasses.replace(phase, num_epochs=ratio * phase.num_epochs) for phase in recipe.phases]
    return dataclasses.replace(recipe, phases=tuple(phases))
