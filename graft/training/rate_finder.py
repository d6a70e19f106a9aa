"""A learning-rate range test: the loss while the learning rate rises from far too small to far too large."""

import copy
import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from lightning_fabric import Fabric

from graft.networks.backbones import Classifier
from graft.training.data import ArmData, LabelledSamples
from graft.training.loop import Runtime, Training
from graft.training.recipe import RISE, Recipe, num_batches

FIRST_RATE = 1e-6
"""First learning rate of the backbone; the last one is RISE times that."""
SMOOTHING = 0.9
DIVERGED = 4.0
"""Multiple of the lowest loss above which the test ends."""
SKIPPED_SHARE = 0.1
"""Share of the curve skipped at its beginning, where the average covers few steps and its slope is noise."""


@dataclass(frozen=True)
class RateCurve:
    rates: list[float]
    """Learning rates of the backbone, one per step; those of the head are `head_ratio` times higher."""
    losses: list[float]
    """Training losses, as an exponential average over steps; all finite; empty if the first one was not."""
    head_ratio: float

    @property
    def suggestion(self) -> float | None:
        """Peak learning rate for the backbone: where the loss falls most steeply before its minimum. None: the loss
        does not fall, or is not finite.

        fastai's "steep", but only before the minimum, since a diverging loss is erratic. For one-cycle training of a
        small network on digits it was within a factor of 5 of the best peaks of a grid; a tenth of the minimum's rate
        (fastai's "minimum") was up to 14 times below the best, the middle of the longest valley (fastai's default) up
        to 35 times.
        """
        if not self.losses:
            return None
        lowest = int(np.argmin(self.losses))
        first = int(SKIPPED_SHARE * len(self.losses))
        if lowest - first < 2:
            return None
        slopes = np.gradient(np.array(self.losses), np.log(self.rates))[first : lowest + 1]
        return self.rates[first + int(np.argmin(slopes))]


def rate_curve(
    model: Classifier, data: LabelledSamples, recipe: Recipe, *, seed: int, fabric: Fabric, num_steps: int = 100
) -> RateCurve:
    """The loss of each step while the learning rates rise, in the recipe's last phase, which trains most blocks.

    A copy is trained: `model` and the caller's random state do not change. The test ends early if the loss diverges.

    Source: Smith 2017, "Cyclical Learning Rates for Training Neural Networks" (arXiv 1506.01186), section 3.3; rising
        exponentially and averaged as in fastai's `lr_find`.
    """
    last = recipe.phases[-1]
    head_ratio = last.head_learning_rate / last.backbone_learning_rate
    num_epochs = num_steps / num_batches(len(data), recipe.batch_size, fabric.world_size)
    rising = replace(
        last, num_epochs=num_epochs, backbone_learning_rate=FIRST_RATE, head_learning_rate=FIRST_RATE * head_ratio
    )
    test = replace(recipe, phases=(rising,), schedule="rising")
    with torch.random.fork_rng():
        training = Training(copy.deepcopy(model), ArmData(data), test, seed=seed, runtime=Runtime(fabric))
        training.prepare()
        losses: list[float] = []
        average = 0.0
        for number, step in enumerate(training.steps(), start=1):
            average = SMOOTHING * average + (1 - SMOOTHING) * step.loss
            loss = average / (1 - SMOOTHING**number)
            if not math.isfinite(loss) or loss > DIVERGED * min(losses, default=loss):
                break
            losses.append(loss)
    rates = [FIRST_RATE * RISE ** (number / (num_steps - 1)) for number in range(len(losses))]
    return RateCurve(rates, losses, head_ratio)
