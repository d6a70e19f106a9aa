"""Architectures as a plain row of blocks, so that "freeze the first k" means the same for all of them.

B batch, C channels, H height, W width, D features.
"""

from collections.abc import Callable
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from graft.errors import CatalogueError, ParamsError


class Backbone(nn.Module):
    """Normalised pictures [B, 3, H, W] to pooled features [B, D]."""

    def __init__(self, blocks: list[nn.Module], num_features: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        self.num_features = num_features

    def forward(self, pictures_BCHW: Tensor) -> Tensor:
        return self.blocks(pictures_BCHW).mean(dim=(2, 3))


class Classifier(nn.Module):
    """A backbone with a fresh linear head: normalised pictures [B, 3, H, W] to logits [B, K].

    Split after block `num_frozen` it is two networks that run one after the other: `prefix` and `suffix`.
    """

    def __init__(self, backbone: Backbone, num_classes: int, dropout: float, num_frozen: int = 0) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(backbone.num_features, num_classes)
        self.num_frozen = num_frozen
        for parameter in self.frozen_blocks.parameters():
            parameter.requires_grad_(False)
        self.frozen_blocks.eval()

    @property
    def frozen_blocks(self) -> nn.Sequential:
        return self.backbone.blocks[: self.num_frozen]

    @property
    def trained_blocks(self) -> nn.Sequential:
        return self.backbone.blocks[self.num_frozen :]

    def prefix(self, pictures_BCHW: Tensor) -> Tensor:
        return self.frozen_blocks(pictures_BCHW)

    def suffix(self, activations_BCHW: Tensor) -> Tensor:
        features_BD = self.trained_blocks(activations_BCHW).mean(dim=(2, 3))
        return self.head(self.dropout(features_BD))

    def forward(self, pictures_BCHW: Tensor) -> Tensor:
        return self.suffix(self.prefix(pictures_BCHW))

    def train(self, mode: bool = True) -> "Classifier":
        """Frozen blocks stay in eval mode: their BatchNorm statistics and dropout must not move."""
        super().train(mode)
        self.frozen_blocks.eval()
        return self


def _mobilenet_v2() -> nn.Module:
    network = models.mobilenet_v2(weights=None)
    network.classifier = nn.Identity()
    return network


def _efficientnet_b0() -> nn.Module:
    network = models.efficientnet_b0(weights=None)
    network.classifier = nn.Identity()
    return network


def _efficientnet_lite0() -> nn.Module:
    return timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0)


def _resnet18_small_stem() -> nn.Module:
    network = models.resnet18(weights=None)
    network.conv1 = nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    network.fc = nn.Identity()
    return network


def _features_blocks(network: Any) -> list[nn.Module]:
    """torchvision's mobile networks: stages of several blocks are laid flat."""
    blocks: list[nn.Module] = []
    for stage in network.features:
        is_plain_stage = type(stage) is nn.Sequential
        blocks.extend(stage if is_plain_stage else [stage])
    return blocks


def _timm_efficientnet_blocks(network: Any) -> list[nn.Module]:
    stem = nn.Sequential(network.conv_stem, network.bn1)
    top = nn.Sequential(network.conv_head, network.bn2)
    return [stem, *(block for stage in network.blocks for block in stage), top]


def _resnet_blocks(network: Any) -> list[nn.Module]:
    stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
    layers = (network.layer1, network.layer2, network.layer3, network.layer4)
    return [stem, *(block for layer in layers for block in layer)]


ARCHITECTURES: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module], list[nn.Module]], int]] = {
    "torchvision/mobilenet_v2": (_mobilenet_v2, _features_blocks, 1280),
    "torchvision/efficientnet_b0": (_efficientnet_b0, _features_blocks, 1280),
    "timm/tf_efficientnet_lite0": (_efficientnet_lite0, _timm_efficientnet_blocks, 1280),
    "graft/resnet18_small_stem": (_resnet18_small_stem, _resnet_blocks, 512),
}
"""name -> (the network without its head under its library's tensor names, how it falls into blocks, D)."""


def native_network(architecture: str) -> nn.Module:
    """The randomly initialised network without head, under the tensor names of the library it comes from.

    Raises:
        CatalogueError: no such architecture.
    """
    if architecture not in ARCHITECTURES:
        raise CatalogueError(f"unknown architecture {architecture!r}; there are {', '.join(ARCHITECTURES)}.")
    return ARCHITECTURES[architecture][0]()


def as_backbone(architecture: str, network: nn.Module) -> Backbone:
    _, to_blocks, num_features = ARCHITECTURES[architecture]
    return Backbone(to_blocks(network), num_features)


def build_backbone(architecture: str, seed: int) -> Backbone:
    """Random weights, the library's own initialisation, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return as_backbone(architecture, native_network(architecture))


def num_frozen_blocks(architecture: str, num_trained_blocks: int) -> int:
    """
    Raises:
        ParamsError: the architecture has fewer blocks than are to be trained.
    """
    num_blocks = len(build_backbone(architecture, seed=0).blocks)
    if num_trained_blocks > num_blocks:
        raise ParamsError(
            f"finetune.num_trained_blocks is {num_trained_blocks} in params.yaml, but {architecture} has {num_blocks} "
            "blocks only. Lower it, or take that candidate out of select.candidates."
        )
    return num_blocks - num_trained_blocks


def forward_flops(module: nn.Module, input_shape: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """Floating-point operations of one forward pass (2 a multiply-add), and the output's shape.

    Counted on shapes alone ("meta" tensors), so it costs nothing and is the same on every device.
    """
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        output = module.to("meta")(torch.empty(input_shape))
    return counter.get_total_flops(), tuple(output.shape)
