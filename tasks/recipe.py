"""The recipe of both arms, as params.yaml has it."""

from graft.config import Params
from graft.training.methods import phases_of
from graft.training.recipe import Phase, Recipe


def finetune_recipe(params: Params, num_blocks: int) -> Recipe:
    """
    Args:
        num_blocks: of the backbone.
    """
    phases = phases_of(num_blocks=num_blocks, **params.finetune.model_dump())
    return _recipe(params, phases)


def scratch_recipe(params: Params, num_epochs: float) -> Recipe:
    rate = params.scratch.learning_rate
    return _recipe(params, (Phase(0, num_epochs, backbone_learning_rate=rate, head_learning_rate=rate),))


def _recipe(params: Params, phases: tuple[Phase, ...]) -> Recipe:
    """What both arms share."""
    return Recipe(
        phases=phases,
        batch_size=params.arms.batch_size,
        weight_decay=params.arms.weight_decay,
        label_smoothing=params.arms.label_smoothing,
        warmup_fraction=params.arms.warmup_fraction,
    )
