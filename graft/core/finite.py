"""Numbers that may not be finite: such a loss never wins, and such a prediction is never correct.

N samples, M held-out samples, K classes.
"""

import math
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:  # a caller with tensors has imported torch already, and others do not need it
    from torch import Tensor

Numbers = TypeVar("Numbers", np.ndarray, "Tensor")

MIN_PROBABILITY = 1e-7
"""Lower bound on probabilities in a log-loss: one sample of probability 0 would make the mean infinite."""
WORST_LOSS = -math.log(MIN_PROBABILITY)
"""The largest loss of a sample, in nats."""
NO_CLASS = -1
"""Prediction of a model whose probabilities are not finite: no class, so it is wrong for every label."""


def clipped_logs(probabilities: Numbers) -> Numbers:
    """Logarithms of probabilities clipped to at least `MIN_PROBABILITY`; NaN stays NaN."""
    clipped = probabilities.clip(min=MIN_PROBABILITY)
    return np.log(clipped) if isinstance(clipped, np.ndarray) else clipped.log()


def loss_or_worst(loss: float) -> float:
    """The loss, or infinity if it is NaN or infinite of either sign.

    A key for `min`, `sorted` and comparisons, where a NaN that comes first would win.
    """
    return loss if math.isfinite(loss) else math.inf


def losses_or_worst(losses_M: np.ndarray) -> np.ndarray:
    """The losses of a model's samples, nats, or `WORST_LOSS` for every sample if any loss is not finite.

    A model that predicts NaN for some sample is broken, however low its loss on the others is. `WORST_LOSS` is used
    instead of infinity, so that means, differences and their intervals stay finite.
    """
    return losses_M if np.isfinite(losses_M).all() else np.full_like(losses_M, WORST_LOSS)


def predicted_classes(probabilities_NK: np.ndarray) -> np.ndarray:
    """Index of the most probable class [N]; `NO_CLASS` if any probability of the sample is not finite.

    `argmax` alone treats the first NaN as the largest, so a row of NaN would count as class 0.
    """
    is_answer_N = np.isfinite(probabilities_NK).all(axis=1)
    return np.where(is_answer_N, probabilities_NK.argmax(axis=1), NO_CLASS)
