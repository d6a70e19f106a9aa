"""Learning rates by depth."""

import pytest
import torch
from torch import nn

from graft.networks.backbones import Classifier, build_backbone
from graft.training.ingredients.layer_rates import ParameterGroup, parameter_groups

ARCHITECTURES = ["torchvision/mobilenet_v2", "timm/vit_tiny_patch16_224"]


def _classifier(architecture: str = ARCHITECTURES[0], num_frozen: int = 3) -> Classifier:
    return Classifier(build_backbone(architecture, 0), num_classes=2, dropout=0, num_frozen=num_frozen)


def _groups(classifier: Classifier, layer_decay: float = 0.5, decay_norm_and_bias: bool = True) -> list[ParameterGroup]:
    return parameter_groups(
        classifier, backbone_rate=1e-3, head_rate=1e-2, layer_decay=layer_decay, weight_decay=0.05,
        decay_norm_and_bias=decay_norm_and_bias,
    )  # fmt: skip


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("decay_norm_and_bias", [True, False])
def test_every_parameter_is_in_one_group(architecture: str, decay_norm_and_bias: bool) -> None:
    classifier = _classifier(architecture)
    groups = _groups(classifier, decay_norm_and_bias=decay_norm_and_bias)
    found = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(found) == sorted(id(parameter) for parameter in classifier.parameters())
    assert len({group["name"] for group in groups}) == len(groups)
    assert all(group["params"] for group in groups)


def test_rates_fall_from_the_last_block_to_the_first() -> None:
    classifier = _classifier()
    rates = {group["name"]: group["lr"] for group in _groups(classifier)}
    last = len(classifier.backbone.blocks) - 1
    assert rates[f"blocks.{last}"] == 1e-3
    assert rates[f"blocks.{last - 2}"] == pytest.approx(1e-3 / 4)
    assert rates["blocks.0"] == pytest.approx(1e-3 * 0.5**last)
    assert rates["head"] == 1e-2


def test_without_decay_by_layer_there_are_two_rates() -> None:
    assert {group["lr"] for group in _groups(_classifier(), layer_decay=1.0)} == {1e-3, 1e-2}


def test_norms_and_biases_can_be_left_out_of_weight_decay() -> None:
    classifier = _classifier()
    groups = _groups(classifier, decay_norm_and_bias=False)
    undecayed = {id(each) for group in groups if group["weight_decay"] == 0 for each in group["params"]}
    norms = [module for module in classifier.modules() if isinstance(module, nn.BatchNorm2d)]
    expected = [each for norm in norms for each in norm.parameters()] + [classifier.head.bias]
    assert undecayed == {id(each) for each in expected}
    assert {group["weight_decay"] for group in groups} == {0.0, 0.05}
    assert {group["weight_decay"] for group in _groups(classifier)} == {0.05}


def test_a_frozen_block_stays_until_it_is_unfrozen_under_the_same_optimiser() -> None:
    classifier = _classifier()
    weight = classifier.get_parameter("backbone.blocks.0.0.weight")
    before = weight.detach().clone()
    optimizer = torch.optim.AdamW(_groups(classifier, layer_decay=0.9))
    pictures = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(classifier.train()(pictures), torch.tensor([0, 1, 0, 1])).backward()
        optimizer.step()

    step()
    assert torch.equal(weight, before)
    classifier.freeze(0)
    step()
    assert not torch.equal(weight, before)
