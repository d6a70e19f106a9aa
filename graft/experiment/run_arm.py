"""The stage that trains all seeds of an arm, tests each once and writes the results."""

import dataclasses

from graft.core.arms import ARMS, BASELINE, ArmName
from graft.core.artifacts import MANIFEST
from graft.core.config import Params
from graft.core.errors import DivergedError
from graft.core.paths import costs
from graft.core.table_files import write_csv, write_parquet
from graft.data.manifest import class_names
from graft.experiment.experiment import Experiment
from graft.experiment.result import ArmResult
from graft.experiment.search_spaces import search_table, trials_in_words
from graft.experiment.seeds import SeedRun, best_run, curves_table, has_converged
from graft.experiment.trainer import ArmTrainer
from graft.networks.backbones import backbone_shape
from graft.project import Project
from graft.selection.result import Selection
from graft.training.costs import add_costs
from graft.training.defaults import auto_in_words
from graft.training.flops import training_flops
from graft.training.preemption import Preemption
from graft.training.processes import is_first_process
from graft.training.recipe import Recipe
from graft.training.search import Trial
from graft.watch.findings import TrainingFinding

RATES: dict[ArmName, str] = {
    "transfer": "finetune.backbone_learning_rate and finetune.head_learning_rate",
    "baseline": "baseline.learning_rate",
}
"""Learning rates to lower if a training diverges."""


def run_arm(project: Project, name: ArmName) -> None:
    """Trains every seed of an arm, tests it once, and writes the arm's files and the best seed's model.

    Raises:
        DivergedError: all seeds diverged.
    """
    experiment = Experiment(project)
    trainer = experiment.trainer(name)
    with Preemption() as stop:
        recipe, trials = trainer.tuned(stop)
        runs = trainer.train(recipe, experiment.params.arms.seeds, stop)
    kept = kept_run(name, runs)
    if is_first_process():
        files = ARMS[name]
        project.save(_result(experiment, trainer, recipe, runs, trials), files.folder)
        write_csv(project.path(files.curves), curves_table(runs, name))
        write_parquet(project.path(files.predictions), trainer.predictions(runs))
        write_csv(project.path(files.search), search_table(trainer.tuning, trials))
        trainer.save_kept(kept)
        keep_costs(project, name, runs)


def kept_run(arm: ArmName, runs: list[SeedRun]) -> SeedRun:
    """The seed whose model is kept and may be exported: the one with the lowest validation loss.

    Raises:
        DivergedError: no seed has a finite validation loss.
    """
    best = best_run(runs)
    if best is None:
        losses = ", ".join(f"{run.validation_loss} (seed {run.seed})" for run in runs)
        raise DivergedError(
            f"every seed of the {arm} arm diverged: validation losses are {losses}. There is no model to keep and "
            f"nothing to compare. Lower {RATES[arm]}; if that does not help, set arms.precision to float32, and "
            "check the sample weights if your table has any."
        )
    return best


def keep_costs(project: Project, arm: ArmName, runs: list[SeedRun]) -> None:
    """Adds the runs' costs to a file that DVC does not own; the arm's predictions must have been written."""
    add_costs(costs(project.root), project.artifacts, arm, {run.seed: run.cost for run in runs})


def findings_of(runs: list[SeedRun]) -> list[TrainingFinding]:
    return [TrainingFinding(seed=run.seed, **dataclasses.asdict(finding)) for run in runs for finding in run.findings]


def _result(
    experiment: Experiment, trainer: ArmTrainer, recipe: Recipe, runs: list[SeedRun], trials: list[Trial]
) -> ArmResult:
    params, source, name = experiment.params, experiment.source, trainer.arm.name
    data, splits = trainer.data, trainer.splits
    assert data.test is not None, "an arm is tested"
    num_train = len(splits["train"])
    cost = training_flops(
        backbone_shape(source.architecture),
        params.inputs.image_size_px,
        recipe.phases,
        num_views=len(params.inputs.views) + params.inputs.num_augmented_views,
        num_train=num_train,
    )
    converged, convergence = has_converged(runs, recipe.num_epochs)
    majority = data.train.labels_N.mode().values.item()
    return ArmResult(
        inputs=experiment.project.hashes(MANIFEST, Selection.NAME),
        arm=name,
        source=source.name if name == "transfer" else BASELINE.starts_from,
        seeds=params.arms.seeds,
        num_train=num_train,
        num_validation=len(splits["validation"]),
        num_test=len(splits["test"]),
        validation_accuracy_per_seed=[run.validation_accuracy for run in runs],
        validation_loss_per_seed=[run.validation_loss for run in runs],
        majority_accuracy=(data.test.labels_N == majority).double().mean().item(),
        num_epochs=recipe.num_epochs,
        training_tflops_per_seed=cost / 1e12,
        num_trials=len(trials),
        has_converged=converged,
        convergence=convergence,
        recipe=recipe,
        settings={**_method(experiment.project, name), "search": trials_in_words(trials), **_settings(recipe, params)},
        findings=findings_of(runs),
    )


def _method(project: Project, name: ArmName) -> dict[str, str]:
    """Method of the transfer arm, and its settings that were `auto`."""
    if name == "baseline":
        return {}
    num_train, num_classes = project.num_train, len(class_names(project.manifest))
    by_auto = auto_in_words(project.params, num_train=num_train, num_classes=num_classes)
    return {"method": project.resolved_params.finetune.method, "left to auto": by_auto}


def _settings(recipe: Recipe, params: Params) -> dict[str, float | int | str]:
    """Settings of an arm for the report."""
    phases = [
        f"{phase.num_epochs:g} epochs with {phase.num_frozen} blocks frozen, learning rates "
        f"{phase.backbone_learning_rate:g} and {phase.head_learning_rate:g} (head)"
        for phase in recipe.phases
    ]
    augmentation = params.inputs.model_dump(include={"augmentation", "num_augmented_views"})
    of_inputs = {"head": params.arms.head, **augmentation, "dropout": params.arms.dropout}
    settings = dataclasses.asdict(recipe) | {"phases": "; then ".join(phases)} | of_inputs
    return {name: "never" if value is None else value for name, value in settings.items()}
