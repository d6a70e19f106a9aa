"""Random numbers that depend only on a training's seed, their purpose and their step. B batch."""

import numpy as np
import torch
from torch import Tensor


def seed_for(seed: int, purpose: str, *numbers: int) -> int:
    """A seed of its own for each purpose and step."""
    return int(np.random.SeedSequence([seed, *purpose.encode(), *numbers]).generate_state(1, np.uint64)[0])


def generator_for(seed: int, purpose: str, *numbers: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed_for(seed, purpose, *numbers))


def unlabelled_positions(num_samples: int, batch_size: int, *, seed: int, step: int) -> Tensor:
    """Positions [B] of the unlabelled samples of one step, int64.

    All samples are drawn once per round, in random order, independent of the labelled epochs; a step may span two
    rounds.
    """
    numbers = range(step * batch_size, (step + 1) * batch_size)
    rounds = {number // num_samples for number in numbers}
    orders = {each: torch.randperm(num_samples, generator=generator_for(seed, "unlabelled", each)) for each in rounds}
    return torch.stack([orders[number // num_samples][number % num_samples] for number in numbers])
