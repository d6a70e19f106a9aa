"""Numbers that may not be finite: such a loss never wins, and such an answer is never right.

N samples, M held-out samples, K classes.
"""

import math
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:  # whoever has tensors has imported torch, and others need not
    from torch import Tensor

Numbers = TypeVar("Numbers", np.ndarray, "Tensor")

MIN_PROBABILITY = 1e-7
"""A smaller probability counts as this in a log-loss: one sample of probability 0 would make a mean infinite."""
WORST_LOSS = -math.log(MIN_PROBABILITY)
"""The largest loss of a sample, in nats."""
NO_CLASS = -1
"""What a model predicts whose probabilities are not finite: no class, so it is wrong whatever the label is."""


def clipped_logs(probabilities: Numbers) -> Numbers:
    """Logs of probabilities, each at least `MIN_PROBABILITY`; NaN where a probability is."""
    clipped = probabilities.clip(min=MIN_PROBABILITY)
    return np.log(clipped) if isinstance(clipped, np.ndarray) else clipped.log()


def loss_or_worst(loss: float) -> float:
    """The loss, or infinity where it is NaN or infinite on either side.

    Key for `min` and `sorted`, and for comparisons: Python's own let a NaN that comes first win.
    """
    return loss if math.isfinite(loss) else math.inf


def losses_or_worst(losses_M: np.ndarray) -> np.ndarray:
    """The losses of a model's samples, nats, or `WORST_LOSS` for every sample where any of them is not finite.

    A model that answers some sample with NaN is broken, however low its loss on the others is. `WORST_LOSS` and not
    infinity, so that means, differences and their intervals stay numbers.
    """
    return losses_M if np.isfinite(losses_M).all() else np.full_like(losses_M, WORST_LOSS)


def predicted_classes(probabilities_NK: np.ndarray) -> np.ndarray:
    """Index of the most probable class [N]; `NO_CLASS` where any probability of the sample is not finite.

    `argmax` alone takes the first NaN for the largest, so a row of NaN would be an answer of class 0.
    """
    is_answer_N = np.isfinite(probabilities_NK).all(axis=1)
    return np.where(is_answer_N, probabilities_NK.argmax(axis=1), NO_CLASS)
