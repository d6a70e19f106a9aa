"""What the two arms are: they differ in the first weights and the settings, and in nothing else."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

from graft.core.artifacts import ArmName
from graft.core.config import Params
from graft.experiment.seeds import training_flops
from graft.hub.catalogue import Source
from graft.hub.weights import load_backbone
from graft.networks.backbones import Backbone, backbone_shape, build_backbone
from graft.training.search import Limits
from tasks.recipe import finetune_recipe, scratch_recipe
from tasks.tuning import Tuning, finetune_space, scratch_space


@dataclass(frozen=True)
class Arm:
    name: ArmName
    make_backbone: Callable[[int], Backbone]
    """From a seed; called once a seed."""
    tuning: Tuning
    """With the recipe that params.yaml has."""


def transfer_arm(params: Params, source: Source) -> Arm:
    """
    Args:
        params: settled (tasks/recipe.py).
    """
    pretrained = load_backbone(source)
    return Arm(
        name="transfer",
        make_backbone=lambda _seed: copy.deepcopy(pretrained),
        tuning=Tuning(
            finetune_space(params, len(pretrained.blocks)),
            Limits(params.arms.search_s, params.arms.search_trials),
            find_rate=params.finetune.find_rate,
        ),
    )


def scratch_arm(params: Params, source: Source) -> Arm:
    """
    Args:
        params: settled (tasks/recipe.py).
    """
    return Arm(
        name="scratch",
        make_backbone=lambda seed: build_backbone(source.architecture, seed),
        tuning=Tuning(
            scratch_space(params, _epochs_for_the_same_compute(params, source)),
            Limits(params.arms.search_s, params.arms.search_trials),
        ),
    )


def _epochs_for_the_same_compute(params: Params, source: Source) -> float:
    """As many epochs, to the hundredth, as cost `scratch.compute_ratio` times the transfer arm's training.

    Both costs grow alike with the number of samples, so it is that of one.
    """
    backbone = backbone_shape(source.architecture)
    of_both = {
        "num_views": len(params.inputs.views) + params.inputs.num_augmented_views,
        "num_train": 1,
    }
    side_px = params.inputs.image_size_px
    transfer = training_flops(backbone, side_px, finetune_recipe(params, len(backbone.blocks)).phases, **of_both)
    one_epoch = training_flops(backbone, side_px, scratch_recipe(params, num_epochs=1).phases, **of_both)
    return round(params.scratch.compute_ratio * transfer / one_epoch, 2)
