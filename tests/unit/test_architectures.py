"""Networks of three libraries as rows of blocks."""

from pathlib import Path

import pytest
import torch
from architectures import check_architecture, check_shapes
from torch import nn

from graft.core.errors import CatalogueError, ParamsError
from graft.networks.backbones import as_backbone, build_backbone, native_network, require_blocks, require_side
from graft.networks.blocks import UncuttableError, cut


def _layers(block: nn.Module) -> list[nn.Module]:
    return list(block) if type(block) is nn.Sequential else [block]


def _blocks_cut_by_hand(architecture: str, network: nn.Module) -> list[list[nn.Module]]:
    if architecture == "timm/tf_efficientnet_lite0":
        middle = [[block] for stage in network.blocks for block in stage]
        return [[network.conv_stem, network.bn1], *middle, [network.conv_head, network.bn2]]
    if architecture == "graft/resnet18_small_stem":
        layers = (network.layer1, network.layer2, network.layer3, network.layer4)
        stem = [network.conv1, network.bn1, network.relu, network.maxpool]
        return [stem, *([block] for layer in layers for block in layer)]
    return [[block] for stage in network.features for block in _layers(stage)]


@pytest.mark.parametrize(
    ("architecture", "num_blocks"),
    [
        ("torchvision/mobilenet_v2", 19),
        ("torchvision/efficientnet_b0", 18),
        ("timm/tf_efficientnet_lite0", 18),
        ("graft/resnet18_small_stem", 9),
    ],
)
def test_networks_fall_into_the_blocks_that_a_person_would_cut(architecture: str, num_blocks: int) -> None:
    network = native_network(architecture)
    blocks = as_backbone(architecture, network).blocks
    assert [_layers(block) for block in blocks] == _blocks_cut_by_hand(architecture, network)
    assert len(blocks) == num_blocks


@pytest.mark.parametrize(
    ("architecture", "kind", "number"),
    [
        ("torchvision/resnet50", "Bottleneck", 16),
        ("torchvision/vit_b_32", "EncoderBlock", 11),  # the twelfth has the last norm with it
        ("torchvision/swin_t", "SwinTransformerBlock", 11),
        ("torchvision/regnet_y_400mf", "ResBottleneckBlock", 15),
        ("torchvision/convnext_tiny", "CNBlock", 17),
        ("torchvision/densenet121", "_DenseBlock", 3),
        ("torchvision/maxvit_t", "MBConv", 11),
        ("timm/vit_tiny_patch16_224", "Block", 11),
        ("timm/regnety_002", "Bottleneck", 10),
        ("timm/convnext_atto", "ConvNeXtBlock", 11),
        ("timm/mobilenetv3_small_100", "InvertedResidual", 10),
    ],
)
def test_stages_are_taken_apart_and_residual_blocks_are_not(architecture: str, kind: str, number: int) -> None:
    with torch.device("meta") if "regnet_" not in architecture else torch.device("cpu"):
        blocks = as_backbone(architecture, native_network(architecture)).blocks
    kinds = [type(block).__name__ for block in blocks if not isinstance(block, torch.fx.GraphModule)]
    assert kinds.count(kind) == number
    assert sum(isinstance(block, torch.fx.GraphModule) for block in blocks) <= 2


@pytest.mark.parametrize(
    ("architecture", "side_px"),
    [
        ("torchvision/mobilenet_v2", 64),
        ("torchvision/efficientnet_b0", 64),
        ("torchvision/mobilenet_v3_small", 64),
        ("torchvision/shufflenet_v2_x0_5", 64),
        ("torchvision/squeezenet1_1", 64),
        ("torchvision/googlenet", 64),
        ("timm/tf_efficientnet_lite0", 64),
        ("timm/test_vit", 160),
        ("timm/test_convnext", 64),
        ("timm/test_nfnet", 64),
        ("timm/ghostnet_100", 64),
        ("graft/resnet18_small_stem", 32),
        ("graft/resnet50_thin", 64),
        ("graft/pplcnet_v3_det", 64),
    ],
)
def test_an_architecture_can_be_cut_frozen_copied_counted_and_kept(
    architecture: str, side_px: int, tmp_path: Path
) -> None:
    check_architecture(architecture, side_px, tmp_path)


def test_a_network_made_for_one_side_can_be_made_for_another() -> None:
    with pytest.raises(ParamsError, match="64 x 64 pixels"):
        require_side("timm/vit_tiny_patch16_224", 64)
    require_side("timm/vit_tiny_patch16_224", 224)
    require_side("timm/vit_tiny_patch16_224@64", 64)
    check_shapes("timm/vit_tiny_patch16_224@64", 64)
    require_side("torchvision/resnet18", 61)


@pytest.mark.parametrize(
    ("architecture", "what"),
    [
        ("torchvision/resnet51", "Similar names: torchvision/resnet50"),
        ("keras/resnet50", "There are torchvision/NAME"),
        ("torchvision/fasterrcnn_resnet50_fpn", "unknown architecture"),
        ("torchvision/resnet18@64", "image_size"),
        ("timm/twins_pcpvt_small", "cannot be split into blocks"),
    ],
)
def test_what_is_no_backbone_is_refused_by_name(architecture: str, what: str) -> None:
    with pytest.raises(CatalogueError, match=what) as caught:
        build_backbone(architecture, seed=0)
    assert architecture in str(caught.value)


def test_layers_that_two_blocks_share_are_refused() -> None:
    shared = nn.Conv2d(3, 3, 3)
    with pytest.raises(UncuttableError, match="share"):
        cut(nn.Sequential(shared, nn.ReLU(), shared))


def test_more_trained_blocks_than_there_are_is_refused() -> None:
    for possible in (9, None, "auto"):
        require_blocks("torchvision/resnet18", possible)
    with pytest.raises(ParamsError, match="has only 9 blocks"):
        require_blocks("torchvision/resnet18", 10)


def test_random_backbones_follow_from_their_seed() -> None:
    first, again, other = (build_backbone("torchvision/mobilenet_v2", seed).blocks[0][0].weight for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
