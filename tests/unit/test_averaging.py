"""Interpolated and moving averages of weights."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from graft.core.tensors import load_tensors, save_tensors
from graft.networks.backbones import Backbone, Classifier
from graft.training.ingredients.averaging import MovingAverage, interpolated


def _classifier(num_frozen: int = 0) -> Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        blocks: list[nn.Module] = [
            nn.Sequential(nn.Conv2d(num_in, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU()) for num_in in (3, 4)
        ]
        classifier = Classifier(Backbone(blocks, num_features=4), num_classes=2, dropout=0.0, num_frozen=num_frozen)
    with torch.no_grad():  # a negative zero, which careless averaging turns positive
        classifier.get_parameter("backbone.blocks.0.0.weight")[0] = -0.0
        classifier.get_buffer("backbone.blocks.0.1.running_mean").fill_(-0.0)
    return classifier


def _step(classifier: Classifier, optimizer: torch.optim.Optimizer, seed: int) -> None:
    classifier.train()
    optimizer.zero_grad()
    pictures = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    nn.functional.cross_entropy(classifier(pictures), torch.tensor([0, 1, 0, 1])).backward()
    optimizer.step()


def _state(classifier: Classifier) -> dict[str, Tensor]:
    return copy.deepcopy(classifier.state_dict())


def _same_bits(first: Tensor, second: Tensor) -> bool:
    return first.dtype == second.dtype and first.numpy().tobytes() == second.numpy().tobytes()


def _trained(num_steps: int, num_frozen: int = 0) -> Classifier:
    classifier = _classifier(num_frozen)
    optimizer = torch.optim.SGD(classifier.parameters(), lr=0.1)
    for seed in range(num_steps):
        _step(classifier, optimizer, seed)
    return classifier


@pytest.mark.parametrize("share", [0, 0.0, 1, 1.0])
def test_the_ends_of_an_interpolation_are_start_and_end_bit_for_bit(share: float) -> None:
    start, end = _state(_classifier()), _state(_trained(3))
    found = interpolated(start, end, share)
    assert found.keys() == start.keys()
    assert all(_same_bits(found[name], (end if share else start)[name]) for name in found)


def test_between_the_ends_weights_are_interpolated_and_counts_come_from_the_end() -> None:
    start, end = _state(_classifier()), _state(_trained(3))
    found = interpolated(start, end, 0.25)
    torch.testing.assert_close(found["head.weight"], 0.75 * start["head.weight"] + 0.25 * end["head.weight"])
    assert found["backbone.blocks.0.1.num_batches_tracked"] == 3
    found["head.weight"].zero_()
    assert start["head.weight"].any()


def test_interpolated_statistics_are_those_of_the_interpolated_weights() -> None:
    """Of a first layer, where start and end differ in scale."""
    maps = torch.randn(64, 3, generator=torch.Generator().manual_seed(0)) + 1

    def measured(weight: Tensor) -> dict[str, Tensor]:
        outputs = maps @ weight.T
        return {"weight": weight, "running_mean": outputs.mean(dim=0), "running_var": outputs.var(dim=0)}

    weight = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    found = interpolated(measured(weight), measured(3 * weight), 0.4)
    for name, expected in measured(found["weight"]).items():
        torch.testing.assert_close(found[name], expected)


def test_a_moving_average_warms_up_and_then_keeps_its_decay() -> None:
    classifier = _classifier()
    optimizer = torch.optim.SGD(classifier.parameters(), lr=1.0)
    average = MovingAverage(classifier, decay=0.2)
    expected = _state(classifier)["head.weight"]
    for step, decay in enumerate([1 / 10, 2 / 11, 0.2, 0.2]):
        _step(classifier, optimizer, seed=step)
        average.update(classifier)
        expected = decay * expected + (1 - decay) * classifier.state_dict()["head.weight"]
        torch.testing.assert_close(average.weights["head.weight"], expected)
    assert average.weights["backbone.blocks.1.1.num_batches_tracked"] == 4
    assert not torch.equal(average.weights["backbone.blocks.1.1.running_mean"], torch.zeros(4))
    _classifier().load_state_dict(average.weights)


def test_a_moving_average_leaves_what_is_frozen_bit_identical() -> None:
    classifier = _classifier(num_frozen=1)
    before = _state(classifier)
    optimizer = torch.optim.SGD(classifier.parameters(), lr=0.1)
    average = MovingAverage(classifier, decay=0.99)
    for seed in range(12):
        _step(classifier, optimizer, seed)
        average.update(classifier)
    is_same = {name: _same_bits(average.weights[name], before[name]) for name in before}
    assert {name for name, same in is_same.items() if same} == {name for name in before if "blocks.0" in name}


def test_a_moving_average_goes_on_from_its_state_to_the_bit(tmp_path: Path) -> None:
    classifier = _classifier(num_frozen=1)
    optimizer = torch.optim.SGD(classifier.parameters(), lr=0.1)
    average = MovingAverage(classifier, decay=0.9)
    for seed in range(3):
        _step(classifier, optimizer, seed)
        average.update(classifier)
    save_tensors(tmp_path / "average.safetensors", average.state())
    resumed = MovingAverage(_classifier(num_frozen=1), decay=0.9)
    resumed.load(load_tensors(tmp_path / "average.safetensors"))
    _step(classifier, optimizer, seed=3)
    average.update(classifier)
    resumed.update(classifier)
    assert all(_same_bits(average.state()[name], resumed.state()[name]) for name in average.state())
