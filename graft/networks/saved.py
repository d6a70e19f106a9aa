"""A trained classifier in a folder: model.safetensors, and config.json, which describes it."""

from pathlib import Path

from torch import Tensor

from graft.core.arms import WEIGHTS_FILE
from graft.core.tensors import load_tensors, save_tensors
from graft.networks.backbones import Classifier, build_backbone
from graft.networks.model_config import ModelConfig


def save_classifier(folder: Path, state: dict[str, Tensor], config: ModelConfig) -> None:
    save_tensors(folder / WEIGHTS_FILE, state)
    config.save(folder / ModelConfig.NAME)


def load_classifier(folder: Path) -> tuple[Classifier, ModelConfig]:
    """The classifier on the CPU, and its config.

    Raises:
        ContentChangedError: the weights are not those that `save_classifier` wrote.
    """
    config = ModelConfig.load(folder / ModelConfig.NAME)
    backbone = build_backbone(config.architecture, seed=0)
    classifier = Classifier(backbone, len(config.classes), config.dropout, head=config.head)
    classifier.load_state_dict(load_tensors(folder / WEIGHTS_FILE))
    return classifier, config
