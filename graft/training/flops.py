"""The cost of a training in floating-point operations, the same on every machine."""

import copy

from graft.networks.backbones import Backbone, forward_flops
from graft.training.recipe import Phase

BACKWARD_COST = 2.0
"""A backward pass costs about two forward passes (gradients of inputs and of weights)."""


def training_flops(
    backbone: Backbone, side_px: int, phases: tuple[Phase, ...], *, num_views: int, num_train: int
) -> float:
    """Floating-point operations of one seed's training.

    Frozen blocks: one forward pass per sample and view, in the first phase that freezes them. Trained blocks: forward
    and backward per sample and epoch. Each seed is charged for the frozen passes although all seeds share them; that
    favours the baseline arm.
    """
    deepest = max(phase.num_frozen for phase in phases)
    flops = num_train * num_views * _forward(backbone, side_px, 0, deepest)
    for phase in phases:
        trained = _forward(backbone, side_px, phase.num_frozen, len(backbone.blocks))
        flops += num_train * phase.num_epochs * (1 + BACKWARD_COST) * trained
    return flops


def _forward(backbone: Backbone, side_px: int, first: int, end: int) -> float:
    """Operations of one image in the blocks [first, end)."""
    blocks = copy.deepcopy(backbone.blocks)
    _, shape = forward_flops(blocks[:first], (1, 3, side_px, side_px))
    return forward_flops(blocks[first:end], shape)[0]
