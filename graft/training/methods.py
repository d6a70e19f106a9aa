"""The methods of adapting a pretrained backbone, each as a sequence of phases in which the same blocks are trained."""

from typing import get_args

import numpy as np

from graft.core.choices import Method
from graft.training.recipe import Phase

METHODS: tuple[Method, ...] = get_args(Method)


def phases_of(
    method: Method,
    *,
    num_blocks: int,
    num_trained_blocks: int | None,
    num_epochs: float,
    probe_epochs: float,
    backbone_learning_rate: float,
    head_learning_rate: float,
) -> tuple[Phase, ...]:
    """The phases of a method.

    linear_probe        the head only, on frozen features
    partial             the last blocks and the head; the earlier blocks stay frozen
    full                all blocks and the head
    lp_ft               the head first, then the last blocks too, so that a random head does not damage them
    gradual_unfreeze    the head first, then one further block per epoch, from the output down
    lora                the head, and adapters in the last blocks (graft.training.ingredients.adapters)

    Args:
        num_trained_blocks: number of last blocks to train; None: all. Not used by linear_probe and full.
        num_epochs: epochs of the whole training, without the first phase of lp_ft.
        probe_epochs: epochs of the first phase of lp_ft.
    Source: Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features" (arXiv 2202.10054) for lp_ft; Howard and
        Ruder 2018, "Universal Language Model Fine-tuning" (arXiv 1801.06146), section 3.3, for gradual_unfreeze.
    """
    deepest = 0 if num_trained_blocks is None else max(0, num_blocks - num_trained_blocks)

    def phase(num_frozen: int, epochs: float) -> Phase:
        return Phase(num_frozen, epochs, backbone_learning_rate, head_learning_rate)

    match method:
        case "linear_probe":
            return (phase(num_blocks, num_epochs),)
        case "partial" | "lora":
            return (phase(deepest, num_epochs),)
        case "full":
            return (phase(0, num_epochs),)
        case "lp_ft":
            return (phase(num_blocks, probe_epochs), phase(deepest, num_epochs))
        case "gradual_unfreeze":
            num_phases = min(num_blocks - deepest + 1, max(2, int(num_epochs)))
            depths = np.linspace(num_blocks, deepest, num_phases).round().astype(int).tolist()
            return tuple(phase(depth, num_epochs / num_phases) for depth in depths)
