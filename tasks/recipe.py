"""The recipe of both arms, as params.yaml has it."""

import pandas as pd

from graft.core.config import Params
from graft.data.manifest import class_names, usable_samples
from graft.training.defaults import PROBE_SHARE, default_blocks, default_epochs, default_for, default_rate
from graft.training.methods import phases_of
from graft.training.recipe import Phase, Recipe

PHASES = {"method", "num_epochs", "probe_epochs", "num_trained_blocks", "backbone_learning_rate", "head_learning_rate"}
"""Keys of params.finetune that make the phases; the others go into the recipe as they are."""
NOT_OF_THE_RECIPE = {"find_rate"}
"""Keys of params.finetune that have no say in a training."""
OF_BOTH = {
    "batch_size", "weight_decay", "label_smoothing", "warmup_fraction", "schedule", "decay_norm_and_bias",
    "class_balance", "mixing", "mixing_alpha", "ema_decay", "early_stopping_patience",
}  # fmt: skip
"""Keys of params.arms that go into the recipes of both arms."""


def settled(params: Params, manifest: pd.DataFrame) -> Params:
    """With what the data say in the place of every `auto`."""
    num_samples = len(usable_samples(manifest, "train"))
    default = default_for(num_samples / len(class_names(manifest)))
    given = params.finetune.model_dump()
    method, num_epochs = given["method"], given["num_epochs"]
    if method == "auto":
        method = default.method
    if num_epochs == "auto":
        num_epochs = default_epochs(num_samples, params.arms.batch_size)
    followed = {
        "method": method,
        "num_trained_blocks": default_blocks(method),
        "backbone_learning_rate": default_rate(method),
        "batchnorm_statistics": default.batchnorm_statistics,
        "num_epochs": num_epochs,
        "probe_epochs": max(1, round(PROBE_SHARE * num_epochs)),
    }
    finetune = given | {name: value for name, value in followed.items() if given[name] == "auto"}
    return Params.model_validate(params.model_dump(by_alias=True) | {"finetune": finetune})


def left_to_auto(params: Params, manifest: pd.DataFrame) -> str:
    """Which settings `settled` fills in, and why; in words for the report."""
    names = [name for name, value in params.finetune.model_dump().items() if value == "auto"]
    num_samples, num_classes = len(usable_samples(manifest, "train")), len(class_names(manifest))
    return f"{', '.join(names)} (for {num_samples / num_classes:.0f} training samples a class)" if names else "nothing"


def finetune_recipe(params: Params, num_blocks: int) -> Recipe:
    """
    Args:
        params: settled.
        num_blocks: of the backbone.
    """
    phases = phases_of(num_blocks=num_blocks, **params.finetune.model_dump(include=PHASES))
    others = params.finetune.model_dump(exclude=PHASES | NOT_OF_THE_RECIPE)
    if params.finetune.method != "lora":
        others["lora_rank"] = None
    return Recipe(phases, **params.arms.model_dump(include=OF_BOTH), **others)


def scratch_recipe(params: Params, num_epochs: float) -> Recipe:
    rate = params.scratch.learning_rate
    phase = Phase(0, num_epochs, backbone_learning_rate=rate, head_learning_rate=rate)
    return Recipe((phase,), **params.arms.model_dump(include=OF_BOTH))
