"""Weights for the known cases of the verdict: of a source, shuffled, damaged by training on wrong labels, or random."""

from dataclasses import dataclass

import torch
from torch import Tensor

from graft.core.device import pick_device
from graft.hub.catalogue import Source
from graft.hub.weights import load_backbone
from graft.modalities.image.inputs import resize
from graft.networks.backbones import Backbone, build_backbone
from graft.selection.short_tuning import ShortFineTuning
from graft.training.activations import CacheBudget
from graft.training.evaluation import accuracy
from graft.training.processes import join_processes
from graft.training.recipe import Phase, Recipe

SEED = 0
MEMORISED = 200
"""Number of images whose permuted labels are memorised."""
WIPING = Phase(0, 15, 0.01, 0.01)
"""Phase with a learning rate so high that it erases what the source had learned."""
FITTING = Phase(0, 20, 0.001, 0.001)
"""Phase that is repeated until the permuted labels are fitted."""
FITTED = 0.95
"""Accuracy on the permuted labels from which they count as fitted."""
MAX_ROUNDS = 12


@dataclass(frozen=True)
class Target:
    """Training images of a case."""

    images_NHW: list[Tensor]
    """Grey images, 0..255."""
    labels_N: Tensor
    side_px: int
    """Side of the square to which they are resized for training."""


def shuffled(source: Source, _target: Target) -> Backbone:
    """Backbone with each tensor's elements permuted: the distribution stays, so BatchNorm's variances stay positive."""
    backbone, generator = load_backbone(source), torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for tensor in backbone.state_dict().values():
            tensor.copy_(tensor.flatten()[torch.randperm(tensor.numel(), generator=generator)].view(tensor.shape))
    return backbone


def memorised(source: Source, target: Target) -> Backbone:
    """Backbone trained on some of the target's own training images with permuted labels, by the pipeline's own loop,
    until they are fitted: first at a high rate, which erases what the source had learned, then at a lower one.

    Raises:
        RuntimeError: they are not fitted after MAX_ROUNDS.
    Source: Maennel et al. 2020, "What Do Neural Networks Learn When Trained With Random Labels?" (arXiv 2006.10455),
        section 3, for the harm that this causes.
    """
    labels_N = target.labels_N[:MEMORISED]
    permuted_N = labels_N[torch.randperm(MEMORISED, generator=torch.Generator().manual_seed(SEED))]
    images_NHW = target.images_NHW[:MEMORISED]
    images = [resize(image_HW.float().expand(1, 3, -1, -1), target.side_px) for image_HW in images_NHW]
    images_NCHW = torch.cat(images).round().to(torch.uint8)
    backbone, every = load_backbone(source), torch.arange(MEMORISED)
    fabric = join_processes(pick_device())
    for number, phase in enumerate([WIPING] + MAX_ROUNDS * [FITTING]):
        training = ShortFineTuning(
            source, backbone, images_NCHW, permuted_N, dropout=0, fabric=fabric, budget=CacheBudget()
        )
        recipe = Recipe((phase,), batch_size=20, weight_decay=0, label_smoothing=0, warmup_fraction=0.1)
        classifier = training.fine_tuned(every, recipe, SEED)
        fitted = accuracy(training.probabilities(classifier, every), permuted_N)
        print(f"  permuted labels, {phase.num_epochs:g} epochs at {phase.backbone_learning_rate:g}: {fitted:.1%} fit")
        backbone = classifier.backbone
        if number > 0 and fitted >= FITTED:
            return backbone.eval()
    raise RuntimeError(f"only {fitted:.1%} of the permuted labels are fitted after {MAX_ROUNDS} rounds")


def random_weights(source: Source, _target: Target) -> Backbone:
    """Backbone as the library initialises it."""
    return build_backbone(source.architecture, seed=12345)
