"""The optimizer's parameter groups and their learning-rate schedule."""

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ExponentialLR, LRScheduler, OneCycleLR

from graft.networks.backbones import Classifier
from graft.training.ingredients.layer_rates import ParameterGroup, parameter_groups
from graft.training.recipe import RISE, Phase, Recipe, Span


def groups_of(model: Classifier, terms: nn.Module, phase: Phase, recipe: Recipe) -> list[ParameterGroup]:
    """Groups of all parameters, so that unfreezing keeps the optimizer's state; it skips those without a gradient.

    Args:
        terms: terms of the loss; their own parameters are trained like the head.
    """
    weight_decay, head_rate = 0 if recipe.l2_sp > 0 else recipe.weight_decay, phase.head_learning_rate
    groups = parameter_groups(
        model,
        backbone_rate=phase.backbone_learning_rate,
        head_rate=head_rate,
        layer_decay=recipe.layer_decay,
        weight_decay=weight_decay,
        decay_norm_and_bias=recipe.decay_norm_and_bias,
    )
    if of_terms := list(terms.parameters()):
        groups.append(ParameterGroup(params=of_terms, lr=head_rate, weight_decay=weight_decay, name="loss terms"))
    return groups


def schedule_of(
    optimizer: torch.optim.Optimizer, model: Classifier, terms: nn.Module, span: Span, recipe: Recipe
) -> LRScheduler:
    if recipe.schedule == "rising":
        return ExponentialLR(optimizer, RISE ** (1 / (span.num_steps - 1)))
    return OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in groups_of(model, terms, span.phase, recipe)],
        total_steps=span.num_steps,
        cycle_momentum=recipe.schedule == "one_cycle",
        pct_start=max(
            recipe.warmup_fraction, 1.01 / span.num_steps
        ),  # with a warm-up of one step, OneCycleLR divides by zero
    )


def moment_of(parameter: Tensor, tensor: Tensor) -> Tensor:
    """A tensor of the optimizer's state on the parameter's device and in its memory layout, which fused AdamW assumes:
    it would pair moments in another layout with other weights."""
    if tensor.shape != parameter.shape:  # the number of steps
        return tensor.to(parameter.device)
    return torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
