"""Penalties against their plain formulas."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graft.training.ingredients.regularisers import batch_spectral_shrinkage, l2_sp


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_l2_sp_is_nothing_at_the_start() -> None:
    start = {"conv.weight": _random(4, 3), "conv.bias": _random(4)}
    assert l2_sp(start, start, alpha=0.1, beta=0.1) == 0
    assert l2_sp({}, start, alpha=0.1, beta=0.1) == 0


def test_l2_sp_pulls_the_backbone_to_its_start_and_the_head_to_zero() -> None:
    start = {"conv": _random(4, 3), "frozen": _random(5)}
    conv, head = _random(4, 3, seed=1).requires_grad_(), _random(2, 4, seed=2).requires_grad_()
    penalty = l2_sp({"conv": conv, "head": head}, start, alpha=0.1, beta=0.01)
    expected = 0.05 * ((conv - start["conv"]) ** 2).sum() + 0.005 * (head**2).sum()
    torch.testing.assert_close(penalty, expected)
    penalty.backward()
    torch.testing.assert_close(conv.grad, 0.1 * (conv.detach() - start["conv"]))
    torch.testing.assert_close(head.grad, 0.01 * head.detach())


@given(batch=st.integers(1, 12), width=st.integers(1, 12), num_values=st.integers(1, 15))
def test_spectral_shrinkage_is_the_sum_of_the_smallest_eigenvalues(batch: int, width: int, num_values: int) -> None:
    features = _random(batch, width, seed=batch + 100 * width)
    smaller_gram = features @ features.T if batch <= width else features.T @ features
    expected = torch.linalg.eigvalsh(smaller_gram)[:num_values].sum()
    torch.testing.assert_close(batch_spectral_shrinkage(features, num_values), expected, atol=1e-9, rtol=1e-9)


def test_spectral_shrinkage_of_all_values_is_the_squared_length_of_the_features() -> None:
    features = _random(3, 7)
    torch.testing.assert_close(batch_spectral_shrinkage(features, 99), features.square().sum())


def test_spectral_shrinkage_has_the_right_gradient() -> None:
    assert torch.autograd.gradcheck(
        lambda features: batch_spectral_shrinkage(features, 2), _random(4, 6).requires_grad_()
    )


@pytest.mark.parametrize("features", [torch.zeros(4, 6), torch.ones(4, 6), torch.eye(4, 6)], ids=["0", "equal", "ties"])
def test_spectral_shrinkage_has_a_finite_gradient_where_singular_values_are_equal(features: torch.Tensor) -> None:
    features = features.clone().requires_grad_()
    batch_spectral_shrinkage(features, 2).backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()


def test_spectral_shrinkage_of_half_precision_features_is_computed_in_full_precision() -> None:
    features = _random(8, 32).to(torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = batch_spectral_shrinkage(features)
    torch.testing.assert_close(found, batch_spectral_shrinkage(features.float()))
