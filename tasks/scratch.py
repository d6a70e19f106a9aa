"""scratch: manifest, selection -> scratch/ (metrics, curves, predictions): the same network from random weights"""

from graft.config import Params
from graft.data.manifest import read_manifest, usable_samples
from graft.hub.backbones import backbone_shape, build_backbone
from graft.hub.catalogue import Source
from graft.training.arms import training_flops
from graft.training.search import Limits
from tasks.arm import Arm, read_source, run_arm
from tasks.recipe import finetune_recipe, scratch_recipe, settled
from tasks.stage import ARTIFACTS, run_stage
from tasks.tuning import Tuning, scratch_space


def scratch(params: Params) -> None:
    source = read_source()
    params = settled(params, read_manifest(ARTIFACTS / "manifest.parquet"))
    arm = Arm(
        name="scratch",
        make_backbone=lambda seed: build_backbone(source.architecture, seed),
        tuning=Tuning(
            scratch_space(params, _epochs_for_the_same_compute(params, source)),
            Limits(params.scratch.search_s, params.scratch.search_trials),
        ),
    )
    run_arm(params, source, arm)


def _epochs_for_the_same_compute(params: Params, source: Source) -> float:
    """As many epochs, to the hundredth, as cost `scratch.compute_ratio` times the transfer arm's training."""
    backbone = backbone_shape(source.architecture)
    of_both = {
        "num_views": len(params.arms.views) + params.arms.num_augmented_views,
        "num_train": len(usable_samples(read_manifest(ARTIFACTS / "manifest.parquet"), "train")),
    }
    side_px = params.arms.image_size_px
    transfer = training_flops(backbone, side_px, finetune_recipe(params, len(backbone.blocks)).phases, **of_both)
    one_epoch = training_flops(backbone, side_px, scratch_recipe(params, num_epochs=1).phases, **of_both)
    return round(params.scratch.compute_ratio * transfer / one_epoch, 2)


if __name__ == "__main__":
    run_stage(scratch)
