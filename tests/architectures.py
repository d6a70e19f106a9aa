"""What must hold for every architecture, whichever library it comes from."""

import copy
from pathlib import Path

import torch
from torch import nn

from graft.core.tensors import load_tensors, save_tensors
from graft.networks.backbones import (
    Backbone,
    Classifier,
    backbone_shape,
    build_backbone,
    forward_flops,
    native_network,
    pooled,
)


def check_architecture(architecture: str, side_px: int, folder: Path) -> None:
    backbone = build_backbone(architecture, seed=0).eval()
    pictures = torch.randn(2, 3, side_px, side_px, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = backbone(pictures)
        _check_it_computes_what_the_library_computes(architecture, pictures, features)
        _check_it_may_be_cut_anywhere(backbone, pictures, features)
        torch.testing.assert_close(copy.deepcopy(backbone)(pictures), features)
        _check_its_weights_survive_a_file(architecture, backbone, pictures, features, folder / "w.safetensors")
    _check_frozen_blocks_stay(backbone, side_px)
    check_shapes(architecture, side_px)


def check_shapes(architecture: str, side_px: int) -> None:
    """Without numbers, so the largest networks cost nothing."""
    backbone = backbone_shape(architecture).eval()
    assert len(backbone.blocks) >= 2
    whole, shape = forward_flops(backbone, (1, 3, side_px, side_px))
    assert shape == (1, backbone.num_features)
    assert whole > 0
    total, shape = 0, (1, 3, side_px, side_px)
    for block in backbone.blocks:
        flops, shape = forward_flops(block, shape)
        total += flops
    assert total == whole


def _check_it_computes_what_the_library_computes(
    architecture: str, pictures: torch.Tensor, features: torch.Tensor
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        native = native_network(architecture).eval()
    assert features.isfinite().all()
    torch.testing.assert_close(features, native(pictures), rtol=1e-4, atol=1e-4)


def _check_it_may_be_cut_anywhere(backbone: Backbone, pictures: torch.Tensor, features: torch.Tensor) -> None:
    outputs = pictures
    for block in backbone.blocks:
        assert isinstance(outputs, torch.Tensor)
        outputs = block(outputs)
    torch.testing.assert_close(pooled(outputs), features)
    num_blocks = len(backbone.blocks)
    for num_frozen in {0, 1, num_blocks // 2, num_blocks}:
        classifier = Classifier(copy.deepcopy(backbone), num_classes=3, dropout=0.2, num_frozen=num_frozen).eval()
        halfway = classifier.frozen_blocks(pictures)
        torch.testing.assert_close(classifier(halfway, start=num_frozen), classifier.head(features))


def _check_its_weights_survive_a_file(
    architecture: str, backbone: Backbone, pictures: torch.Tensor, features: torch.Tensor, path: Path
) -> None:
    save_tensors(path, backbone.state_dict())
    other = build_backbone(architecture, seed=1).eval()
    assert not _same(other.state_dict(), backbone.state_dict())
    other.load_state_dict(load_tensors(path))
    torch.testing.assert_close(other(pictures), features)


def _check_frozen_blocks_stay(backbone: Backbone, side_px: int) -> None:
    num_frozen = len(backbone.blocks) // 2
    classifier = Classifier(copy.deepcopy(backbone), num_classes=2, dropout=0.2, num_frozen=num_frozen)
    frozen = copy.deepcopy(classifier.frozen_blocks.state_dict())
    trained = copy.deepcopy(classifier.trained_blocks.state_dict())
    optimizer = torch.optim.SGD([each for each in classifier.parameters() if each.requires_grad], lr=0.01)
    for _ in range(2):
        classifier.train()
        nn.functional.cross_entropy(classifier(torch.randn(2, 3, side_px, side_px)), torch.tensor([0, 1])).backward()
        optimizer.step()
    assert _same(frozen, classifier.frozen_blocks.state_dict())
    assert not _same(trained, classifier.trained_blocks.state_dict())


def _same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)
