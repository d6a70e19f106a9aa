"""Class balance: rare classes get larger weights in the loss, or are drawn more often.

N samples, K classes.
"""

import torch
from torch import Tensor

from graft.core.choices import ClassBalance


def class_weights(labels_N: Tensor, weights_N: Tensor, num_classes: int) -> Tensor:
    """One factor per class, [K], with which all classes count equally in the loss, float32.

    The weights of a class's samples add up to its size; the factor is inverse to that. Normalised so that the mean
    factor over samples, each counted with its weight, is 1: the loss keeps its scale. A class without samples gets 0.

    Source: King and Zeng 2001, "Logistic Regression in Rare Events Data"; scikit-learn's "balanced".
    """
    sizes_K = torch.bincount(labels_N, weights=weights_N.double(), minlength=num_classes)
    is_present_K = sizes_K > 0
    factors_K = sizes_K.sum() / (is_present_K.sum() * sizes_K)
    return torch.where(is_present_K, factors_K, 0).float()


def epoch_order(labels_N: Tensor, kind: ClassBalance, generator: torch.Generator) -> Tensor:
    """The indices [N] of one epoch's samples in random order, int64 on the CPU.

    none, weights  every sample once.
    sampling       every class that has samples N / K times, plus or minus one. A large class gives each of its samples
                   at most once; a small one repeats each of its samples equally often, plus or minus one. Independent
                   draws would miss a third of a class in each epoch.

    Samples are not drawn by their weights, which already count in the loss.
    """
    if kind != "sampling":
        return torch.randperm(len(labels_N), generator=generator)
    present = labels_N.unique()
    share, num_left = divmod(len(labels_N), len(present))
    quotas = torch.full_like(present, share)
    quotas[torch.randperm(len(present), generator=generator)[:num_left]] += 1
    drawn = [
        _repeated(torch.nonzero(labels_N == label).flatten(), quota, generator)
        for label, quota in zip(present, quotas.tolist(), strict=True)
    ]
    indices_N = torch.cat(drawn)
    return indices_N[torch.randperm(len(indices_N), generator=generator)]


def _repeated(indices: Tensor, num: int, generator: torch.Generator) -> Tensor:
    """`num` of the indices: all of them per round, each round in a new random order."""
    num_rounds = -(-num // len(indices))
    rounds = [indices[torch.randperm(len(indices), generator=generator)] for _ in range(num_rounds)]
    return torch.cat(rounds)[:num]
