"""Served model: raw pixels in, class probabilities out."""

from pathlib import Path

import torch
from torch import Tensor, nn

from graft.modalities.image.inputs import VIEWS, Normalise, resize
from graft.networks.backbones import Classifier
from graft.networks.model_config import ModelConfig
from graft.networks.saved import load_classifier


class ServedModel(nn.Module):
    """Module from raw uint8 RGB images [B, H, W, 3] of any height and width to probabilities [B, K].

    Resizing, normalisation and the average over views are inside, so that no caller can get them wrong.
    """

    def __init__(self, classifier: Classifier, config: ModelConfig) -> None:
        super().__init__()
        self.classifier = classifier
        self.normalise = Normalise.of(config)
        self.side_px = config.image_size_px
        self.views = [VIEWS[name] for name in config.views]

    def forward(self, pixels_BHWC: Tensor) -> Tensor:
        images_BCHW = self.normalise(resize(pixels_BHWC.permute(0, 3, 1, 2), self.side_px))
        views = torch.cat([view(images_BCHW) for view in self.views])
        return self.classifier(views).softmax(dim=1).unflatten(0, (len(self.views), -1)).mean(dim=0)


def load_model(folder: Path) -> tuple[ServedModel, ModelConfig]:
    """Served model in eval mode on the CPU, and its config.

    Raises:
        ContentChangedError: see `graft.networks.saved.load_classifier`.
    """
    classifier, config = load_classifier(folder)
    return ServedModel(classifier, config).eval(), config
