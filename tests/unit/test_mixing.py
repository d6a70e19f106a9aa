"""Pairs of samples, mixed: the inputs, the targets and the weights of one pair tell the same share."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from graft.core.errors import ParamsError
from graft.training.ingredients.mixing import Batch, cutmix, mixup

SIZE = 8
MAPS, TOKENS, FEATURES = (SIZE, 3, 16, 12), (SIZE, 5, 7), (SIZE, 7)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _own_classes(*shape: int, weights: Tensor | None = None) -> Batch:
    """Sample i is of class i, and all its numbers are i: so every number tells which samples it comes from."""
    inputs = torch.arange(float(SIZE)).view(-1, *[1] * (len(shape) - 1)).expand(shape).contiguous()
    return Batch(inputs, torch.eye(SIZE), torch.ones(SIZE) if weights is None else weights)


@pytest.mark.parametrize("shape", [MAPS, TOKENS, FEATURES])
def test_mixup_mixes_inputs_and_targets_by_the_same_share(shape: tuple[int, ...]) -> None:
    for seed in range(20):
        mixed = mixup(_own_classes(*shape), 0.4, _generator(seed))
        assert mixed.inputs.shape == shape
        expected = mixed.targets_BK @ torch.arange(float(SIZE))
        torch.testing.assert_close(mixed.inputs, expected.view(-1, *[1] * (len(shape) - 1)).expand(shape))
        torch.testing.assert_close(mixed.targets_BK.sum(dim=1), torch.ones(SIZE))
        torch.testing.assert_close(mixed.weights_B, torch.ones(SIZE))


def test_cutmix_takes_as_much_of_the_other_sample_as_the_targets_say() -> None:
    num_mixed = 0
    for seed in range(50):
        mixed = cutmix(_own_classes(*MAPS), 1.0, _generator(seed))
        for index in range(SIZE):
            values, counts = mixed.inputs[index].unique(return_counts=True)
            assert index in values.tolist() or len(values) == 1
            shares = torch.zeros(SIZE).index_add(0, values.long(), counts / counts.sum())
            torch.testing.assert_close(mixed.targets_BK[index], shares)
            num_mixed += len(values) == 2
    assert num_mixed > 200


def test_cutmix_moves_one_rectangle() -> None:
    for seed in range(20):
        mixed = cutmix(_own_classes(*MAPS), 1.0, _generator(seed))
        is_other = mixed.inputs[:, 0] != torch.arange(SIZE)[:, None, None]
        rows, columns = is_other.any(dim=2), is_other.any(dim=1)
        assert torch.equal(is_other, rows[:, :, None] & columns[:, None, :])
        assert (rows.diff(dim=1).sum(dim=1) <= 2).all()


def test_the_expected_share_of_the_other_sample_is_a_half_for_mixup_and_less_for_cutmix() -> None:
    """At alpha 1 both draw it evenly from 0 to 1; a rectangle over an edge replaces less."""
    for mix, low, high in ((mixup, 0.45, 0.55), (cutmix, 0.25, 0.45)):
        own = torch.stack([mix(_own_classes(*MAPS), 1.0, _generator(seed)).targets_BK.diag() for seed in range(400)])
        others = 1 - own[own < 1]  # a sample may be its own partner
        assert low < others.mean() < high


@pytest.mark.parametrize("shape", [TOKENS, FEATURES])
def test_cutmix_of_tokens_or_features_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ParamsError, match="Use mixup"):
        cutmix(_own_classes(*shape), 1.0, _generator(0))


@pytest.mark.parametrize("mix", [mixup, cutmix])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_the_loss_is_the_mean_of_both_samples_own_weighted_losses(mix, label_smoothing: float) -> None:
    weights = torch.linspace(0.25, 2, SIZE)
    logits = torch.randn(SIZE, SIZE, generator=_generator(1))
    even, weighted = (
        mix(_own_classes(*MAPS, weights=each), 1.0, _generator(0)) for each in (torch.ones(SIZE), weights)
    )

    def losses(targets: Tensor) -> Tensor:
        return F.cross_entropy(logits, targets, label_smoothing=label_smoothing, reduction="none")

    expected = sum(
        even.targets_BK[:, k] * weights[k] * losses(torch.eye(SIZE)[k].expand(SIZE, -1)) for k in range(SIZE)
    )
    torch.testing.assert_close(weighted.weights_B * losses(weighted.targets_BK), expected)


@pytest.mark.parametrize("mix", [mixup, cutmix])
def test_mixing_follows_from_the_generator_alone(mix) -> None:
    batch = _own_classes(*MAPS)
    before = torch.random.get_rng_state()
    first, again, other = (mix(batch, 1.0, _generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first.inputs, again.inputs)
    assert torch.equal(first.targets_BK, again.targets_BK)
    assert not torch.equal(first.inputs, other.inputs)
    assert torch.equal(batch.inputs, _own_classes(*MAPS).inputs)
