"""What `auto` in params.finetune stands for: it follows from the training samples a class.

docs/training.md says what the table rests on.
"""

import math
from dataclasses import dataclass
from typing import Literal

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
    num_trained_blocks: int | None
    """Counted from the output; None: all."""
    batchnorm_statistics: Literal["source", "target"]


TABLE = (
    Default(up_to=100, method="partial", num_trained_blocks=6, batchnorm_statistics="source"),
    Default(up_to=math.inf, method="partial", num_trained_blocks=6, batchnorm_statistics="target"),
)


def default_for(samples_per_class: float) -> Default:
    return next(row for row in TABLE if samples_per_class <= row.up_to)


def default_epochs(num_samples: int, batch_size: int) -> int:
    """At least MIN_EPOCHS, and as many as MIN_STEPS take."""
    return max(MIN_EPOCHS, math.ceil(MIN_STEPS / max(1, num_batches(num_samples, batch_size))))
