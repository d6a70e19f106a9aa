"""The range test: it suggests a rate that trains well, and touches nothing."""

import copy
from dataclasses import replace

import pytest
import torch
from digits import CPU, digits, recipe, tiny_classifier

from graft.training.data import ArmData
from graft.training.loop import Runtime, train
from graft.training.processes import join_processes
from graft.training.rate_finder import RateCurve, rate_curve
from graft.training.recipe import Recipe

FABRIC = join_processes(CPU)


def _curve(given: Recipe, num_steps: int = 100, seed: int = 0) -> RateCurve:
    return rate_curve(tiny_classifier(0), digits(0, 600), given, seed=seed, fabric=FABRIC, num_steps=num_steps)


def test_weights_statistics_and_the_random_state_stay_as_they_are_to_the_bit() -> None:
    classifier = tiny_classifier(0).train()
    before = copy.deepcopy(classifier.state_dict())
    random_state = torch.get_rng_state()
    rate_curve(classifier, digits(0, 200), recipe(0.01), seed=0, fabric=FABRIC, num_steps=20)
    assert all(torch.equal(classifier.state_dict()[name], tensor) for name, tensor in before.items())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert classifier.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in classifier.parameters())


def test_a_training_after_it_is_the_one_without_it() -> None:
    data, validation = digits(0, 100), digits(600, 700)
    plain, after = tiny_classifier(0), tiny_classifier(0)
    expected = train(plain, ArmData(data, validation), recipe(0.01, num_epochs=2), seed=0, runtime=Runtime(FABRIC))
    rate_curve(after, data, recipe(0.01), seed=0, fabric=FABRIC, num_steps=10)
    assert (
        train(after, ArmData(data, validation), recipe(0.01, num_epochs=2), seed=0, runtime=Runtime(FABRIC)) == expected
    )
    assert all(torch.equal(after.state_dict()[name], tensor) for name, tensor in plain.state_dict().items())


@pytest.mark.parametrize("head_ratio", [1.0, 5.0])
def test_what_it_suggests_is_within_a_factor_of_5_of_the_best_of_a_grid(head_ratio: float) -> None:
    data, validation = digits(0, 600), digits(600, 1000)
    losses = {}
    for rate in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0):
        given = recipe(rate, head_ratio=head_ratio)
        losses[rate] = train(tiny_classifier(0), ArmData(data, validation), given, seed=0, runtime=Runtime(FABRIC))[
            -1
        ].validation_loss
    good = [rate for rate, loss in losses.items() if loss <= min(losses.values()) + 0.05]  # a plateau has no best rate
    for seed in (0, 1):
        suggestion = _curve(recipe(0.001, head_ratio=head_ratio), seed=seed).suggestion
        assert suggestion is not None
        assert min(good) / 5 <= suggestion <= 5 * max(good), losses


def test_the_rates_of_the_recipe_do_not_matter_but_their_ratio_does() -> None:
    one = _curve(recipe(0.1), num_steps=30)
    assert _curve(recipe(0.0001), num_steps=30) == one
    other = _curve(recipe(0.1, head_ratio=5), num_steps=30)
    assert other.head_ratio == pytest.approx(5)
    assert other.losses != one.losses


def test_losses_that_diverge_end_it() -> None:
    whole = _curve(recipe(0.1), num_steps=60)
    assert len(whole.rates) == 60
    assert whole.rates[-1] == pytest.approx(1.0)
    diverging = _curve(recipe(0.1, head_ratio=10_000), num_steps=60)
    assert len(diverging.rates) == len(diverging.losses) < 50
    assert max(diverging.losses) <= 4 * min(diverging.losses)


def test_a_loss_that_never_falls_suggests_nothing() -> None:
    rates = [10.0**exponent for exponent in range(-6, 1)]
    assert RateCurve(rates, [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6], head_ratio=1).suggestion is None


def test_it_takes_every_ingredient_of_a_recipe() -> None:
    given = replace(
        recipe(0.01), ema_decay=0.9, wise_ft_share=0.5, early_stopping_patience=1, mixing="mixup", l2_sp=0.01,
        layer_decay=0.7, class_balance="sampling",
    )  # fmt: skip
    assert len(_curve(given, num_steps=20).losses) == 20
