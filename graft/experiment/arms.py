"""The two arms, which differ only in their initial weights and settings."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

from graft.core.arms import ArmName
from graft.core.config import Params
from graft.experiment.recipes import baseline_recipe, finetune_recipe
from graft.experiment.search_spaces import Tuning, baseline_space, finetune_space
from graft.hub.catalogue import Source
from graft.hub.weights import load_backbone
from graft.networks.backbones import Backbone, backbone_shape, build_backbone
from graft.training.flops import training_flops
from graft.training.search import SearchLimits


@dataclass(frozen=True)
class Arm:
    name: ArmName
    params: Params
    """Params that the arm was built from, without `auto`."""
    make_backbone: Callable[[int], Backbone]
    """Maps a seed to a backbone; called once per seed."""
    tuning: Tuning
    """Search space and budget, with the recipe of params.yaml as its start."""

    def with_params(self, params: Params, source: Source) -> "Arm":
        """The same arm with other params; the weights are not loaded again."""
        return _arm(self.name, params, source, self.make_backbone)


def arm_of(name: ArmName, params: Params, source: Source) -> Arm:
    """
    Args:
        params: without `auto`.
    """
    if name == "baseline":
        return _arm(name, params, source, lambda seed: build_backbone(source.architecture, seed))
    pretrained = load_backbone(source)
    return _arm(name, params, source, lambda _seed: copy.deepcopy(pretrained))


def _arm(name: ArmName, params: Params, source: Source, make_backbone: Callable[[int], Backbone]) -> Arm:
    limits = SearchLimits(params.arms.search_s, params.arms.search_trials)
    if name == "baseline":
        tuning = Tuning(baseline_space(params, _epochs_for_the_same_compute(params, source)), limits)
    else:
        num_blocks = len(backbone_shape(source.architecture).blocks)
        tuning = Tuning(finetune_space(params, num_blocks), limits, find_rate=params.finetune.find_rate)
    return Arm(name, params, make_backbone, tuning)


def _epochs_for_the_same_compute(params: Params, source: Source) -> float:
    """Epochs, to the hundredth, that cost `baseline.compute_ratio` times the transfer arm's training.

    Both costs are proportional to the number of samples, so one sample suffices.
    """
    backbone = backbone_shape(source.architecture)
    shared = {
        "num_views": len(params.inputs.views) + params.inputs.num_augmented_views,
        "num_train": 1,
    }
    side_px = params.inputs.image_size_px
    transfer = training_flops(backbone, side_px, finetune_recipe(params, len(backbone.blocks)).phases, **shared)
    one_epoch = training_flops(backbone, side_px, baseline_recipe(params, num_epochs=1).phases, **shared)
    return round(params.baseline.compute_ratio * transfer / one_epoch, 2)
