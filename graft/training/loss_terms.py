"""The terms of a step's loss. B batch, U unlabelled batch, D features, K classes."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from graft.networks.architectures import FoldedNorm
from graft.networks.backbones import Classifier
from graft.training.ingredients.regularisers import batch_spectral_shrinkage, l2_sp
from graft.training.recipe import Recipe


@dataclass(frozen=True)
class StepOutputs:
    """Inputs of the loss terms: the forward passes of a step in one process."""

    model: Classifier
    """The classifier itself, not its wrapper for a device."""
    logits_BK: Tensor
    features_BD: Tensor
    targets: Tensor
    """Class indices [B]; probabilities [B, K] if samples are mixed."""
    weights_B: Tensor
    mean_weight: Tensor
    """Mean of the weights over the samples of all processes."""
    unlabelled_logits_UK: Tensor | None = None
    """None: the arm has no unlabelled samples."""
    unlabelled_features_UD: Tensor | None = None


class LossTerm(nn.Module):
    """A term of a step's loss, float32; subclasses compute it in `forward`.

    Its parameters, if it has any, are trained with the model, at the learning rate of the head. They and its buffers
    are saved in checkpoints. All processes must create it with the same parameters; their gradients are averaged.
    Random numbers may be drawn from torch's global state, which is seeded for each step.
    """

    def forward(self, outputs: StepOutputs) -> Tensor:
        """The term, a scalar."""
        raise NotImplementedError


class CrossEntropy(LossTerm):
    """Cross-entropy with label smoothing, averaged by weight over the samples of all processes."""

    def __init__(self, label_smoothing: float) -> None:
        super().__init__()
        self._label_smoothing = label_smoothing

    def forward(self, outputs: StepOutputs) -> Tensor:
        logits_BK, targets = outputs.logits_BK.float(), outputs.targets
        losses_B = F.cross_entropy(logits_BK, targets, label_smoothing=self._label_smoothing, reduction="none")
        # gradients are averaged over processes, so each divides by the mean weight over all of them
        return (losses_B * outputs.weights_B).mean() / outputs.mean_weight


class PullToStart(LossTerm):
    """L2-SP: pulls the backbone to its weights at construction, and the head to zero."""

    def __init__(self, model: Classifier, *, alpha: float, beta: float) -> None:
        super().__init__()
        self._alpha, self._beta = alpha, beta
        self._start = {
            name: tensor.detach().clone() for name, tensor in model.named_parameters() if name.startswith("backbone.")
        }
        """Initial weights; no buffer, since they follow from the source and need not be in every checkpoint."""
        self._not_pulled = _names_of_folded_norms(model)

    def forward(self, outputs: StepOutputs) -> Tensor:
        pulled = {
            name: parameter
            for name, parameter in outputs.model.named_parameters()
            if parameter.requires_grad and name not in self._not_pulled
        }
        return l2_sp(pulled, self._start, alpha=self._alpha, beta=self._beta)


class SpectralShrinkage(LossTerm):
    """Batch spectral shrinkage of the features."""

    def __init__(self, strength: float) -> None:
        super().__init__()
        self._strength = strength

    def forward(self, outputs: StepOutputs) -> Tensor:
        return self._strength * batch_spectral_shrinkage(outputs.features_BD)


def terms_of(recipe: Recipe, model: Classifier) -> list[LossTerm]:
    """The terms of a recipe.

    Args:
        model: has the weights that L2-SP pulls to.
    """
    terms: list[LossTerm] = [CrossEntropy(recipe.label_smoothing)]
    if recipe.l2_sp > 0:
        terms.append(PullToStart(model, alpha=recipe.l2_sp, beta=recipe.weight_decay))
    if recipe.bss > 0:
        terms.append(SpectralShrinkage(recipe.bss))
    return terms


def _names_of_folded_norms(model: Classifier) -> set[str]:
    """Parameters of folded norms, which are not pretrained: the first batch of a training sets them."""
    return {
        f"{path}.{name}"
        for path, module in model.named_modules()
        if isinstance(module, FoldedNorm)
        for name, _ in module.named_parameters(recurse=False)
    }
