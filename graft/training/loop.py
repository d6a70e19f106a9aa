"""The one training loop. Both arms run through it; they differ in their first weights and in their settings.

N samples, B batch, K classes, V views.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.lr_scheduler import OneCycleLR

from graft.hub.backbones import Classifier
from graft.training.inputs import Inputs
from graft.training.watch import Watch

EVALUATION_BATCH_SIZE = 64


@dataclass(frozen=True)
class Labelled:
    inputs: Inputs
    labels_N: Tensor
    """Class indices, int64."""
    weights_N: Tensor
    """Weights in the training loss; evaluation does not weigh."""


@dataclass(frozen=True)
class Recipe:
    num_epochs: float
    """A last epoch may be a part of one, so that two arms can be given the very same compute."""
    batch_size: int
    backbone_learning_rate: float
    head_learning_rate: float
    weight_decay: float
    label_smoothing: float
    warmup_fraction: float


@dataclass(frozen=True)
class EpochRecord:
    epoch: int
    train_loss: float
    validation_loss: float
    """NaN where nothing was watched."""
    validation_accuracy: float
    """Of the first view alone; the final predictions average all views."""


def train(
    model: Classifier,
    data: Labelled,
    validation: Labelled | None,
    recipe: Recipe,
    *,
    seed: int,
    on_step: Callable[[], None] = lambda: None,
    watch: Watch | None = None,
) -> Iterator[EpochRecord]:
    """Trains the unfrozen blocks and the head of `model` in place; yields after each epoch.

    AdamW under a one-cycle schedule, cross-entropy with label smoothing and sample weights, a random view a sample
    and step. Order, views and dropout follow from `seed`.
    """
    generator = torch.Generator().manual_seed(seed)
    groups: list[dict[str, Any]] = [
        {"params": list(model.trained_blocks.parameters()), "lr": recipe.backbone_learning_rate},
        {"params": list(model.head.parameters()), "lr": recipe.head_learning_rate},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay, fused=True)
    batches_per_epoch = num_batches(len(data.labels_N), recipe.batch_size)
    num_steps = steps_of(recipe, len(data.labels_N))
    schedule = OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in groups],
        total_steps=num_steps,
        pct_start=max(recipe.warmup_fraction, 1.01 / num_steps),  # of one step, OneCycleLR divides by zero
    )
    step = 0
    if watch:
        watch.begin_phase(model)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for epoch in range(1, math.ceil(num_steps / batches_per_epoch) + 1):
            model.train()
            losses = []
            order_N = torch.randperm(len(data.labels_N), generator=generator)
            num_left = num_steps - (epoch - 1) * batches_per_epoch
            for indices_B in _batches(order_N, recipe.batch_size)[:num_left]:
                views_B = torch.randint(data.inputs.num_views, (len(indices_B),), generator=generator)
                step += 1
                inputs = data.inputs.batch(indices_B, views_B)
                with watch.forward(step, model) if watch else nullcontext():
                    logits_BK = model.suffix(inputs)
                labels_B = data.labels_N[indices_B].to(logits_BK.device)
                weights_B = data.weights_N[indices_B].to(logits_BK.device)
                losses_B = F.cross_entropy(
                    logits_BK, labels_B, label_smoothing=recipe.label_smoothing, reduction="none"
                )
                loss = (losses_B * weights_B).sum() / weights_B.sum()
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                losses.append(loss.item())
                if watch:
                    watch.after_backward(step, losses[-1], len(indices_B), model)
                optimizer.step()
                schedule.step()
                if watch:
                    watch.after_step(step, model)
                on_step()
            yield _record(epoch, sum(losses) / len(losses), model, validation, watch)


def _record(
    epoch: int, train_loss: float, model: Classifier, validation: Labelled | None, watch: Watch | None
) -> EpochRecord:
    """Loss and accuracy of the first view."""
    if validation is None:
        return EpochRecord(epoch, train_loss, math.nan, math.nan)
    probabilities_NK = predict(model, validation.inputs, num_views=1)
    if watch:
        watch.after_epoch(train_loss, probabilities_NK, validation.labels_N)
    loss = F.nll_loss(probabilities_NK.clamp(min=1e-7).log(), validation.labels_N).item()
    return EpochRecord(epoch, train_loss, loss, accuracy(probabilities_NK, validation.labels_N))


@torch.no_grad()
def predict(model: Classifier, inputs: Inputs, num_views: int | None = None) -> Tensor:
    """Class probabilities [N, K] on the CPU: the mean softmax over the first `num_views` views (all by default)."""
    model.eval()
    num_views = inputs.num_views if num_views is None else num_views
    rows = []
    for indices_B in torch.arange(inputs.num_samples).split(EVALUATION_BATCH_SIZE):
        views = [
            model.suffix(inputs.batch(indices_B, torch.full_like(indices_B, view))).softmax(dim=1)
            for view in range(num_views)
        ]
        rows.append(torch.stack(views).mean(dim=0).cpu())
    return torch.cat(rows)


def steps_of(recipe: Recipe, num_samples: int) -> int:
    """Optimiser steps of a whole training."""
    return max(2, round(recipe.num_epochs * num_batches(num_samples, recipe.batch_size)))


def num_batches(num_samples: int, batch_size: int) -> int:
    return len(_batches(torch.arange(num_samples), batch_size))


def accuracy(probabilities_NK: Tensor, labels_N: Tensor) -> float:
    return (probabilities_NK.argmax(dim=1) == labels_N).double().mean().item()


def _batches(order_N: Tensor, batch_size: int) -> list[Tensor]:
    """Without a last batch of one sample, on which BatchNorm cannot train."""
    return [batch for batch in order_N.split(batch_size) if len(batch) > 1]
