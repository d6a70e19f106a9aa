"""Out-of-fold predictions of linear probes. N samples, D features, K classes."""

import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler


def out_of_fold_probabilities(
    features_ND: np.ndarray,
    labels_N: np.ndarray,
    *,
    weights_N: np.ndarray,
    units_N: np.ndarray,
    num_folds: int,
    regularisation_strength: float,
    seed: int,
) -> np.ndarray:
    """Class probabilities [N, K] of each sample by a probe that was fitted without the sample's unit.

    Args:
        labels_N: 0..K-1; every class occurs.
        weights_N: weights of the samples in the probe's loss, > 0.
        units_N: samples with equal numbers share a fold.
    Returns:
        Rows of NaN if the probe was fitted without the sample's class, as when the whole class is in one unit; only
        such rows if there are too few units for two classes in every fit.
    """
    num_splits = min(num_folds, len(np.unique(units_N)))
    unknown_NK = np.full((len(labels_N), len(np.unique(labels_N))), np.nan)
    if num_splits < 2:
        return unknown_NK
    folds = StratifiedGroupKFold(n_splits=num_splits, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="sklearn")  # lbfgs stops at 300 iterations
        warnings.filterwarnings("ignore", category=RuntimeWarning, module="sklearn")  # an unseen class, see below
        splits = list(folds.split(features_ND, labels_N, units_N))
        if any(len(unseen) == 0 or len(np.unique(labels_N[seen])) < 2 for seen, unseen in splits):
            return unknown_NK
        probabilities_NK = cross_val_predict(
            _probe(regularisation_strength), features_ND, labels_N, cv=splits, method="predict_proba", n_jobs=1,
            params={"logisticregression__sample_weight": weights_N},
        )  # fmt: skip
    for seen, unseen in splits:
        probabilities_NK[unseen[~np.isin(labels_N[unseen], labels_N[seen])]] = np.nan
    return probabilities_NK


def _probe(regularisation_strength: float) -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(C=1 / regularisation_strength, max_iter=300))
