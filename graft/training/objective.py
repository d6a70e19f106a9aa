"""What a step makes smaller: the loss of a batch, with its penalties. N samples, B batch, K classes."""

from typing import Any

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor

from graft.core.device import reduced_precision, sent
from graft.networks.architectures import FoldedNorm
from graft.networks.backbones import Classifier
from graft.training.ingredients.balance import class_weights
from graft.training.ingredients.mixing import MIXERS, Batch
from graft.training.ingredients.regularisers import batch_spectral_shrinkage, l2_sp
from graft.training.precision import DTYPES
from graft.training.processes import mean_over_processes
from graft.training.recipe import Recipe


class Objective:
    def __init__(self, model: Classifier, labels_N: Tensor, weights_N: Tensor, recipe: Recipe, fabric: Fabric) -> None:
        """
        Args:
            model: with the weights that L2-SP pulls to.
            weights_N: of the samples, as in `graft.training.loop.Labelled`.
        """
        self._model, self._recipe, self._fabric = model, recipe, fabric
        self._labels_N, self._weights_N = labels_N, weights_N
        self._num_classes = int(labels_N.max()) + 1
        if recipe.class_balance == "weights":
            self._weights_N = weights_N * class_weights(labels_N, weights_N, self._num_classes)[labels_N]
        self._start = _pretrained(model) if recipe.l2_sp > 0 else {}
        self._folded = _names_of_folded_norms(model)

    def loss(
        self, wrapped: Any, activations: Tensor, num_blocks: int, indices_B: Tensor, mixing: torch.Generator
    ) -> Tensor:
        """Cross-entropy with label smoothing, averaged by weight over the samples of all processes, and the penalties.

        Args:
            wrapped: the model, as Fabric gives it.
            activations: the batch of this process, after so many blocks (`graft.training.inputs`).
            indices_B: of the batch's samples.
            mixing: what random pairs are drawn from.
        """
        recipe, device = self._recipe, self._fabric.device
        labels_B = sent(self._labels_N[indices_B], device)
        weights_B = sent(self._weights_N[indices_B], device)
        targets: Tensor = labels_B
        if recipe.mixing != "none":
            batch = Batch(activations, F.one_hot(labels_B, self._num_classes).float(), weights_B)
            mixed = MIXERS[recipe.mixing](batch, recipe.mixing_alpha, mixing)
            activations, targets, weights_B = mixed.inputs, mixed.targets_BK, mixed.weights_B
        with reduced_precision(device, DTYPES[recipe.precision]):
            logits_BK, features_BD = wrapped(activations, start=num_blocks, with_features=True)
        losses_B = F.cross_entropy(logits_BK.float(), targets, label_smoothing=recipe.label_smoothing, reduction="none")
        # gradients are averaged over processes, so the mean weight of theirs is what each one divides by
        mean_weight = mean_over_processes(weights_B.mean(), self._fabric)
        loss = (losses_B * weights_B).mean() / mean_weight
        if recipe.l2_sp > 0:
            loss = loss + l2_sp(self._penalised(), self._start, alpha=recipe.l2_sp, beta=recipe.weight_decay)
        if recipe.bss > 0:
            loss = loss + recipe.bss * batch_spectral_shrinkage(features_BD)
        return loss

    def _penalised(self) -> dict[str, Tensor]:
        return {
            name: parameter
            for name, parameter in self._model.named_parameters()
            if parameter.requires_grad and name not in self._folded
        }


def _pretrained(model: Classifier) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.named_parameters() if name.startswith("backbone.")}


def _names_of_folded_norms(model: Classifier) -> set[str]:
    """Their scales and shifts are no pretrained ones: the first batch of a training sets them."""
    return {
        f"{path}.{name}"
        for path, module in model.named_modules()
        if isinstance(module, FoldedNorm)
        for name, _ in module.named_parameters(recurse=False)
    }
