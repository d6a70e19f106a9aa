"""The objective of a training: the sum of the loss terms over a batch. B batch, U unlabelled batch, K classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn

from graft.core.device import reduced_precision, sent
from graft.networks.backbones import Classifier
from graft.training.data import LabelledSamples
from graft.training.ingredients.balance import class_weights
from graft.training.ingredients.mixing import MIXERS, Batch
from graft.training.loss_terms import LossTerm, StepOutputs, terms_of
from graft.training.precision import DTYPES
from graft.training.processes import mean_over_processes
from graft.training.recipe import Recipe


@dataclass(frozen=True)
class StepInputs:
    """Inputs of one process for a step."""

    activations: Tensor
    """Input of the model, for the labelled samples of this process."""
    num_blocks: int
    """Number of blocks that all activations have passed through; 0: they are the inputs of the first one."""
    indices_B: Tensor
    """Indices of the labelled samples of this process."""
    num_of_all: int
    """Number of labelled samples in all processes together."""
    unlabelled: Tensor | None
    """Activations of as many unlabelled samples; None: the arm has none."""


class Objective:
    def __init__(
        self, model: Classifier, data: LabelledSamples, recipe: Recipe, fabric: Fabric, further: Sequence[LossTerm]
    ) -> None:
        """
        Args:
            model: has the weights that L2-SP pulls to.
            further: terms besides those of the recipe.
        """
        self.terms = nn.ModuleList([*terms_of(recipe, model), *further]).to(fabric.device)
        self._model, self._recipe, self._fabric = model, recipe, fabric
        self._labels_N, self._weights_N = data.labels_N, data.weights_N
        self._num_classes = int(data.labels_N.max()) + 1
        if recipe.class_balance == "weights":
            factors_K = class_weights(data.labels_N, data.weights_N, self._num_classes)
            self._weights_N = data.weights_N * factors_K[data.labels_N]

    def loss(self, wrapped: Any, step: StepInputs, mixing: torch.Generator) -> Tensor:
        """The sum of the terms, whose gradients are to be averaged over processes.

        Args:
            wrapped: the model as wrapped by Fabric.
            mixing: generator of the random pairs.
        """
        outputs = self._outputs(wrapped, step, mixing)
        first, *others = self.terms
        loss: Tensor = first(outputs)
        for term in others:
            loss = loss + term(outputs)
        return loss

    def average_gradients(self) -> None:
        """Averages the gradients of the terms' own parameters over processes; Fabric does it for the model's."""
        for parameter in self.terms.parameters():
            if parameter.grad is not None:
                parameter.grad = mean_over_processes(parameter.grad, self._fabric)

    def _outputs(self, wrapped: Any, step: StepInputs, mixing: torch.Generator) -> StepOutputs:
        recipe, device = self._recipe, self._fabric.device
        activations = step.activations
        labels_B = sent(self._labels_N[step.indices_B], device)
        weights_B = sent(self._weights_N[step.indices_B], device)
        targets: Tensor = labels_B
        if recipe.mixing != "none":
            batch = Batch(activations, F.one_hot(labels_B, self._num_classes).float(), weights_B)
            mixed = MIXERS[recipe.mixing](batch, recipe.mixing_alpha, mixing)
            activations, targets, weights_B = mixed.inputs, mixed.targets_BK, mixed.weights_B
        unlabelled_logits_UK, unlabelled_features_UD = None, None
        with reduced_precision(device, DTYPES[recipe.precision]):
            logits_BK, features_BD = wrapped(activations, start=step.num_blocks, with_features=True)
            if step.unlabelled is not None:
                unlabelled_logits_UK, unlabelled_features_UD = wrapped(
                    step.unlabelled, start=step.num_blocks, with_features=True
                )
        return StepOutputs(
            model=self._model,
            logits_BK=logits_BK,
            features_BD=features_BD,
            targets=targets,
            weights_B=weights_B,
            mean_weight=mean_over_processes(weights_B.mean(), self._fabric),
            unlabelled_logits_UK=unlabelled_logits_UK,
            unlabelled_features_UD=unlabelled_features_UD,
        )
