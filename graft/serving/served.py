"""The model as it is served: raw pixels in, class probabilities out."""

from pathlib import Path

import torch
from torch import Tensor, nn

from graft.core.tensors import load_tensors, save_tensors
from graft.modalities.image.inputs import VIEWS, Normalise, resize
from graft.networks.backbones import Classifier, build_backbone
from graft.networks.heads import make_head
from graft.networks.model_config import ModelConfig


class ServedModel(nn.Module):
    """Raw uint8 RGB pictures [B, H, W, 3] of any height and width to probabilities [B, K].

    Resize, normalisation and the average over views are inside, so nobody can get them wrong.
    """

    def __init__(self, classifier: Classifier, config: ModelConfig) -> None:
        super().__init__()
        self.classifier = classifier
        self.normalise = Normalise.of(config)
        self.side_px = config.image_size_px
        self.views = [VIEWS[name] for name in config.views]

    def forward(self, pixels_BHWC: Tensor) -> Tensor:
        pictures_BCHW = self.normalise(resize(pixels_BHWC.permute(0, 3, 1, 2), self.side_px))
        views = torch.cat([view(pictures_BCHW) for view in self.views])
        return self.classifier(views).softmax(dim=1).unflatten(0, (len(self.views), -1)).mean(dim=0)


def save_model(folder: Path, state: dict[str, Tensor], config: ModelConfig) -> None:
    save_tensors(folder / "model.safetensors", state)
    config.save(folder / "config.json")


def load_model(folder: Path) -> tuple[ServedModel, ModelConfig]:
    """The served model in eval mode on the CPU, and its config.

    Raises:
        ContentChangedError: the weights are not those that finetune wrote.
    """
    config = ModelConfig.load(folder / "config.json")
    backbone = build_backbone(config.architecture, seed=0)
    head = make_head(config.head, backbone.num_features, len(config.classes))
    classifier = Classifier(backbone, len(config.classes), config.dropout, head=head)
    classifier.load_state_dict(load_tensors(folder / "model.safetensors"))
    return ServedModel(classifier, config).eval(), config
