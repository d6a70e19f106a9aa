"""How well a linear probe does on frozen features: N samples, D features, F folds in all."""

import warnings

import numpy as np
from scipy.stats import t as student_t
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from graft.artifacts import Interval


def probe_accuracies(
    features_ND: np.ndarray,
    labels_N: np.ndarray,
    *,
    num_folds: int,
    num_repeats: int,
    regularisation_strength: float,
    seed: int,
) -> np.ndarray:
    """Accuracy (0..1) of an L2-regularised logistic regression in each of `num_folds * num_repeats` folds."""
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=1 / regularisation_strength, max_iter=300))
    folds = RepeatedStratifiedKFold(n_splits=num_folds, n_repeats=num_repeats, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="sklearn")  # lbfgs at its 300 iterations
        return cross_val_score(probe, features_ND, labels_N, cv=folds, n_jobs=1)


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


def reason_for(names: list[str], scores_RF: np.ndarray, *, num_folds: int) -> str:
    """Why the first of the ranked sources was chosen, and whether the folds separate it from the second.

    Args:
        scores_RF: scores of the R ranked sources on the same F folds.
    """
    if len(names) == 1:
        return f"{names[0]} is the only candidate"
    lead = resampled_interval(scores_RF[0] - scores_RF[1], num_folds=num_folds)
    is_separated = lead.low > 0
    return (
        f"best cross-validated probe, {100 * lead.mean:+.1f} points on {names[1]} "
        f"[{100 * lead.low:+.1f}, {100 * lead.high:+.1f}]: "
        + ("separated from it" if is_separated else "not separated from it by this many samples")
    )
