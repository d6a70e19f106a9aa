"""An arm's learning rates before its seeds are trained: a printed suggestion, and a search. Both are off by default
and use only the training and validation split."""

import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from lightning_fabric import Fabric

from graft.core.choices import Precision
from graft.core.config import Params
from graft.experiment.recipes import baseline_recipe, finetune_recipe
from graft.networks.backbones import Classifier
from graft.training.data import ArmData, LabelledSamples
from graft.training.preemption import StopSignal
from graft.training.rate_finder import rate_curve
from graft.training.recipe import Recipe
from graft.training.search import Hyperparameters, SearchLimits, SearchSpace, Trial, best_of, search

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tuning:
    space: SearchSpace
    limits: SearchLimits
    """Limits of the search; with 0 seconds there is none."""
    find_rate: bool = False

    @property
    def start(self) -> Recipe:
        """Recipe with the learning rates of params.yaml."""
        return self.space.recipe_of(self.space.start)

    def in_precision(self, precision: Precision) -> "Tuning":
        def recipe_of(hyperparameters: Hyperparameters) -> Recipe:
            return dataclasses.replace(self.space.recipe_of(hyperparameters), precision=precision)

        return dataclasses.replace(self, space=dataclasses.replace(self.space, recipe_of=recipe_of))


def finetune_space(params: Params, num_blocks: int) -> SearchSpace:
    """Peak learning rate of the backbone, and ratio of the head's to it; if only the head is trained, its rate.

    Weight decay is not searched: AdamW reduces the weights by the sum of rate times decay, 0.3 % in a whole training
    with the default params. The number of trained blocks is not searched either: it changes the cost of a training, and
    so the compute of the baseline arm; and each number needs activations of its own.
    """
    finetune = params.finetune
    assert finetune.backbone_learning_rate != "auto", "params are resolved"
    backbone_rate = finetune.backbone_learning_rate

    def recipe_of(hyperparameters: Hyperparameters) -> Recipe:
        backbone = hyperparameters.get("backbone_learning_rate", backbone_rate)
        head = hyperparameters["head_learning_rate"] if is_probe else hyperparameters["head_ratio"] * backbone
        rates = {"backbone_learning_rate": _rounded(backbone), "head_learning_rate": _rounded(head)}
        changed = params.model_copy(update={"finetune": finetune.model_copy(update=rates)})
        return finetune_recipe(changed, num_blocks)

    is_probe = finetune.method == "linear_probe"
    if is_probe:
        return SearchSpace(
            ranges={"head_learning_rate": (1e-4, 0.3)},
            start={"head_learning_rate": finetune.head_learning_rate},
            recipe_of=recipe_of,
        )
    return SearchSpace(
        ranges={"backbone_learning_rate": (1e-5, 0.03), "head_ratio": (1.0, 30.0)},
        start={
            "backbone_learning_rate": backbone_rate,
            "head_ratio": finetune.head_learning_rate / backbone_rate,
        },
        recipe_of=recipe_of,
    )


def baseline_space(params: Params, num_epochs: float) -> SearchSpace:
    def recipe_of(hyperparameters: Hyperparameters) -> Recipe:
        baseline = params.baseline.model_copy(update={"learning_rate": _rounded(hyperparameters["learning_rate"])})
        return baseline_recipe(params.model_copy(update={"baseline": baseline}), num_epochs)

    return SearchSpace(
        ranges={"learning_rate": (1e-4, 0.1)},
        start={"learning_rate": params.baseline.learning_rate},
        recipe_of=recipe_of,
    )


def tune(
    tuning: Tuning,
    make_classifier: Callable[[int], Classifier],
    data: ArmData,
    *,
    seed: int,
    fabric: Fabric,
    folder: Path,
    stop: StopSignal,
) -> tuple[Recipe, list[Trial]]:
    """The recipe to train with, and the trials that led to it.

    Args:
        seed, folder: see `graft.training.search.search`.
    """
    space, limits = tuning.space, tuning.limits
    recipe = tuning.start
    if tuning.find_rate:
        _suggest_rate(make_classifier(seed), data.train, recipe, seed, fabric)
    if limits.seconds == 0:
        return recipe, []
    logger.info(f"searching for {limits.seconds:g} s: {', '.join(space.ranges)}")
    trials = search(space, make_classifier, data, limits, seed=seed, fabric=fabric, folder=folder, stop=stop)
    best = best_of(trials)
    if best is None:
        logger.info("  no trial was finished; the settings of params.yaml are kept. Give the search more time.")
        return recipe, trials
    return space.recipe_of(best.hyperparameters), trials


def trials_in_words(trials: list[Trial]) -> str:
    """Summary of a search, for the report."""
    best = best_of(trials)
    if best is None:
        return f"{len(trials)} trials, none finished" if trials else "off"
    outcomes = [trial.outcome for trial in trials]
    best_values = ", ".join(f"{name} {value:.3g}" for name, value in best.hyperparameters.items())
    return (
        f"{len(trials)} trials ({outcomes.count('pruned')} pruned, {outcomes.count('out of time')} out of time); "
        f"best on validation data: {best_values}"
    )


def search_table(tuning: Tuning, trials: list[Trial]) -> pd.DataFrame:
    """One row per trial: trial, its hyperparameters, outcome, validation_loss (of the final weights, if finished),
    by_epoch (the validation loss after each epoch that it reached)."""
    rows = [
        {
            "trial": number,
            **{name: _rounded(value) for name, value in trial.hyperparameters.items()},
            "outcome": trial.outcome,
            "validation_loss": None if trial.loss is None else round(trial.loss, 6),
            "by_epoch": " ".join(f"{loss:.6f}" for loss in trial.validation_losses),
        }
        for number, trial in enumerate(trials, start=1)
    ]
    columns = ["trial", *tuning.space.ranges, "outcome", "validation_loss", "by_epoch"]
    return pd.DataFrame(rows, columns=columns)


def _suggest_rate(classifier: Classifier, train: LabelledSamples, recipe: Recipe, seed: int, fabric: Fabric) -> None:
    curve = rate_curve(classifier, train, recipe, seed=seed, fabric=fabric)
    last = recipe.phases[-1]
    in_use = f"params.yaml has {last.backbone_learning_rate:g} and {last.head_learning_rate:g}, which will be used"
    if curve.suggestion is None:
        logger.info(f"rate finder: the loss does not fall at any rate, so it suggests none; {in_use}")
        return
    logger.info(
        f"rate finder suggests backbone_learning_rate: {curve.suggestion:.2g} and head_learning_rate: "
        f"{curve.suggestion * curve.head_ratio:.2g}; {in_use}"
    )


def _rounded(setting: float) -> float:
    """Value with as many digits as a person writes, so that the rates of params.yaml do not change."""
    return float(f"{setting:.6g}")
