"""Rankings of samples for a person to check, most suspicious first. N samples, D features.

A list is a table with the columns of `LIST_COLUMNS`; the function that makes it defines its score.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from sklearn.neighbors import NearestNeighbors

from graft.data.units import sampling_units
from graft.selection.probe import out_of_fold_probabilities

LIST_COLUMNS = ["sample_id", "path", "label", "suggested_label", "score", "words"]
NUM_NEIGHBOURS = 10
BRIGHTNESS = "brightness {:.2f} (median {:.2f})"
MAX_DEVIATIONS = 3.5
"""Number of robust deviations beyond which samples count as suspicious: Iglewicz and Hoaglin 1993, section 3."""


@dataclass(frozen=True)
class Ranking:
    samples: pd.DataFrame
    """All ranked samples, most suspicious first."""
    num_suspicious: int


def rank_labels(
    samples: pd.DataFrame, features_ND: np.ndarray, *, num_folds: int, regularisation_strength: float, seed: int
) -> Ranking:
    """Ranks by the probability of the label, lowest first, from a linear probe fitted without the sample's unit.

    Samples of one unit (graft.data.units) share a fold: a probe fitted on the duplicate of a wrongly labelled image
    would confirm its label. Weights count in the probe: they express the confidence in a label. The number of wrong
    labels is estimated by confident learning.

    Score: the probability of the label, 0..1. A sample whose class occurs only in its own fold is not ranked.
    Source: Northcutt et al. 2021, "Confident Learning", section 3 (as in cleanlab).
    """
    labels_N, classes = pd.factorize(samples["label"], sort=True)
    probabilities_NK = out_of_fold_probabilities(
        features_ND,
        labels_N,
        weights_N=samples["weight"].to_numpy(),
        units_N=sampling_units(samples),
        num_folds=num_folds,
        regularisation_strength=regularisation_strength,
        seed=seed,
    )
    is_judged = ~np.isnan(probabilities_NK).any(axis=1)
    if not is_judged.any():
        return Ranking(pd.DataFrame(columns=LIST_COLUMNS), num_suspicious=0)
    samples, labels_N, probabilities_NK = samples[is_judged], labels_N[is_judged], probabilities_NK[is_judged]
    suggested = np.asarray(classes)[probabilities_NK.argmax(axis=1)]
    scores_N = get_label_quality_scores(labels_N, probabilities_NK)
    ranked = samples.assign(
        suggested_label=np.where(suggested == samples["label"], "", suggested),
        score=scores_N,
        words=[
            f"the probe predicts {label} with {100 * score:.0f} %"
            + (f", {other} with {100 * highest:.0f} %" if other != label else "")
            for label, other, score, highest in zip(
                samples["label"], suggested, scores_N, probabilities_NK.max(axis=1), strict=True
            )
        ],
    ).sort_values(["score", "sample_id"])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="cleanlab")  # a class with no sample to judge
        issues = find_label_issues(labels_N, probabilities_NK, n_jobs=1)
    return Ranking(ranked[LIST_COLUMNS], num_suspicious=int(issues.sum()))


def rank_outliers(samples: pd.DataFrame, features_ND: np.ndarray) -> Ranking:
    """Ranks by the mean cosine distance to the nearest neighbours in feature space, farthest first.

    Source: Kuan and Mueller 2022, "Back to the Basics: Revisiting Out-of-Distribution Detection Baselines".
    """
    num_neighbours = min(NUM_NEIGHBOURS, len(samples) - 1)
    neighbours = NearestNeighbors(n_neighbors=num_neighbours, metric="cosine", algorithm="brute").fit(features_ND)
    distances_N = neighbours.kneighbors()[0].mean(axis=1).clip(min=1e-6)
    words = "distance to its neighbours {:.2g} (median {:.2g})"
    return _rank_by_deviation(samples, distances_N, np.log, words, sign=1)


def rank_dark(samples: pd.DataFrame) -> Ranking:
    """Ranks by the column `brightness`, lowest first."""
    return _rank_by_deviation(samples, samples["brightness"].to_numpy(), np.asarray, BRIGHTNESS, sign=-1)


def rank_bright(samples: pd.DataFrame) -> Ranking:
    """Ranks by the column `brightness`, highest first."""
    return _rank_by_deviation(samples, samples["brightness"].to_numpy(), np.asarray, BRIGHTNESS, sign=1)


def rank_blurry(samples: pd.DataFrame) -> Ranking:
    """Ranks by `sharpness` over `brightness`, lowest first; deviations are those of its logarithm, as it is skewed.

    Half the light halves the Laplacian too, so `sharpness` alone would list dark images again.
    """
    lightness = samples["brightness"].to_numpy().clip(min=1 / 255)
    relative_N = (samples["sharpness"].to_numpy() / lightness).clip(min=1e-3)
    return _rank_by_deviation(samples, relative_N, np.log, "sharpness over brightness {:.1f} (median {:.1f})", sign=-1)


def robust_deviations(values_N: np.ndarray) -> np.ndarray:
    """Distance from the median in units of 1.4826 times the median absolute deviation: about one standard deviation.

    If more than half of the values are equal, the mean absolute deviation (times 1.2533) is used instead.
    """
    from_median_N = values_N - np.median(values_N)
    scale = 1.4826 * np.median(np.abs(from_median_N)) or 1.2533 * np.abs(from_median_N).mean()
    return from_median_N / scale if scale > 0 else np.zeros(len(values_N))


def _rank_by_deviation(
    samples: pd.DataFrame,
    values_N: np.ndarray,
    scale: Callable[[np.ndarray], np.ndarray],
    words: str,
    *,
    sign: int,
) -> Ranking:
    """Ranks by the score: robust deviations from the median in the suspicious direction (`sign`), largest first.

    Args:
        scale: transformation of the values before deviations are measured.
        words: text with placeholders for the value and the median.
    """
    scores_N = sign * robust_deviations(scale(values_N.astype(np.float64)))
    median = float(np.median(values_N))
    ranked = samples.assign(
        suggested_label="", score=scores_N, words=[words.format(value, median) for value in values_N]
    ).sort_values(["score", "sample_id"], ascending=[False, True])
    return Ranking(ranked[LIST_COLUMNS], num_suspicious=int((scores_N > MAX_DEVIATIONS).sum()))
