"""The recipes of both arms, from params.yaml."""

from graft.core.config import Params
from graft.training.methods import phases_of
from graft.training.recipe import Phase, Recipe

PHASE_KEYS = {
    "method",
    "num_epochs",
    "probe_epochs",
    "num_trained_blocks",
    "backbone_learning_rate",
    "head_learning_rate",
}
"""Keys of params.finetune that make the phases; the others go into the recipe as they are."""
NON_RECIPE_KEYS = {"find_rate"}
"""Keys of params.finetune that are not part of a recipe."""
SHARED_KEYS = {
    "batch_size", "weight_decay", "label_smoothing", "warmup_fraction", "schedule", "decay_norm_and_bias",
    "class_balance", "mixing", "mixing_alpha", "ema_decay", "early_stopping_patience",
}  # fmt: skip
"""Keys of params.arms that go into the recipes of both arms."""


def finetune_recipe(params: Params, num_blocks: int) -> Recipe:
    """
    Args:
        params: without `auto` (graft.training.defaults.resolve_auto).
        num_blocks: number of blocks of the backbone.
    """
    phases = phases_of(num_blocks=num_blocks, **params.finetune.model_dump(include=PHASE_KEYS))
    others = params.finetune.model_dump(exclude=PHASE_KEYS | NON_RECIPE_KEYS)
    if params.finetune.method != "lora":
        others["lora_rank"] = None
    return Recipe(phases, **params.arms.model_dump(include=SHARED_KEYS), **others)


def baseline_recipe(params: Params, num_epochs: float) -> Recipe:
    rate = params.baseline.learning_rate
    phase = Phase(0, num_epochs, backbone_learning_rate=rate, head_learning_rate=rate)
    return Recipe((phase,), **params.arms.model_dump(include=SHARED_KEYS))
