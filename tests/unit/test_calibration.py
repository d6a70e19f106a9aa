"""How well probabilities hold, on drawn items of which it is known how well they do."""

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import norm

from graft.core.artifacts import Interval
from graft.statistics.calibration import (
    TEMPERATURES,
    calibration_of,
    ece_interval,
    expected_calibration_error,
    fit_temperature,
    log_loss_saved,
    log_losses,
    reliability_of,
    temperature_of,
    tempered,
)  # fmt: skip

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_logits_were_multiplied_by_is_found(temperature: float) -> None:
    probabilities_NK, labels_N = _drawn(20_000, temperature)
    assert fit_temperature(probabilities_NK, labels_N) == pytest.approx(temperature, rel=0.05)


def test_few_items_that_are_all_right_give_the_least_temperature_and_no_nonsense() -> None:
    probabilities_NK = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    least = fit_temperature(probabilities_NK, np.array([0, 1, 0]))
    assert least == pytest.approx(TEMPERATURES[0], rel=0.01)
    assert np.isfinite(log_losses(tempered(probabilities_NK, least), np.array([0, 1, 0]))).all()


def test_a_temperature_keeps_the_order_of_the_classes_and_the_sum() -> None:
    probabilities_NK, _ = _drawn(100, 1.0)
    for temperature in (0.2, 1.0, 5.0):
        changed_NK = tempered(probabilities_NK, temperature)
        np.testing.assert_array_equal(changed_NK.argsort(axis=1), probabilities_NK.argsort(axis=1))
        np.testing.assert_allclose(changed_NK.sum(axis=1), 1)
    np.testing.assert_allclose(tempered(probabilities_NK, 1.0), probabilities_NK, atol=1e-6)


def test_the_interval_of_the_temperature_holds_the_true_one_as_often_as_it_says_and_narrows_with_items() -> None:
    few, many = (
        [temperature_of(*_drawn(number, 1.8, seed), seed=seed, num_resamples=60) for seed in range(8)]
        for number in (100, 600)
    )
    assert sum(found.low <= 1.8 <= found.high for found in [*few, *many]) >= 13
    widths_few, widths_many = (np.mean([found.high - found.low for found in intervals]) for intervals in (few, many))
    assert widths_many < widths_few / 2


def test_the_right_temperature_saves_log_loss_and_a_wrong_one_costs() -> None:
    probabilities_NK, labels_N = _drawn(2000, 2.0)
    assert log_loss_saved(probabilities_NK, tempered(probabilities_NK, 2.0), labels_N).low > 0
    assert log_loss_saved(probabilities_NK, tempered(probabilities_NK, 0.5), labels_N).high < 0


def test_a_calibrated_model_has_hardly_any_calibration_error() -> None:
    confidence_N, right_N = _judged(100_000, excess=0)
    assert expected_calibration_error(confidence_N, right_N, num_bins=10) < 0.01


@pytest.mark.parametrize("excess", [0.1, 0.2])
def test_who_is_always_too_sure_by_as_much_has_just_that_calibration_error(excess: float) -> None:
    confidence_N, right_N = _judged(100_000, excess)
    assert expected_calibration_error(confidence_N, right_N, num_bins=10) == pytest.approx(excess, abs=0.01)


@pytest.mark.parametrize("excess", [0, 0.05, 0.15])
def test_the_interval_of_the_calibration_error_holds_the_true_one_about_as_often_as_it_says(excess: float) -> None:
    drawn = [_judged(150, excess, seed) for seed in range(40)]
    intervals = [ece_interval(*judged, num_bins=10, seed=0, num_resamples=100)[0] for judged in drawn]
    assert sum(interval.low <= excess <= interval.high for interval in intervals) >= 35  # of 95 %: in 97 of 100 tests


def test_an_error_that_chance_gives_has_an_interval_down_to_zero_and_a_larger_one_does_not() -> None:
    calibrated, by_chance = ece_interval(*_judged(300, excess=0), num_bins=10, seed=0)
    assert calibrated.mean < by_chance
    assert calibrated.low == 0
    overconfident, by_chance = ece_interval(*_judged(300, excess=0.2), num_bins=10, seed=0)
    assert overconfident.mean > by_chance
    assert overconfident.low > 0


def test_bins_hold_equally_many_items_and_those_of_one_confidence_stay_together() -> None:
    probabilities_NK, labels_N = _drawn(1000, 1.0)
    table = reliability_of(probabilities_NK, labels_N, num_bins=10)
    assert [found.num_items for found in table] == [100] * 10
    assert [found.confidence for found in table] == sorted(found.confidence for found in table)
    all_equal = reliability_of(np.full((30, 2), [0.7, 0.3]), np.zeros(30, dtype=int), num_bins=10)
    assert [(found.num_items, found.accuracy.mean) for found in all_equal] == [(30, 1.0)]


def test_intervals_of_items_that_come_in_groups_are_as_wide_as_those_of_the_groups_alone() -> None:
    probabilities_NK, labels_N = _drawn(60, 1.5)
    items_N = np.repeat(np.arange(60), 20)
    grouped = probabilities_NK[items_N], labels_N[items_N], items_N
    alone, repeated = (
        {
            "log_loss": (calibration := calibration_of(*items, num_bins=5, seed=0)).log_loss,
            "ece": calibration.ece,
            "saved": log_loss_saved(items[0], tempered(items[0], 1.5), *items[1:]),
            "temperature": temperature_of(*items, seed=0, num_resamples=100),
            "accuracy": reliability_of(*items, num_bins=5)[0].accuracy,
        }
        for items in ((probabilities_NK, labels_N), grouped)
    )
    for name, one in alone.items():
        assert repeated[name].mean == pytest.approx(one.mean, abs=0.01), name
        assert _width(repeated[name]) == pytest.approx(_width(one), rel=0.25), name


@pytest.mark.parametrize("excess", [0, 0.15])
def test_the_interval_of_the_calibration_error_holds_the_true_one_where_items_come_in_groups(excess: float) -> None:
    """One that takes the items for independent holds it in 48 to 76 of 100."""
    generator, held = np.random.default_rng(0), 0
    for _ in range(60):
        groups_N = np.repeat(np.arange(20), 20)
        confidence_N = generator.uniform(0.7, 1, 400)
        luck_N = norm.cdf(0.9**0.5 * generator.normal(size=20)[groups_N] + 0.1**0.5 * generator.normal(size=400))
        right_N = (luck_N < confidence_N - excess).astype(float)
        found, _ = ece_interval(confidence_N, right_N, groups_N, num_bins=10, seed=0, num_resamples=100)
        held += found.low <= excess <= found.high
    assert held >= 54


def test_models_that_are_always_right_have_intervals_with_a_width() -> None:
    probabilities_NK, labels_N = np.full((30, 2), [0.8, 0.2]), np.zeros(30, dtype=int)
    found = calibration_of(probabilities_NK, labels_N, num_bins=5, seed=0)
    for interval in (found.ece, found.log_loss, temperature_of(probabilities_NK, labels_N, seed=0, num_resamples=100)):
        assert interval.low < interval.high
    assert _width(found.ece) > 0.05


def test_one_group_tells_nothing_of_the_calibration_of_others() -> None:
    probabilities_NK, labels_N = _drawn(30, 1.0)
    one_N = np.zeros(30, dtype=int)
    ece = calibration_of(probabilities_NK, labels_N, one_N, num_bins=5, seed=0).ece
    assert (ece.low, ece.high) == (0, 1)
    temperature = temperature_of(probabilities_NK, labels_N, one_N, seed=0, num_resamples=10)
    assert (temperature.low, temperature.high) == TEMPERATURES


def _width(interval: Interval) -> float:
    return interval.high - interval.low


def _drawn(num_items: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are too sure by `temperature`, and labels."""
    generator = np.random.default_rng(seed)
    logits_NK = 1.5 * generator.standard_normal((num_items, 3))
    labels_N = np.array([generator.choice(3, p=row) for row in softmax(logits_NK, axis=1)])
    return softmax(temperature * logits_NK, axis=1), labels_N


def _judged(num_items: int, excess: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Confidences of 0.7 to 1, and what is right: by `excess` less often than they say."""
    generator = np.random.default_rng(seed)
    confidence_N = generator.uniform(0.7, 1, num_items)
    return confidence_N, (generator.random(num_items) < confidence_N - excess).astype(float)
