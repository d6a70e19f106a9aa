"""Short fine-tuning of a source, and its predictions for held-out samples. N samples, B batch, K classes."""

import copy

import torch
from lightning_fabric import Fabric
from torch import Tensor

from graft.core.device import forward_precision
from graft.hub.catalogue import Source
from graft.modalities.image.inputs import Normalise
from graft.networks.backbones import Backbone, Classifier, seeded_classifier
from graft.training.activations import CacheBudget, FrozenActivations
from graft.training.data import ArmData, LabelledSamples
from graft.training.evaluation import predict
from graft.training.inputs import ImageInputs
from graft.training.loop import Runtime, train
from graft.training.recipe import Recipe


class ShortFineTuning:
    """One source and the images that it is tried on; its frozen activations are computed once."""

    def __init__(
        self,
        source: Source,
        backbone: Backbone,
        images_NCHW: Tensor,
        labels_N: Tensor,
        *,
        dropout: float,
        fabric: Fabric,
        budget: CacheBudget,
    ) -> None:
        """
        Args:
            images_NCHW: uint8, square.
            labels_N: 0..K-1.
            budget: of the cache of frozen activations.
        """
        self._backbone = backbone.to(fabric.device)
        self._dropout = dropout
        self._fabric = fabric
        normalise = Normalise.of(source.preprocessing).to(fabric.device)
        activations = FrozenActivations(
            ImageInputs(images_NCHW, ["identity"], normalise, fabric.device),
            self._backbone.blocks,
            forward_precision(fabric.device),
            budget,
            f"frozen blocks of {source.name}, batches",
        )
        self._samples = LabelledSamples(activations, labels_N, torch.ones(len(labels_N)))
        self._num_classes = int(labels_N.max()) + 1

    def fine_tuned(self, train_indices_B: Tensor, recipe: Recipe, seed: int) -> Classifier:
        """Fine-tunes a new copy of the source on these samples only."""
        classifier = seeded_classifier(
            copy.deepcopy(self._backbone), self._num_classes,
            dropout=self._dropout, seed=seed, device=self._fabric.device,
        )  # fmt: skip
        data = ArmData(self._samples.subset(train_indices_B))
        train(classifier, data, recipe, seed=seed, runtime=Runtime(self._fabric))
        return classifier

    def probabilities(self, classifier: Classifier, indices_B: Tensor) -> Tensor:
        """Class probabilities [B, K]."""
        return predict(classifier, self._samples.subset(indices_B))
