"""The recipe of both arms, as params.yaml has it."""

from graft.config import Params
from graft.training.loop import Recipe


def finetune_recipe(params: Params) -> Recipe:
    return shared_recipe(
        params,
        num_epochs=params.finetune.num_epochs,
        backbone_rate=params.finetune.backbone_learning_rate,
        head_rate=params.finetune.head_learning_rate,
    )


def shared_recipe(params: Params, *, num_epochs: float, backbone_rate: float, head_rate: float) -> Recipe:
    return Recipe(
        num_epochs=num_epochs,
        batch_size=params.arms.batch_size,
        backbone_learning_rate=backbone_rate,
        head_learning_rate=head_rate,
        weight_decay=params.arms.weight_decay,
        label_smoothing=params.arms.label_smoothing,
        warmup_fraction=params.arms.warmup_fraction,
    )
