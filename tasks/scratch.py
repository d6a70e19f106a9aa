"""scratch: manifest, selection -> scratch/ (metrics, curves, predictions): the same network from random weights"""

from graft.config import Params
from graft.data.manifest import read_manifest, usable_samples
from graft.hub.backbones import backbone_shape, build_backbone, num_frozen_blocks
from graft.hub.catalogue import Source
from graft.training.arms import training_flops
from tasks.arm import Arm, read_source, run_arm
from tasks.recipe import shared_recipe
from tasks.stage import ARTIFACTS, run_stage


def scratch(params: Params) -> None:
    source = read_source()
    arm = Arm(
        name="scratch",
        make_backbone=lambda seed: build_backbone(source.architecture, seed),
        num_frozen=0,
        recipe=shared_recipe(
            params,
            num_epochs=_epochs_for_the_same_compute(params, source),
            backbone_rate=params.scratch.learning_rate,
            head_rate=params.scratch.learning_rate,
        ),
    )
    run_arm(params, source, arm)


def _epochs_for_the_same_compute(params: Params, source: Source) -> float:
    """As many epochs, to the hundredth, as cost `scratch.compute_ratio` times the transfer arm's training."""
    num_train = len(usable_samples(read_manifest(ARTIFACTS / "manifest.parquet"), "train"))

    def cost(num_frozen: int, num_epochs: int) -> float:
        return training_flops(
            backbone_shape(source.architecture),
            params.arms.image_size_px,
            num_frozen=num_frozen,
            num_views=len(params.arms.views) if num_frozen else 0,
            num_train=num_train,
            num_epochs=num_epochs,
        )

    budget = params.scratch.compute_ratio * cost(
        num_frozen_blocks(source.architecture, params.finetune.num_trained_blocks), params.finetune.num_epochs
    )
    return round(budget / cost(0, 1), 2)


if __name__ == "__main__":
    run_stage(scratch)
