"""Held-out losses of two networks are compared at the best temperature of each."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from graft.selection.calibration import calibrated_losses

RANDOM = np.random.default_rng(0)
LABELS_M = RANDOM.integers(0, 3, 200)
LOGITS_MK = np.eye(3)[LABELS_M] * 1.5 + RANDOM.normal(size=(200, 3))


@pytest.mark.parametrize("confidence", [0.2, 1.0, 8.0])
def test_how_sure_a_network_is_of_itself_does_not_count(confidence: float) -> None:
    expected = calibrated_losses(softmax(LOGITS_MK, axis=1), LABELS_M)
    found = calibrated_losses(softmax(confidence * LOGITS_MK, axis=1), LABELS_M)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_loss_is_no_higher_than_without_a_temperature_and_higher_for_worse_logits() -> None:
    plain = -log_softmax(LOGITS_MK, axis=1)[np.arange(200), LABELS_M].mean()
    assert calibrated_losses(softmax(LOGITS_MK, axis=1), LABELS_M).mean() <= plain
    worse = LOGITS_MK + 2 * RANDOM.normal(size=(200, 3))
    assert calibrated_losses(softmax(worse, axis=1), LABELS_M).mean() > plain


def test_a_network_that_knows_nothing_loses_the_log_of_the_number_of_classes() -> None:
    guesses = softmax(RANDOM.normal(size=(200, 3)), axis=1)
    assert calibrated_losses(guesses, LABELS_M).mean() == pytest.approx(np.log(3), abs=0.03)


def test_probabilities_of_zero_and_one_are_taken() -> None:
    assert np.isfinite(calibrated_losses(np.eye(3)[[0, 1, 2, 0]], np.array([0, 1, 2, 1]))).all()
