"""Transferability scores: fit of frozen features, or of a source's classes, to a target.

N samples, B of them at a time, D features, K classes, Z classes of the source, F folds in all.

    score          measures                                                        higher is better, invariant to
    logme          how likely labels are under a Bayesian linear model             rotation, scale
    h_score        how much of the variance lies between classes                   rotation, scale, shift
    transrate      how many bits features lose once the class is known             rotation, shift
    leep, nce      how well the source's predictions predict the labels            order of the source's classes
    knn_accuracy   is the nearest other sample of the same class?                  rotation, scale, shift
    linear_probe   accuracy of a cross-validated logistic regression               scale and shift of each feature

All take labels as any integers; K counts those that occur, so a class that does not occur changes nothing. A class with
one sample is treated like any other, except by `linear_probe`, which rejects it. All compute in float64, and raise
ValueError if features are not a finite table, if labels do not match them, or if there are fewer than two classes.

None of them is best on all tasks (arXiv 2204.01403, 2503.18528); they are shown side by side.
"""

import numpy as np
from scipy.linalg import cho_factor, cho_solve, eigh, lapack
from scipy.optimize import minimize_scalar

from graft.selection.logistic import predict_logits
from graft.statistics.folds import grouped_folds, num_folds_possible
from graft.statistics.units import unit_numbers

SMALLEST_EIGENVALUE = 1e-11
"""Share of the largest eigenvalue: directions with smaller ones count as absent, since a Gram matrix in float64
does not resolve them."""
DISTORTION = 1e-4
"""Distortion allowed by a coding rate."""


def logme(features_ND: np.ndarray, labels_N: np.ndarray) -> float:
    """Largest log evidence per sample of Bayesian linear regressions on one-hot labels, mean over classes; unbounded.

    The prior variance of weights and the noise variance maximise the evidence of each class: with the noise in closed
    form, only their ratio is searched. All eigenvalues count, also if N < D (the routine of thuml/LogME then drops
    some: its issue 23).
    Source: You et al. 2021, "LogME: Practical Assessment of Pre-trained Models for Transfer Learning", section 4.
    """
    features_ND, labels_N = _checked(features_ND, labels_N)
    features_ND = features_ND / (np.abs(features_ND).max() or 1.0)
    classes_NK = np.eye(labels_N.max() + 1)[labels_N]
    is_wide = features_ND.shape[0] <= features_ND.shape[1]
    gram = features_ND @ features_ND.T if is_wide else features_ND.T @ features_ND
    targets_RK = classes_NK if is_wide else features_ND.T @ classes_NK
    diagonal, off_diagonal, targets_RK = _tridiagonal(gram, targets_RK)
    num_samples, counts_K = len(labels_N), classes_NK.sum(axis=0)

    def evidence(log_ratio: float, targets_RC: np.ndarray, counts_C: np.ndarray) -> np.ndarray:
        """Log evidence [C] at this natural logarithm of noise variance over weight variance."""
        ratio = np.exp(log_ratio)
        pivots, factors, _ = lapack.dpttrf(diagonal + ratio, off_diagonal)
        solved_RC, _ = lapack.dpttrs(pivots, factors, targets_RC)
        fitted_C = (targets_RC * solved_RC).sum(axis=0)
        residuals_C = (ratio * fitted_C if is_wide else counts_C - fitted_C).clip(min=1e-12)
        log_determinant = np.log(pivots).sum() - len(pivots) * log_ratio
        return -0.5 * (np.log(2 * np.pi * residuals_C / num_samples) + 1 + log_determinant / num_samples)

    grid = np.log(diagonal.sum() or 1.0) + np.log(10) * np.arange(-10, 2.01, 0.25)
    peaks_K = np.array([evidence(log_ratio, targets_RK, counts_K) for log_ratio in grid]).argmax(axis=0)
    best_K = [
        -minimize_scalar(
            lambda log_ratio, k=k: -evidence(log_ratio, targets_RK[:, [k]], counts_K[[k]])[0],
            bounds=(grid[max(peak - 1, 0)], grid[min(peak + 1, len(grid) - 1)]),
            method="bounded",
        ).fun
        for k, peak in enumerate(peaks_K)
    ]
    return float(np.mean(best_K))


def _tridiagonal(symmetric: np.ndarray, targets_RK: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Diagonal, off-diagonal and rotated targets, in a basis where the matrix is tridiagonal.

    It costs a third of eigenvectors; systems with any multiple of the identity added then cost O(R).
    """
    if len(symmetric) < 2:
        return symmetric.diagonal().copy(), np.zeros(0), targets_RK
    packed, diagonal, off_diagonal, tau, _ = lapack.dsytrd(symmetric, lower=1, lwork=64 * len(symmetric))
    turned = targets_RK.copy()
    # dsytrd leaves the basis as reflections of all rows but the first, in the form that dormqr applies
    turned[1:], _, _ = lapack.dormqr("L", "T", packed[1:, :-1], tau, turned[1:], lwork=64 * turned.shape[1])
    return diagonal, off_diagonal, turned


def leep(source_probs_NZ: np.ndarray, labels_N: np.ndarray) -> float:
    """Mean log probability of labels, predicted through the source's classes; at most 0.

    Source: Nguyen et al. 2020, "LEEP: A New Measure to Evaluate Transferability of Learned Representations", eq. 1-2.
    """
    probabilities_NZ, labels_N = _checked_probabilities(source_probs_NZ, labels_N)
    joint_KZ = np.eye(labels_N.max() + 1)[labels_N].T @ probabilities_NZ
    mass_Z = joint_KZ.sum(axis=0)
    conditional_KZ = np.divide(joint_KZ, mass_Z, out=np.zeros_like(joint_KZ), where=mass_Z > 0)
    return float(np.log((conditional_KZ[labels_N] * probabilities_NZ).sum(axis=1)).mean())


def nce(source_probs_NZ: np.ndarray, labels_N: np.ndarray) -> float:
    """Minus the conditional entropy, in nats, of labels given the source's most probable class; at most 0.

    Source: Tran et al. 2019, "Transferability and Hardness of Supervised Classification Tasks", section 3.
    """
    probabilities_NZ, labels_N = _checked_probabilities(source_probs_NZ, labels_N)
    joint_KZ = np.zeros((labels_N.max() + 1, probabilities_NZ.shape[1]))
    np.add.at(joint_KZ, (labels_N, probabilities_NZ.argmax(axis=1)), 1 / len(labels_N))
    conditional_KZ = joint_KZ / joint_KZ.sum(axis=0).clip(min=1 / (2 * len(labels_N)))
    return float((joint_KZ * np.log(conditional_KZ, where=joint_KZ > 0, out=np.zeros_like(joint_KZ))).sum())


def h_score(features_ND: np.ndarray, labels_N: np.ndarray, *, shrinkage: bool) -> float:
    """Trace of (covariance of features)^-1 (covariance of class means); 0 to K-1.

    Args:
        shrinkage: use the covariance of Ledoit and Wolf, needed unless N is well above D: without it the score
            saturates at K-1 as soon as D >= N-1.
    Source: Bao et al. 2019, "An Information-Theoretic Approach to Transferability in Task Transfer Learning", def. 2;
        shrunk: Ibrahim et al. 2022, "Newer is not always better", section 4.
    """
    features_ND, labels_N = _checked(features_ND, labels_N)
    features_ND = _centred(features_ND)
    classes_NK = np.eye(labels_N.max() + 1)[labels_N]
    indicators_NK = classes_NK / np.sqrt(classes_NK.sum(axis=0))
    is_wide = features_ND.shape[0] <= features_ND.shape[1]
    gram = features_ND @ features_ND.T if is_wide else features_ND.T @ features_ND
    shrunk = _ledoit_wolf(features_ND, gram) if shrinkage else 0.0
    if shrunk == 0:
        return _projected(features_ND, gram, indicators_NK)
    num_samples, num_features = features_ND.shape
    covariance = (1 - shrunk) * gram / num_samples
    covariance[np.diag_indices_from(covariance)] += shrunk * gram.trace() / (num_samples * num_features)
    means_RK = indicators_NK if is_wide else features_ND.T @ indicators_NK
    solved_RK = cho_solve(cho_factor(covariance), means_RK)
    if is_wide:  # X (X'X + c)^-1 X' = (XX' + c)^-1 XX'
        means_RK = gram @ means_RK
    return float((1 - shrunk) * (means_RK * solved_RK).sum() / (num_samples - 1))


def _ledoit_wolf(centred_ND: np.ndarray, gram: np.ndarray) -> float:
    """Shrinkage towards a multiple of the identity, 0..1.

    Source: Ledoit and Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices", section 3.2.
    """
    num_samples, num_features = centred_ND.shape
    squares_N = (centred_ND**2).sum(axis=1)
    squared_norm = (gram**2).sum() / num_samples**2
    distance = squared_norm - (squares_N.sum() / num_samples) ** 2 / num_features
    noise = ((squares_N**2).sum() / num_samples - squared_norm) / num_samples
    return float(np.clip(noise / distance, 0, 1)) if distance > 0 else 0.0


def _projected(features_ND: np.ndarray, gram: np.ndarray, targets_NK: np.ndarray) -> float:
    """Squared norm of the targets' projection on the column space of the features."""
    eigenvalues_R, vectors_RR = eigh(gram)
    is_there = eigenvalues_R > SMALLEST_EIGENVALUE * eigenvalues_R[-1]
    basis_RS = vectors_RR[:, is_there]
    if len(gram) == len(features_ND):
        return float(((basis_RS.T @ targets_NK) ** 2).sum())
    projected_SK = basis_RS.T @ (features_ND.T @ targets_NK)
    return float((projected_SK**2 / eigenvalues_R[is_there, None]).sum())


def transrate(features_ND: np.ndarray, labels_N: np.ndarray) -> float:
    """Coding rate of the features minus the mean coding rate of the classes, in nats; depends on the features' scale.

    All classes count equally, whatever their sizes, as published.
    Source: Huang et al. 2022, "Frustratingly Easy Transferability Estimation", section 3 and its listing.
    """
    features_ND, labels_N = _checked(features_ND, labels_N)
    features_ND = _centred(features_ND)
    of_classes = [_coding_rate(features_ND[labels_N == label]) for label in range(labels_N.max() + 1)]
    return float(_coding_rate(features_ND) - np.mean(of_classes))


def _coding_rate(features_ND: np.ndarray) -> float:
    num_samples, num_features = features_ND.shape
    gram = features_ND @ features_ND.T if num_samples <= num_features else features_ND.T @ features_ND
    gram = gram / (num_samples * DISTORTION)
    gram[np.diag_indices_from(gram)] += 1
    return np.log(np.linalg.cholesky(gram).diagonal()).sum()


def knn_accuracy(features_ND: np.ndarray, labels_N: np.ndarray, *, groups_N: np.ndarray | None = None) -> float:
    """Accuracy (0..1) of the nearest neighbour's class, Euclidean, among samples of other units.

    Ties count as the expected accuracy of a random choice, so that the order of samples has no effect. A sample whose
    class occurs in no other unit counts as wrong.

    Args:
        groups_N: samples with equal entries are one unit; None: each sample is its own unit.
    Raises:
        ValueError: also if all samples are one unit.
    """
    features_ND, labels_N = _checked(features_ND, labels_N)
    num_samples = len(labels_N)
    units_N = unit_numbers(groups_N, num_samples)
    if units_N.max() == 0:
        raise ValueError(f"all {num_samples} samples are one group; a neighbour must be of another")
    features_ND = _centred(features_ND)
    squares_N = (features_ND**2).sum(axis=1)
    tolerance = 1e-10 * squares_N.mean()
    classes_NK = np.eye(labels_N.max() + 1)[labels_N]
    num_correct = 0.0
    for rows in np.array_split(np.arange(num_samples), -(-num_samples // 1024)):
        distances_BN = squares_N[rows, None] - 2 * features_ND[rows] @ features_ND.T + squares_N
        distances_BN[units_N[rows, None] == units_N] = np.inf
        votes_BK = (distances_BN - distances_BN.min(axis=1, keepdims=True) <= tolerance) @ classes_NK
        wins_BK = votes_BK == votes_BK.max(axis=1, keepdims=True)
        num_correct += (wins_BK[np.arange(len(rows)), labels_N[rows]] / wins_BK.sum(axis=1)).sum()
    return float(num_correct / num_samples)


def linear_probe(
    features_ND: np.ndarray,
    labels_N: np.ndarray,
    *,
    num_folds: int,
    num_repeats: int,
    regularisation_strength: float,
    seed: int,
    groups_N: np.ndarray | None = None,
) -> np.ndarray:
    """Accuracy (0..1) of an L2-regularised logistic regression in each fold, [F] = folds * `num_repeats`.

    Features are standardised on the training part of each fold. The folds are the same for all features with the same
    labels, groups and seed, so accuracies of two sources can be compared fold by fold. A sample whose class is missing
    in the training part counts as wrong.

    Args:
        num_folds: upper limit; there are `num_folds_possible(labels_N, num_folds, groups_N)`.
        groups_N: samples with equal entries are one unit and share a fold; None: each sample is its own unit.
    Raises:
        ValueError: also if a class has one sample.
    Source: Kornblith et al. 2019, "Do Better ImageNet Models Transfer Better?" (arXiv 1805.08974), section 3.
    """
    features_ND, indices_N = _checked(features_ND, labels_N)
    num_possible = num_folds_possible(labels_N, num_folds, groups_N)
    generator = np.random.RandomState(seed)
    accuracies = []
    for _ in range(num_repeats):
        for seen, unseen in grouped_folds(indices_N, groups_N, num_folds=num_possible, seed=generator):
            classes, seen_labels = np.unique(indices_N[seen], return_inverse=True)
            if len(classes) > 1:
                logits_MK = predict_logits(
                    features_ND[seen], seen_labels, features_ND[unseen], regularisation_strength=regularisation_strength
                )
                guessed_M = classes[logits_MK.argmax(axis=1)]
            else:
                guessed_M = np.full(len(unseen), classes[0])
            accuracies.append((guessed_M == indices_N[unseen]).mean())
    return np.array(accuracies)


def _checked(features_ND: np.ndarray, labels_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features in float64, and labels as 0..K-1 in the order of the integers."""
    features_ND, labels_N = np.asarray(features_ND, dtype=np.float64), np.asarray(labels_N)
    if features_ND.ndim != 2 or 0 in features_ND.shape:
        raise ValueError(f"features must be a table [N, D]; their shape is {features_ND.shape}")
    if labels_N.shape != features_ND.shape[:1]:
        raise ValueError(f"there are {len(features_ND)} samples, but labels of shape {labels_N.shape}")
    if labels_N.dtype.kind not in "iu":
        raise ValueError(f"labels must be integers; they are {labels_N.dtype}")
    num_bad = len(features_ND) - np.isfinite(features_ND).all(axis=1).sum()
    if num_bad:
        raise ValueError(f"{num_bad} of {len(features_ND)} samples have features that are NaN or infinite")
    labels, indices_N = np.unique(labels_N, return_inverse=True)
    if len(labels) < 2:
        raise ValueError(f"all {len(labels_N)} samples are of class {labels[0]}; a score needs two classes")
    return features_ND, indices_N


def _checked_probabilities(source_probs_NZ: np.ndarray, labels_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    probabilities_NZ, labels_N = _checked(source_probs_NZ, labels_N)
    if probabilities_NZ.min() < 0 or np.abs(probabilities_NZ.sum(axis=1) - 1).max() > 1e-3:
        raise ValueError("source probabilities must be 0 or more and add up to 1 for each sample")
    return probabilities_NZ, labels_N


def _centred(features_ND: np.ndarray) -> np.ndarray:
    return features_ND - features_ND.mean(axis=0)
