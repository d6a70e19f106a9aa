"""Values of `auto` in params.finetune; they follow from the training samples per class and from the method.

docs/training.md gives the evidence for the table.
"""

import math
from dataclasses import dataclass

from graft.core.choices import BatchNormStatistics, Method
from graft.core.config import Params
from graft.training.recipe import num_batches

MIN_EPOCHS = 6
MIN_STEPS = 200
"""Fewest optimiser steps of a training; with few samples, the number of epochs rises to reach it."""
PROBE_SHARE = 2 / 3
"""Epochs of the first phase of lp_ft, as a share of those of the second."""


@dataclass(frozen=True)
class Default:
    up_to: float
    """Largest number of training samples per class that the row applies to."""
    method: Method
    batchnorm_statistics: BatchNormStatistics


TABLE = (
    Default(up_to=100, method="full", batchnorm_statistics="source"),
    Default(up_to=math.inf, method="partial", batchnorm_statistics="target"),
)
TRAINED_BLOCKS = 6
"""Trained blocks of `partial`, counted from the output; the other methods train all."""
PARTIAL_RATE, FULL_RATE = 1e-3, 3e-4
"""Learning rates of the backbone: if its last blocks or adapters are trained, and if all its weights are."""


def default_for(samples_per_class: float) -> Default:
    return next(row for row in TABLE if samples_per_class <= row.up_to)


def default_blocks(method: Method) -> int | None:
    """Number of trained blocks, counted from the output; None: all."""
    return TRAINED_BLOCKS if method == "partial" else None


def default_rate(method: Method) -> float:
    """Learning rate of the backbone."""
    return FULL_RATE if method in ("full", "lp_ft", "gradual_unfreeze") else PARTIAL_RATE


def default_epochs(num_samples: int, batch_size: int) -> int:
    """Smallest number of epochs that gives at least MIN_EPOCHS epochs and MIN_STEPS steps."""
    return max(MIN_EPOCHS, math.ceil(MIN_STEPS / max(1, num_batches(num_samples, batch_size))))


def resolve_auto(params: Params, *, num_train: int, num_classes: int) -> Params:
    """The params with every `auto` replaced by its value for these data.

    Args:
        num_train: number of training samples.
    """
    default = default_for(num_train / num_classes)
    given = params.finetune.model_dump()
    method, num_epochs = given["method"], given["num_epochs"]
    if method == "auto":
        method = default.method
    if num_epochs == "auto":
        num_epochs = default_epochs(num_train, params.arms.batch_size)
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


def auto_in_words(params: Params, *, num_train: int, num_classes: int) -> str:
    """Settings that `resolve_auto` fills in, with the reason, for the report."""
    names = [name for name, value in params.finetune.model_dump().items() if value == "auto"]
    return f"{', '.join(names)} (for {num_train / num_classes:.0f} training samples per class)" if names else "nothing"
