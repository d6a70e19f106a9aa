"""Short real fine-tuning: what a source makes of samples that it was not trained on. N samples, B batch, K classes."""

import copy

import torch
from torch import Tensor

from graft.data.transforms import Normalise
from graft.device import forward_precision
from graft.hub.backbones import Backbone, Classifier
from graft.hub.catalogue import Source
from graft.training.inputs import ActivationInputs, Inputs, PictureInputs, SubsetInputs, frozen_output_bytes
from graft.training.loop import EVALUATION_BATCH_SIZE, Labelled, Recipe, predict, train


class ShortFineTuning:
    """One source and the pictures that it is tried on; what the frozen blocks make of them is computed once."""

    def __init__(
        self,
        source: Source,
        backbone: Backbone,
        pictures_NCHW: Tensor,
        labels_N: Tensor,
        *,
        num_trained_blocks: int,
        dropout: float,
        device: torch.device,
        max_cached_bytes: float = float("inf"),
    ) -> None:
        """
        Args:
            pictures_NCHW: uint8, square.
            labels_N: 0..K-1.
            max_cached_bytes: beyond this, frozen blocks are computed in every step.
        """
        self._backbone = backbone
        self._labels_N = labels_N
        self._dropout = dropout
        self._device = device
        self._num_frozen = max(0, len(backbone.blocks) - num_trained_blocks)
        normalise = Normalise.of(source.preprocessing).to(device)
        classifier = self._classifier(seed=0)
        precision = forward_precision(device)
        pictures = PictureInputs(pictures_NCHW, ["identity"], normalise, classifier.prefix, device, precision)
        needed_bytes = frozen_output_bytes(classifier, pictures_NCHW.shape[-1], len(pictures_NCHW), num_views=1)
        description = f"frozen blocks of {source.name}, batches"
        self._inputs: Inputs = (
            ActivationInputs(pictures, EVALUATION_BATCH_SIZE, description)
            if needed_bytes <= max_cached_bytes
            else pictures
        )

    def fine_tuned(self, train_indices_B: Tensor, recipe: Recipe, seed: int) -> Classifier:
        """From the source's weights anew, on these samples alone."""
        classifier = self._classifier(seed)
        labels_B = self._labels_N[train_indices_B]
        data = Labelled(SubsetInputs(self._inputs, train_indices_B), labels_B, torch.ones(len(labels_B)))
        for _ in train(classifier, data, None, recipe, seed=seed):
            pass
        return classifier

    def probabilities(self, classifier: Classifier, indices_B: Tensor) -> Tensor:
        """Class probabilities [B, K]."""
        return predict(classifier, SubsetInputs(self._inputs, indices_B))

    def _classifier(self, seed: int) -> Classifier:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            num_classes = int(self._labels_N.max()) + 1
            classifier = Classifier(copy.deepcopy(self._backbone), num_classes, self._dropout, self._num_frozen)
        return classifier.to(self._device).to(memory_format=torch.channels_last)
