"""Short real fine-tuning: what a source makes of samples that it was not trained on. N samples, B batch, K classes."""

import copy

import torch
from lightning_fabric import Fabric
from torch import Tensor

from graft.core.device import forward_precision
from graft.hub.catalogue import Source
from graft.modalities.image.inputs import Normalise
from graft.networks.backbones import Backbone, Classifier, seeded_classifier
from graft.training.evaluation import predict
from graft.training.inputs import PictureInputs, PretrainedLayers, Room, SubsetLayers
from graft.training.loop import Labelled, train
from graft.training.recipe import Recipe


class ShortFineTuning:
    """One source and the pictures that it is tried on; what the frozen blocks make of them is computed once."""

    def __init__(
        self,
        source: Source,
        backbone: Backbone,
        pictures_NCHW: Tensor,
        labels_N: Tensor,
        *,
        dropout: float,
        fabric: Fabric,
        room: Room,
    ) -> None:
        """
        Args:
            pictures_NCHW: uint8, square.
            labels_N: 0..K-1.
            room: for what frozen blocks make of the pictures.
        """
        self._backbone = backbone.to(fabric.device)
        self._labels_N = labels_N
        self._dropout = dropout
        self._fabric = fabric
        normalise = Normalise.of(source.preprocessing).to(fabric.device)
        self._layers = PretrainedLayers(
            PictureInputs(pictures_NCHW, ["identity"], normalise, fabric.device),
            self._backbone.blocks,
            forward_precision(fabric.device),
            room,
            f"frozen blocks of {source.name}, batches",
        )

    def fine_tuned(self, train_indices_B: Tensor, recipe: Recipe, seed: int) -> Classifier:
        """From the source's weights anew, on these samples alone."""
        classifier = seeded_classifier(
            copy.deepcopy(self._backbone), int(self._labels_N.max()) + 1,
            dropout=self._dropout, seed=seed, device=self._fabric.device,
        )  # fmt: skip
        labels_B = self._labels_N[train_indices_B]
        data = Labelled(SubsetLayers(self._layers, train_indices_B), labels_B, torch.ones(len(labels_B)))
        train(classifier, data, None, recipe, seed=seed, fabric=self._fabric)
        return classifier

    def probabilities(self, classifier: Classifier, indices_B: Tensor) -> Tensor:
        """Class probabilities [B, K]."""
        return predict(classifier, SubsetLayers(self._layers, indices_B))
