"""How sure a mean over samples or over folds is. M samples, F folds."""

import numpy as np
from scipy.stats import t as student_t

from graft.artifacts import Interval


def mean_interval(values_M: np.ndarray, *, confidence: float) -> Interval:
    """Student's t over held-out samples; it does not count the luck of a training."""
    mean = float(values_M.mean())
    half = float(student_t.ppf(0.5 + confidence / 2, len(values_M) - 1) * values_M.std(ddof=1) / len(values_M) ** 0.5)
    return Interval(mean=mean, low=mean - half, high=mean + half)


def resampled_interval(scores_F: np.ndarray, *, num_folds: int, confidence: float = 0.95) -> Interval:
    """Mean of cross-validation scores with the corrected resampled t interval.

    Folds share training data, so the plain standard error is too small; the variance is scaled by
    1/F + (test size / training size) = 1/F + 1/(num_folds - 1).
    Source: Nadeau and Bengio 2003, "Inference for the Generalization Error", section 4.
    """
    num_scores = len(scores_F)
    variance = scores_F.var(ddof=1) * (1 / num_scores + 1 / (num_folds - 1))
    half = student_t.ppf(0.5 + confidence / 2, num_scores - 1) * variance**0.5
    mean = scores_F.mean()
    return Interval(mean=mean, low=mean - half, high=mean + half)
