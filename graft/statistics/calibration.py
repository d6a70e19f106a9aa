"""How well probabilities hold. N items, K classes, M items of a resample.

A model is calibrated when of the items that it is 80 % sure of, 80 % are right. Confidence is the probability of the
predicted class.

Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", for the expected calibration error (section 2) and
    the temperature (section 4.2); Roelofs et al. 2022, "Mitigating Bias in Calibration Error Estimation", for bins
    that hold equally many items, which are less biased than bins of equal width.

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
"""Range that is searched: few validation items may all be right, and would ask for an infinitely sure model."""


class ReliabilityBin(Artifact):
    """Test items of about equal confidence: the probability of the predicted class."""

    confidence: float
    """Mean, 0..1."""
    accuracy: Interval
    """0..1, with Wilson's interval (graft.statistics.intervals)."""
    num_items: int


class Calibration(Artifact):
    """How well probabilities on the test split hold."""

    ece: Interval
    """Expected calibration error, 0..1."""
    ece_by_chance: float
    """A perfectly calibrated model of these confidences stays below this in 97.5 % of draws of so many items, as alike
    within units as these."""
    log_loss: Interval
    """Nats per item."""


def tempered(probabilities_NK: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities to the power of 1 / temperature, made to sum to 1 again. The order of the classes stays.

    The temperature acts on log-probabilities: of one softmax these are the logits, but for a constant that makes no
    difference. Of a mean over views they are not any one view's logits; it is the mean that is corrected, since it is
    what the served model answers with.
    """
    return softmax(clipped_logs(probabilities_NK) / temperature, axis=1)


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
    probabilities_NK: np.ndarray,
    labels_N: np.ndarray,
    groups_N: np.ndarray | None = None,
    *,
    seed: int,
    num_resamples: int = NUM_RESAMPLES,
) -> Interval:
    """The fitted temperature with its 95 % percentile interval over resampled units; all of `TEMPERATURES` where there
    is one unit.

    An item that is made wrong (graft.statistics.resampling) is one of its second most probable class.
    """
    second_N, first_N = np.argsort(probabilities_NK, axis=1)[:, -2:].T
    wrong_N = np.where(labels_N == first_N, second_N, labels_N)

    def fitted(rows_M: np.ndarray, made_M: np.ndarray) -> float:
        labels_M = np.choose(made_M + 1, [wrong_N[rows_M], labels_N[rows_M], first_N[rows_M]])
        return fit_temperature(probabilities_NK[rows_M], labels_M)

    low, high = percentile_ends(
        fitted, (labels_N == first_N).astype(float), groups_N,
        confidence=CONFIDENCE, num_resamples=num_resamples, generator=np.random.default_rng(seed),
    )  # fmt: skip
    found = fit_temperature(probabilities_NK, labels_N)
    return Interval(mean=found, low=max(TEMPERATURES[0], min(found, low)), high=min(TEMPERATURES[1], max(found, high)))


def log_losses(probabilities_NK: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """Minus the log of the right class's probability, nats, of each item; `WORST_LOSS` where that is NaN."""
    losses_N = -clipped_logs(probabilities_NK)[np.arange(len(labels_N)), labels_N]
    return np.where(np.isfinite(losses_N), losses_N, WORST_LOSS)


def loss_interval(losses_N: np.ndarray, groups_N: np.ndarray | None = None) -> Interval:
    """Mean log-loss, nats per item. An item can lose anything; the most that was seen stands for the most there is."""
    return item_interval(losses_N, groups_N, bounds=(0.0, float(losses_N.max())), confidence=CONFIDENCE)


def saved_by(
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
    confidence_N, right_N = confidence_and_right(probabilities_NK, labels_N)
    ece, by_chance = ece_interval(
        confidence_N, right_N, groups_N, num_bins=num_bins, seed=seed, num_resamples=num_resamples
    )
    losses_N = log_losses(probabilities_NK, labels_N)
    return Calibration(ece=ece, ece_by_chance=by_chance, log_loss=loss_interval(losses_N, groups_N))


def confidence_and_right(probabilities_NK: np.ndarray, labels_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The probability of each item's predicted class, and 1 where that class is right, else 0.

    An answer whose probabilities are not finite counts as wrong with a confidence of 1.
    """
    is_answer_N = np.isfinite(probabilities_NK).all(axis=1)
    confidence_N = np.where(is_answer_N, probabilities_NK.max(axis=1), 1.0)
    return confidence_N, (predicted_classes(probabilities_NK) == labels_N).astype(float)


def expected_calibration_error(confidence_N: np.ndarray, right_N: np.ndarray, *, num_bins: int) -> float:
    """Mean distance between confidence and accuracy, 0..1, over bins of equally many items."""
    return _error(_bins(confidence_N, num_bins), confidence_N, right_N)


def ece_interval(
    confidence_N: np.ndarray,
    right_N: np.ndarray,
    groups_N: np.ndarray | None = None,
    *,
    num_bins: int,
    seed: int,
    num_resamples: int = NUM_RESAMPLES,
) -> tuple[Interval, float]:
    """The expected calibration error with a 95 % interval, and the error that chance alone may give (97.5 %).

    A bin's gap is a distance, so luck only adds to it: the estimate is too high, the more so the better the model is
    calibrated, and resampling adds luck once more. An ordinary bootstrap interval of a calibrated model leaves out the
    truth nearly always. So the upper end is that of the percentile interval, the lower end that of the reversed one
    (which takes the bias off) or of the percentile interval, whichever is lower, and zero where a perfectly calibrated
    model would show as much by chance. How often it holds the truth: `python -m benchmarks.examination_intervals`.
    """
    generator, bins_N = np.random.default_rng(seed), _bins(confidence_N, num_bins)
    drawn = [
        _error(bins_N, confidence_N, calibrated_N)
        for calibrated_N in _calibrated_answers(confidence_N, right_N, groups_N, num_resamples, generator)
    ]
    by_chance = float(np.quantile(drawn, 0.5 + CONFIDENCE / 2))

    def resampled_error(rows_M: np.ndarray, made_M: np.ndarray) -> float:
        right_M = np.where(made_M == 0, right_N[rows_M], made_M > 0)
        return expected_calibration_error(confidence_N[rows_M], right_M, num_bins=num_bins)

    low, high = percentile_ends(
        resampled_error, right_N, groups_N, confidence=CONFIDENCE, num_resamples=num_resamples, generator=generator
    )
    found, high = _error(bins_N, confidence_N, right_N), min(1.0, high)
    low = 0.0 if found <= by_chance else max(0.0, min(2 * found - high, low, found))
    return Interval(mean=found, low=low, high=max(found, high)), by_chance


def _calibrated_answers(
    confidence_N: np.ndarray,
    right_N: np.ndarray,
    groups_N: np.ndarray | None,
    number: int,
    generator: np.random.Generator,
) -> Iterator[np.ndarray]:
    """[N], so many times: what a perfectly calibrated model of these confidences would get right (1) and wrong (0).

    Answers on items of one unit are as alike as those that were seen.
    Source: Bröcker and Smith 2007, "Increasing the Reliability of Reliability Diagrams", for drawing what is right
        from the confidences; Lunn and Davies 1998, "A note on generating correlated binary variables", for units.
    """
    shared_share = correlation_within(right_N - confidence_N, groups_N) ** 0.5
    unit_of_N = unit_numbers(groups_N, len(right_N))
    for _ in range(number):
        luck_N = generator.random(len(right_N))
        if shared_share > 0:
            luck_G = generator.random(unit_of_N.max() + 1)
            luck_N = np.where(generator.random(len(right_N)) < shared_share, luck_G[unit_of_N], luck_N)
        yield luck_N < confidence_N


def reliability_of(
    probabilities_NK: np.ndarray, labels_N: np.ndarray, groups_N: np.ndarray | None = None, *, num_bins: int
) -> list[ReliabilityBin]:
    """One per bin that holds items, least confident first."""
    confidence_N, right_N = confidence_and_right(probabilities_NK, labels_N)
    bins_N = _bins(confidence_N, num_bins)
    found = []
    for index in np.unique(bins_N):
        inside = bins_N == index
        groups_inside = None if groups_N is None else groups_N[inside]
        found.append(
            ReliabilityBin(
                confidence=float(confidence_N[inside].mean()),
                accuracy=share_interval(right_N[inside], groups_inside, confidence=CONFIDENCE),
                num_items=int(inside.sum()),
            )
        )
    return found


def _error(bins_N: np.ndarray, confidence_N: np.ndarray, right_N: np.ndarray) -> float:
    gaps = np.bincount(bins_N, weights=confidence_N - right_N)
    return float(np.abs(gaps).sum() / len(right_N))


def _bins(confidence_N: np.ndarray, num_bins: int) -> np.ndarray:
    """Bin of each item, [N]; bins hold equally many items as far as ties allow, which stay together."""
    edges = np.quantile(confidence_N, np.linspace(0, 1, num_bins + 1)[1:-1])
    return np.searchsorted(edges, confidence_N)
