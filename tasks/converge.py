"""converge: scratch/ -> converged/ (result, predictions): the scratch arm once more, for as long as it helps

Equal compute says what the same effort buys; this says what effort without end would. Which budget is taken is
decided on the validation split.
"""

import dataclasses
from collections.abc import Iterator
from itertools import count, takewhile
from statistics import fmean

import pandas as pd

from graft.core.artifacts import hash_inputs
from graft.core.config import Params
from graft.core.finite import loss_or_worst
from graft.core.table_files import read_parquet, write_parquet
from graft.data.manifest import read_manifest
from graft.experiment.result import ArmResult
from graft.experiment.seeds import SeedRun
from graft.training.preemption import Preemption
from graft.training.processes import is_first_process
from graft.training.recipe import Recipe
from graft.transfer.convergence import Budget, Convergence, is_flat
from tasks.arms import scratch_arm
from tasks.recipe import settled
from tasks.stage import ARTIFACTS, run_stage
from tasks.train_arm import read_source, ready_arms, recipe_of


def converge(params: Params) -> None:
    scratch = ArmResult.load_verified(ARTIFACTS, "scratch/result.json")
    tables = {1.0: read_parquet(ARTIFACTS / "scratch" / "predictions.parquet")}
    budgets = [
        Budget(
            ratio=1.0,
            num_epochs=scratch.num_epochs,
            validation_loss=fmean(scratch.validation_loss_per_seed),
            validation_accuracy=fmean(scratch.validation_accuracy_per_seed),
        )
    ]
    for budget, predictions in _longer_trainings(params, scratch):
        budgets.append(budget)
        tables[budget.ratio] = predictions
        if is_flat(budgets, params.converge.least_improvement):
            break
    if is_first_process():
        chosen = min(budgets, key=lambda budget: loss_or_worst(budget.validation_loss))
        result = Convergence(
            inputs=hash_inputs(ARTIFACTS, "scratch/result.json", "scratch/predictions.parquet"),
            budgets=budgets,
            chosen_ratio=chosen.ratio,
            is_flat=is_flat(budgets, params.converge.least_improvement),
            max_budget_ratio=params.converge.max_budget_ratio,
        )
        write_parquet(ARTIFACTS / "converged" / "predictions.parquet", tables[chosen.ratio])
        result.save(ARTIFACTS / "converged" / "result.json")
        print(result.in_words)


def _longer_trainings(params: Params, scratch: ArmResult) -> Iterator[tuple[Budget, pd.DataFrame]]:
    """With 2, 4, 8... times the scratch arm's training; each is trained when it is asked for."""
    ratios = list(takewhile(lambda ratio: ratio <= params.converge.max_budget_ratio, (2.0**n for n in count(1))))
    if not ratios:
        return
    manifest, source = read_manifest(ARTIFACTS / "manifest.parquet"), read_source()
    params = settled(params, manifest)
    ready = ready_arms(params, source, manifest, scratch_arm(params, source))["scratch"]
    for ratio in ratios:
        recipe = _longer(recipe_of(scratch), ratio)
        with Preemption() as stop:
            runs = ready.train(recipe, scratch.seeds, stop)
        yield _budget_of(ratio, recipe, runs), ready.predictions(runs)


def _budget_of(ratio: float, recipe: Recipe, runs: list[SeedRun]) -> Budget:
    return Budget(
        ratio=ratio,
        num_epochs=recipe.num_epochs,
        validation_loss=fmean([run.validation_loss for run in runs]),
        validation_accuracy=fmean([run.validation_accuracy for run in runs]),
    )


def _longer(recipe: Recipe, ratio: float) -> Recipe:
    phases = [dataclasses.replace(phase, num_epochs=ratio * phase.num_epochs) for phase in recipe.phases]
    return dataclasses.replace(recipe, phases=tuple(phases))


if __name__ == "__main__":
    run_stage(converge)
