"""How well probabilities hold. N samples, K classes.

A model is calibrated when of the items that it is 80 % sure of, 80 % are right. Confidence is the probability of the
predicted class.

Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", for the expected calibration error (section 2) and
    the temperature (section 4.2); Roelofs et al. 2022, "Mitigating Bias in Calibration Error Estimation", for bins
    that hold equally many items, which are less biased than bins of equal width.
"""

import functools

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from scipy.stats import binomtest, bootstrap

from graft.artifacts import Interval
from graft.examination.result import Calibration, ReliabilityBin
from graft.selection.intervals import mean_interval

CONFIDENCE = 0.95
NUM_RESAMPLES = 1000
MIN_PROBABILITY = 1e-7
"""A smaller one counts as this, as in graft.training.evaluation.log_loss."""
TEMPERATURES = (0.05, 20.0)
"""Looked for within these: few validation items may all be right, and would ask for an infinitely sure model."""


def tempered(probabilities_NK: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities to the power of 1 / temperature, made to sum to 1 again. The order of the classes stays.

    The temperature acts on log-probabilities: of one softmax these are the logits, but for a constant that makes no
    difference. Of a mean over views they are not any one view's logits; it is the mean that is corrected, since it is
    what the served model answers with.
    """
    return softmax(_logs(probabilities_NK) / temperature, axis=1)


def fit_temperature(probabilities_NK: np.ndarray, labels_N: np.ndarray) -> float:
    """The temperature of the lowest log-loss, within `TEMPERATURES`.

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
    probabilities_NK: np.ndarray, labels_N: np.ndarray, *, seed: int, num_resamples: int = NUM_RESAMPLES
) -> Interval:
    """The fitted temperature with its 95 % percentile interval over resampled items."""
    resampled = bootstrap(
        (np.arange(len(labels_N)),),
        lambda rows: fit_temperature(probabilities_NK[rows], labels_N[rows]),
        vectorized=False, n_resamples=num_resamples, confidence_level=CONFIDENCE, method="percentile",
        rng=np.random.default_rng(seed),
    )  # fmt: skip
    low, high = resampled.confidence_interval
    return Interval(mean=fit_temperature(probabilities_NK, labels_N), low=float(low), high=float(high))


def log_losses(probabilities_NK: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """Minus the log of the right class's probability, nats, of each item."""
    return -_logs(probabilities_NK)[np.arange(len(labels_N)), labels_N]


def saved_by(before_NK: np.ndarray, after_NK: np.ndarray, labels_N: np.ndarray) -> Interval:
    """Log-loss before minus after, nats an item, with the 95 % t interval over items."""
    return mean_interval(log_losses(before_NK, labels_N) - log_losses(after_NK, labels_N), confidence=CONFIDENCE)


def calibration_of(probabilities_NK: np.ndarray, labels_N: np.ndarray, *, num_bins: int, seed: int) -> Calibration:
    confidence_N, right_N = confidence_and_right(probabilities_NK, labels_N)
    ece, by_chance = ece_interval(confidence_N, right_N, num_bins=num_bins, seed=seed)
    losses_N = log_losses(probabilities_NK, labels_N)
    return Calibration(ece=ece, ece_by_chance=by_chance, log_loss=mean_interval(losses_N, confidence=CONFIDENCE))


def confidence_and_right(probabilities_NK: np.ndarray, labels_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The probability of each item's predicted class, and 1 where that class is right, else 0."""
    return probabilities_NK.max(axis=1), (probabilities_NK.argmax(axis=1) == labels_N).astype(float)


def expected_calibration_error(confidence_N: np.ndarray, right_N: np.ndarray, *, num_bins: int) -> float:
    """Mean distance between confidence and accuracy, 0..1, over bins of equally many items."""
    return _error(_bins(confidence_N, num_bins), confidence_N, right_N)


def ece_interval(
    confidence_N: np.ndarray, right_N: np.ndarray, *, num_bins: int, seed: int, num_resamples: int = NUM_RESAMPLES
) -> tuple[Interval, float]:
    """The expected calibration error with a 95 % interval, and the error that chance alone may give (97.5 %).

    A bin's gap is a distance, so luck only adds to it: the estimate is too high, the more so the better the model is
    calibrated, and resampling adds luck once more. An ordinary bootstrap interval of a calibrated model leaves out the
    truth nearly always. So the upper end is that of the percentile interval, the lower end that of the reversed one
    (which takes the bias off), and zero where a perfectly calibrated model would show as much by chance. Of 150 and of
    700 drawn items with true errors of 0 to 0.15, it holds the truth in 93 to 99 % (100 draws each).
    Source: Bröcker and Smith 2007, "Increasing the Reliability of Reliability Diagrams", for drawing what is right
        from the confidences.
    """

    generator, bins_N = np.random.default_rng(seed), _bins(confidence_N, num_bins)
    drawn = [_error(bins_N, confidence_N, generator.random(len(bins_N)) < confidence_N) for _ in range(num_resamples)]
    by_chance = float(np.quantile(drawn, 0.5 + CONFIDENCE / 2))
    resampled = bootstrap(
        (confidence_N, right_N), functools.partial(expected_calibration_error, num_bins=num_bins),
        paired=True, vectorized=False, n_resamples=num_resamples, confidence_level=CONFIDENCE, method="percentile",
        rng=generator,
    )  # fmt: skip
    found, high = _error(bins_N, confidence_N, right_N), float(resampled.confidence_interval.high)
    low = 0.0 if found <= by_chance else max(0.0, 2 * found - high)
    return Interval(mean=found, low=low, high=max(found, high)), by_chance


def reliability_of(probabilities_NK: np.ndarray, labels_N: np.ndarray, *, num_bins: int) -> list[ReliabilityBin]:
    """One a bin that holds items, least confident first."""
    confidence_N, right_N = confidence_and_right(probabilities_NK, labels_N)
    bins_N = _bins(confidence_N, num_bins)
    return [
        ReliabilityBin(
            confidence=float(confidence_N[bins_N == index].mean()),
            accuracy=share_interval(right_N[bins_N == index]),
            num_items=int((bins_N == index).sum()),
        )
        for index in np.unique(bins_N)
    ]


def share_interval(right_N: np.ndarray) -> Interval:
    """The share of ones with Wilson's 95 % interval."""
    found = binomtest(int(right_N.sum()), len(right_N)).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(mean=float(right_N.mean()), low=float(found.low), high=float(found.high))


def _error(bins_N: np.ndarray, confidence_N: np.ndarray, right_N: np.ndarray) -> float:
    gaps = np.bincount(bins_N, weights=confidence_N - right_N)
    return float(np.abs(gaps).sum() / len(right_N))


def _bins(confidence_N: np.ndarray, num_bins: int) -> np.ndarray:
    """Of each item; as many items in each as ties allow, which stay together."""
    edges = np.quantile(confidence_N, np.linspace(0, 1, num_bins + 1)[1:-1])
    return np.searchsorted(edges, confidence_N)


def _logs(probabilities_NK: np.ndarray) -> np.ndarray:
    return np.log(np.clip(probabilities_NK, MIN_PROBABILITY, None))
