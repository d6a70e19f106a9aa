"""Distances between domains: near nothing where there is none, honest about few samples, and without traces."""

import copy

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from graft.networks.batchnorm_shift import batchnorm_shift
from graft.statistics.distances import mmd_p_value, mmd_squared

PIXELS_ND, LABELS_N = load_digits(return_X_y=True)
DIGITS = torch.from_numpy(PIXELS_ND).float().reshape(-1, 1, 8, 8).repeat(1, 3, 1, 1) / 8 - 1


def test_two_halves_of_one_set_are_near_and_two_digits_are_far() -> None:
    shuffled_ND = np.random.default_rng(0).permutation(PIXELS_ND)
    halves = shuffled_ND[:200], shuffled_ND[200:400]
    zeros, ones = PIXELS_ND[LABELS_N == 0], PIXELS_ND[LABELS_N == 1]
    assert abs(mmd_squared(*halves)) < 0.01
    assert mmd_squared(zeros, ones) > 0.3
    assert mmd_p_value(*halves) > 0.05
    assert mmd_p_value(zeros, ones) == pytest.approx(1 / 1001)


def test_mmd_is_the_mean_of_the_kernel_within_less_across() -> None:
    one, other = PIXELS_ND[:5], PIXELS_ND[5:12]
    pooled = np.concatenate([one, other])
    squares = ((pooled[:, None] - pooled) ** 2).sum(axis=2)
    kernel = np.exp(-squares / np.median([squares[i, j] for i in range(12) for j in range(i)]))
    within = [np.mean([kernel[i, j] for i in side for j in side if i != j]) for side in (range(5), range(5, 12))]
    assert mmd_squared(one, other) == pytest.approx(sum(within) - 2 * kernel[:5, 5:].mean())
    assert mmd_squared(other, one) == pytest.approx(mmd_squared(one, other))


def test_mmd_of_one_distribution_is_zero_on_average_and_its_p_values_are_uniform() -> None:
    draws = [np.random.default_rng(seed).permutation(PIXELS_ND)[:40] for seed in range(60)]
    distances = [mmd_squared(draw[:10], draw[10:]) for draw in draws]
    p_values = [mmd_p_value(draw[:10], draw[10:], num_permutations=99) for draw in draws]
    assert abs(np.mean(distances)) < 3 * np.std(distances) / np.sqrt(60)
    assert min(distances) < 0
    assert 0.35 < np.mean(p_values) < 0.65


def test_a_handful_of_samples_does_not_pretend_to_precision() -> None:
    three_of_each = PIXELS_ND[LABELS_N == 3][:3], PIXELS_ND[LABELS_N == 5][:3]
    assert mmd_p_value(*three_of_each) >= 0.05


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="same features"):
        mmd_squared(np.ones((5, 3)), np.ones((5, 4)))
    with pytest.raises(ValueError, match="NaN"):
        mmd_p_value(np.full((5, 3), np.nan), np.ones((5, 3)))


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    """A small network whose BatchNorm layers have seen digits."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.BatchNorm2d(16), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10),
        )  # fmt: skip
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        for _ in range(100):
            chosen = torch.randint(0, 1000, (64,))
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(DIGITS[chosen]), torch.from_numpy(LABELS_N)[chosen]).backward()
            optimizer.step()
        # statistics of the network as it is now, not of those that it has been
        for module in network:
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
                module.momentum = None
        with torch.no_grad():
            network(DIGITS[:1000])
    return network


def _shift(network: nn.Module, pictures: Tensor) -> float:
    shift = batchnorm_shift(network, pictures)
    assert shift is not None
    return shift


def test_pictures_that_the_network_has_seen_lie_near_and_changed_ones_farther(trained: nn.Module) -> None:
    seen, unseen, dark, inverted = DIGITS[:1000], DIGITS[1000:], DIGITS[1000:] * 0.5 - 0.5, -DIGITS[1000:]
    assert _shift(trained, seen) < 0.02
    assert _shift(trained, seen) < _shift(trained, unseen) < 0.2
    assert _shift(trained, dark) > 2 * _shift(trained, unseen)
    assert _shift(trained, inverted) > 2 * _shift(trained, unseen)


def test_the_shift_does_not_hang_on_the_batches(trained: nn.Module) -> None:
    order = torch.randperm(500, generator=torch.Generator().manual_seed(0))
    assert _shift(trained, DIGITS[:500][order]) == pytest.approx(_shift(trained, DIGITS[:500]), rel=1e-2)


@pytest.mark.parametrize("is_training", [True, False])
def test_the_backbone_is_left_as_it_was(trained: nn.Module, is_training: bool) -> None:
    network = copy.deepcopy(trained).train(is_training)
    network[1].eval()
    before = copy.deepcopy(network.state_dict())
    _shift(network, DIGITS[:50])
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert [module.training for module in network] == [is_training, False, *[is_training] * 7]
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in network.modules())
    assert network(DIGITS[:2]).requires_grad


def test_a_backbone_without_batchnorm_has_no_shift() -> None:
    assert batchnorm_shift(nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)), DIGITS[:8]) is None
