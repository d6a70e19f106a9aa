"""Real pictures for tests of training that take seconds: the handwritten digits of scikit-learn, a tiny network."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from graft.networks.backbones import Backbone, Classifier
from graft.training.activations import CacheBudget, FrozenActivations
from graft.training.data import LabelledSamples
from graft.training.inputs import ImageInputs
from graft.training.recipe import Phase, Recipe

CPU = torch.device("cpu")


def tiny_classifier(seed: int) -> Classifier:
    """Three blocks with BatchNorm, and dropout before the head."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        sizes = [(3, 8, 2), (8, 16, 2), (16, 32, 1)]
        blocks = [
            nn.Sequential(nn.Conv2d(before, after, 3, stride=stride, padding=1), nn.BatchNorm2d(after), nn.ReLU())
            for before, after, stride in sizes
        ]
        return Classifier(Backbone(blocks, 32), num_classes=10, dropout=0.1)


def digits(first: int, end: int) -> LabelledSamples:
    """The samples [first, end), at 16 px."""
    table = load_digits()
    grey_NHW = torch.tensor(table.images[first:end], dtype=torch.float32) * (255 / 16)
    images = F.interpolate(grey_NHW[:, None], (16, 16), mode="bilinear").round().to(torch.uint8)
    inputs = ImageInputs(images.repeat(1, 3, 1, 1), ["identity"], lambda x: x / 127.5 - 1, CPU)
    blocks = tiny_classifier(0).backbone.blocks
    activations = FrozenActivations(inputs, blocks, torch.float32, CacheBudget(), "frozen blocks")
    return LabelledSamples(activations, torch.tensor(table.target[first:end]), torch.ones(end - first))


def recipe(rate: float, *, head_ratio: float = 1.0, num_epochs: float = 4, batch_size: int = 16) -> Recipe:
    phase = Phase(0, num_epochs, backbone_learning_rate=rate, head_learning_rate=head_ratio * rate)
    return Recipe((phase,), batch_size=batch_size, weight_decay=0.01, label_smoothing=0.0, warmup_fraction=0.2)
