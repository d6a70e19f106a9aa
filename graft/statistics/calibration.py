"""Calibration of predicted probabilities. N items, K classes, G units of items, M items of a resample.

A model is calibrated if 80 % of the items that it predicts with a confidence of 80 % are correct. Confidence is the
probability of the predicted class.

Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", for the expected calibration error (section 2) and
    the temperature (section 4.2); Roelofs et al. 2022, "Mitigating Bias in Calibration Error Estimation", for bins
    with equal numbers of items, which are less biased than bins of equal width.

All intervals count units of items (graft.statistics.units); `groups_N` names the unit of each item, None: each is one.
"""

from collections.abc import Iterator

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from graft.core.artifacts import Artifact, Interval
from graft.core.finite import WORST_LOSS, clipped_logs, predicted_classes
from graft.statistics.intervals import item_interval, share_interval
from graft.statistics.resampling import percentile_ends
from graft.statistics.units import correlation_within, unit_numbers

CONFIDENCE = 0.95
NUM_RESAMPLES = 1000
TEMPERATURES = (0.05, 20.0)
"""Range that is searched: if few validation items are all correct, the best temperature would be zero."""


class ReliabilityBin(Artifact):
    """Test items of similar confidence."""

    confidence: float
    """Mean confidence, 0..1."""
    accuracy: Interval
    """Accuracy, 0..1, with Wilson's interval (graft.statistics.intervals)."""
    num_items: int


class Calibration(Artifact):
    """Calibration of the probabilities on the test split."""

    ece: Interval
    """Expected calibration error, 0..1."""
    ece_by_chance: float
    """Largest error, 0..1, that a perfectly calibrated model with these confidences has in 97.5 % of draws of as many
    items, equally correlated within units."""
    log_loss: Interval
    """Mean log-loss, nats per item."""


def tempered(probabilities_NK: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities to the power of 1 / temperature, normalised to sum to 1. The order of the classes is unchanged.

    The temperature acts on log-probabilities. For a single softmax these are the logits, up to a constant that makes no
    difference. For a mean over views they are not the logits of any view; the mean is corrected, since it is what the
    served model returns.
    """
    return softmax(clipped_logs(probabilities_NK) / temperature, axis=1)


def fit_temperature(probabilities_NK: np.ndarray, labels_N: np.ndarray) -> float:
    """Temperature with the lowest log-loss, within `TEMPERATURES`.

    Args:
        labels_N: class indices.
    """
    found = minimize_scalar(
        lambda log_temperature: log_losses(tempered(probabilities_NK, np.exp(log_temperature)), labels_N).mean(),
        bounds=np.log(TEMPERATURES),
        method="bounded",
    )
    return float(np.exp(found.x))


def temperature_of(
    probabilities_NK: np.ndarray,
    labels_N: np.ndarray,
    groups_N: np.ndarray | None = None,
    *,
    seed: int,
    num_resamples: int = NUM_RESAMPLES,
) -> Interval:
    """Fitted temperature with its 95 % percentile interval over resampled units; all of `TEMPERATURES` if there is only
    one unit.

    An item that is made wrong (graft.statistics.resampling) gets its second most probable class as label.
    """
    second_N, first_N = np.argsort(probabilities_NK, axis=1)[:, -2:].T
    wrong_N = np.where(labels_N == first_N, second_N, labels_N)

    def fitted(rows_M: np.ndarray, forced_M: np.ndarray) -> float:
        labels_M = np.choose(forced_M + 1, [wrong_N[rows_M], labels_N[rows_M], first_N[rows_M]])
        return fit_temperature(probabilities_NK[rows_M], labels_M)

    low, high = percentile_ends(
        fitted, (labels_N == first_N).astype(float), groups_N,
        confidence=CONFIDENCE, num_resamples=num_resamples, generator=np.random.default_rng(seed),
    )  # fmt: skip
    found = fit_temperature(probabilities_NK, labels_N)
    return Interval(mean=found, low=max(TEMPERATURES[0], min(found, low)), high=min(TEMPERATURES[1], max(found, high)))


def log_losses(probabilities_NK: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """Minus the log of the probability of each item's true class, nats [N]; `WORST_LOSS` where that is NaN."""
    losses_N = -clipped_logs(probabilities_NK)[np.arange(len(labels_N)), labels_N]
    return np.where(np.isfinite(losses_N), losses_N, WORST_LOSS)


def loss_interval(losses_N: np.ndarray, groups_N: np.ndarray | None = None) -> Interval:
    """Mean log-loss, nats per item. It has no upper bound, so the largest observed loss is used as the bound."""
    return item_interval(losses_N, groups_N, bounds=(0.0, float(losses_N.max())), confidence=CONFIDENCE)


def log_loss_saved(
    before_NK: np.ndarray, after_NK: np.ndarray, labels_N: np.ndarray, groups_N: np.ndarray | None = None
) -> Interval:
    """Log-loss before minus after, nats per item, with a 95 % interval, paired by item."""
    saved_N = log_losses(before_NK, labels_N) - log_losses(after_NK, labels_N)
    most = float(np.abs(saved_N).max())
    return item_interval(saved_N, groups_N, bounds=(-most, most), confidence=CONFIDENCE)


def calibration_of(
    probabilities_NK: np.ndarray,
    labels_N: np.ndarray,
    groups_N: np.ndarray | None = None,
    *,
    num_bins: int,
    seed: int,
    num_resamples: int = NUM_RESAMPLES,
) -> Calibration:
    confidence_N, correct_N = confidence_and_correctness(probabilities_NK, labels_N)
    ece, by_chance = ece_interval(
        confidence_N, correct_N, groups_N, num_bins=num_bins, seed=seed, num_resamples=num_resamples
    )
    losses_N = log_losses(probabilities_NK, labels_N)
    return Calibration(ece=ece, ece_by_chance=by_chance, log_loss=loss_interval(losses_N, groups_N))


def confidence_and_correctness(probabilities_NK: np.ndarray, labels_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probability of each item's predicted class [N], and 1 where that class is correct, else 0 [N].

    A prediction whose probabilities are not finite counts as wrong with a confidence of 1.
    """
    is_finite_N = np.isfinite(probabilities_NK).all(axis=1)
    confidence_N = np.where(is_finite_N, probabilities_NK.max(axis=1), 1.0)
    return confidence_N, (predicted_classes(probabilities_NK) == labels_N).astype(float)


def expected_calibration_error(confidence_N: np.ndarray, correct_N: np.ndarray, *, num_bins: int) -> float:
    """Mean distance between confidence and accuracy, 0..1, over bins with equal numbers of items."""
    return _error(_bins(confidence_N, num_bins), confidence_N, correct_N)


def ece_interval(
    confidence_N: np.ndarray,
    correct_N: np.ndarray,
    groups_N: np.ndarray | None = None,
    *,
    num_bins: int,
    seed: int,
    num_resamples: int = NUM_RESAMPLES,
) -> tuple[Interval, float]:
    """Expected calibration error with a 95 % interval, and the largest error by chance alone (97.5 %).

    The gap of a bin is a distance, so random variation only increases it: the estimate is biased upwards, more so for
    better calibrated models, and resampling adds the bias once more. An ordinary bootstrap interval of a calibrated
    model almost never covers the true value. The upper end is therefore that of the percentile interval, the lower end
    that of the reversed one (which removes the bias) or of the percentile interval, whichever is lower, and zero if a
    perfectly calibrated model could have the same error by chance. Coverage: `python -m
    benchmarks.examination_intervals`.
    """
    generator, bins_N = np.random.default_rng(seed), _bins(confidence_N, num_bins)
    drawn = [
        _error(bins_N, confidence_N, calibrated_N)
        for calibrated_N in _calibrated_outcomes(confidence_N, correct_N, groups_N, num_resamples, generator)
    ]
    by_chance = float(np.quantile(drawn, 0.5 + CONFIDENCE / 2))

    def resampled_error(rows_M: np.ndarray, forced_M: np.ndarray) -> float:
        correct_M = np.where(forced_M == 0, correct_N[rows_M], forced_M > 0)
        return expected_calibration_error(confidence_N[rows_M], correct_M, num_bins=num_bins)

    low, high = percentile_ends(
        resampled_error, correct_N, groups_N, confidence=CONFIDENCE, num_resamples=num_resamples, generator=generator
    )
    found, high = _error(bins_N, confidence_N, correct_N), min(1.0, high)
    low = 0.0 if found <= by_chance else max(0.0, min(2 * found - high, low, found))
    return Interval(mean=found, low=low, high=max(found, high)), by_chance


def _calibrated_outcomes(
    confidence_N: np.ndarray,
    correct_N: np.ndarray,
    groups_N: np.ndarray | None,
    number: int,
    generator: np.random.Generator,
) -> Iterator[np.ndarray]:
    """Random outcomes [N] of a perfectly calibrated model with these confidences, `number` times: 1 correct, 0 wrong.

    Outcomes on items of one unit are as correlated as the observed ones.
    Source: Bröcker and Smith 2007, "Increasing the Reliability of Reliability Diagrams", for drawing outcomes from the
        confidences; Lunn and Davies 1998, "A note on generating correlated binary variables", for units.
    """
    shared_share = correlation_within(correct_N - confidence_N, groups_N) ** 0.5
    unit_of_N = unit_numbers(groups_N, len(correct_N))
    for _ in range(number):
        uniform_N = generator.random(len(correct_N))
        if shared_share > 0:
            uniform_G = generator.random(unit_of_N.max() + 1)
            uniform_N = np.where(generator.random(len(correct_N)) < shared_share, uniform_G[unit_of_N], uniform_N)
        yield uniform_N < confidence_N


def reliability_of(
    probabilities_NK: np.ndarray, labels_N: np.ndarray, groups_N: np.ndarray | None = None, *, num_bins: int
) -> list[ReliabilityBin]:
    """Reliability of each bin with items, least confident first."""
    confidence_N, correct_N = confidence_and_correctness(probabilities_NK, labels_N)
    bins_N = _bins(confidence_N, num_bins)
    found = []
    for index in np.unique(bins_N):
        inside = bins_N == index
        groups_inside = None if groups_N is None else groups_N[inside]
        found.append(
            ReliabilityBin(
                confidence=float(confidence_N[inside].mean()),
                accuracy=share_interval(correct_N[inside], groups_inside, confidence=CONFIDENCE),
                num_items=int(inside.sum()),
            )
        )
    return found


def _error(bins_N: np.ndarray, confidence_N: np.ndarray, correct_N: np.ndarray) -> float:
    gaps = np.bincount(bins_N, weights=confidence_N - correct_N)
    return float(np.abs(gaps).sum() / len(correct_N))


def _bins(confidence_N: np.ndarray, num_bins: int) -> np.ndarray:
    """Bin of each item [N]; bins hold equal numbers of items as far as ties allow, which stay together."""
    edges = np.quantile(confidence_N, np.linspace(0, 1, num_bins + 1)[1:-1])
    return np.searchsorted(edges, confidence_N)
