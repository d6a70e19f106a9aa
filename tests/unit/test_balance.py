"""Rare classes: weights, and the order of an epoch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from graft.core.choices import ClassBalance
from graft.training.ingredients.balance import class_weights, epoch_order

LABELS = torch.tensor([0] * 70 + [1] * 7 + [2] * 25)
WEIGHTS = torch.linspace(0.5, 1.5, len(LABELS))


def test_class_weights_are_those_of_scikit_learn() -> None:
    expected = compute_class_weight("balanced", classes=np.arange(3), y=LABELS.numpy(), sample_weight=WEIGHTS.numpy())
    torch.testing.assert_close(class_weights(LABELS, WEIGHTS, 3), torch.from_numpy(expected).float())


def test_under_class_weights_every_class_counts_the_same_and_the_loss_keeps_its_scale() -> None:
    factors = class_weights(LABELS, WEIGHTS, 4)
    totals = torch.bincount(LABELS, weights=WEIGHTS * factors[LABELS], minlength=4)
    torch.testing.assert_close(totals, torch.tensor([1, 1, 1, 0]) * WEIGHTS.sum() / 3, rtol=1e-5, atol=1e-5)
    assert factors[3] == 0


@pytest.mark.parametrize("kind", ["none", "weights"])
def test_without_sampling_every_sample_comes_once(kind: ClassBalance) -> None:
    order = epoch_order(LABELS, kind, torch.Generator().manual_seed(0))
    assert sorted(order.tolist()) == list(range(len(LABELS)))
    assert order.tolist() != list(range(len(LABELS)))


@given(labels=st.lists(st.integers(0, 6), min_size=1, max_size=60), seed=st.integers(0, 2**63 - 1))
def test_sampling_gives_every_class_its_equal_part(labels: list[int], seed: int) -> None:
    order = epoch_order(torch.tensor(labels), "sampling", torch.Generator().manual_seed(seed))
    assert len(order) == len(labels)
    per_class = torch.tensor(labels)[order].unique(return_counts=True)
    assert per_class[0].tolist() == sorted(set(labels))
    assert per_class[1].max() - per_class[1].min() <= 1
    for label in set(labels):
        members = [index for index, each in enumerate(labels) if each == label]
        repeats = [(order == index).sum().item() for index in members]
        assert max(repeats) - min(repeats) <= 1


def test_what_cannot_be_shared_out_equally_goes_to_ever_other_classes() -> None:
    labels, generator = torch.tensor([0, 1, 1, 2, 2, 2, 2]), torch.Generator().manual_seed(0)
    favoured = {labels[epoch_order(labels, "sampling", generator)].mode().values.item() for _ in range(30)}
    assert favoured == {0, 1, 2}


def test_a_large_class_shows_other_samples_in_the_next_epoch() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (set(epoch_order(LABELS, "sampling", generator).tolist()) for _ in range(2))
    assert first != second


@pytest.mark.parametrize("kind", ["none", "weights", "sampling"])
def test_the_order_follows_from_the_seed(kind: ClassBalance) -> None:
    first, again, other = (epoch_order(LABELS, kind, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
