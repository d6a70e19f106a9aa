"""What `auto` in params.finetune stands for: it follows from the training samples a class, and from the method.

docs/training.md says what the tables rest on.
"""

import math
from dataclasses import dataclass
from typing import Literal

from graft.core.config import Params
from graft.training.methods import Method
from graft.training.recipe import num_batches

MIN_EPOCHS = 6
MIN_STEPS = 200
"""Of a whole training: few samples are gone through more often."""
PROBE_SHARE = 2 / 3
"""Epochs of the first phase of lp_ft, of those of the second."""


@dataclass(frozen=True)
class Default:
    up_to: float
    """Training samples over classes."""
    method: Method
    batchnorm_statistics: Literal["source", "target"]


TABLE = (
    Default(up_to=100, method="full", batchnorm_statistics="source"),
    Default(up_to=math.inf, method="partial", batchnorm_statistics="target"),
)
TRAINED_BLOCKS = 6
"""Of `partial`, counted from the output; the other methods have all."""
RATE_OF_FEW, RATE_OF_ALL = 1e-3, 3e-4
"""Of the backbone: where its last blocks or adapters learn, and where all its weights do."""


def default_for(samples_per_class: float) -> Default:
    return next(row for row in TABLE if samples_per_class <= row.up_to)


def default_blocks(method: Method) -> int | None:
    """Counted from the output; None: all."""
    return TRAINED_BLOCKS if method == "partial" else None


def default_rate(method: Method) -> float:
    """Of the backbone."""
    return RATE_OF_ALL if method in ("full", "lp_ft", "gradual_unfreeze") else RATE_OF_FEW


def default_epochs(num_samples: int, batch_size: int) -> int:
    """At least MIN_EPOCHS, and as many as MIN_STEPS take."""
    return max(MIN_EPOCHS, math.ceil(MIN_STEPS / max(1, num_batches(num_samples, batch_size))))


def resolve_auto(params: Params, *, num_train: int, num_classes: int) -> Params:
    """The params with what the data say in the place of every `auto`.

    Args:
        num_train: training samples.
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
    """Which settings `resolve_auto` fills in, and why, for the report."""
    names = [name for name, value in params.finetune.model_dump().items() if value == "auto"]
    return f"{', '.join(names)} (for {num_train / num_classes:.0f} training samples a class)" if names else "nothing"
