"""L2-penalised logistic regression on many features and few samples, solved fast: N samples, D features, K classes.

M samples to predict, R = min(N, D) directions, C columns of weights.
"""

import numpy as np
from scipy.linalg import solve_triangular
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn.preprocessing import StandardScaler


def predict_logits(
    train_ND: np.ndarray, labels_N: np.ndarray, test_MD: np.ndarray, *, regularisation_strength: float
) -> np.ndarray:
    """Logits [M, K] of `make_pipeline(StandardScaler(), LogisticRegression(C=1 / regularisation_strength))`.

    The solution is in the span of the training samples, so it is searched in an orthonormal basis of that span, in
    variables in which the problem is well conditioned: L-BFGS then needs tens of steps instead of hundreds
    (benchmarks/scores.py).

    Args:
        labels_N: 0..K-1; every class occurs.
    """
    scaler = StandardScaler().fit(train_ND)
    train_NR, test_MR = _in_span_of_training(scaler.transform(train_ND), scaler.transform(test_MD))
    train_NR, test_MR = (np.column_stack([rows, np.ones(len(rows))]) for rows in (train_NR, test_MR))
    num_classes = labels_N.max() + 1
    curvature = (1 - 1 / num_classes) / num_classes  # of the loss in one logit, at equal probabilities
    hessian = curvature * train_NR.T @ train_NR
    penalised = np.arange(len(hessian) - 1)  # all but the intercept
    hessian[penalised, penalised] += regularisation_strength
    to_round = np.linalg.cholesky(hessian)
    train_NR, test_MR = (
        np.ascontiguousarray(solve_triangular(to_round, rows.T, lower=True).T) for rows in (train_NR, test_MR)
    )
    weights_RC = _minimise(train_NR, np.eye(num_classes)[labels_N], curvature)
    return _logits(test_MR @ weights_RC)


def _in_span_of_training(train_ND: np.ndarray, test_MD: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates in an orthonormal basis of the training samples' span, if that has fewer dimensions than D."""
    if len(train_ND) > train_ND.shape[1]:
        return train_ND, test_MD
    gram = train_ND @ train_ND.T
    gram[np.diag_indices_from(gram)] += 1e-10 * gram.trace() / len(gram) or 1.0  # samples may depend on each other
    train_NR = np.linalg.cholesky(gram)
    return train_NR, solve_triangular(train_NR, train_ND @ test_MD.T, lower=True).T


def _minimise(rounded_NR: np.ndarray, classes_NK: np.ndarray, curvature: float) -> np.ndarray:
    """Weights [R, C] with the smallest penalised loss.

    In these variables v the penalty is (|v|^2 - curvature |rounded v|^2) / 2, since the quadratic forms of penalty and
    curvature add up to the identity.
    """
    num_columns = 1 if classes_NK.shape[1] == 2 else classes_NK.shape[1]

    def loss_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights_RC = flat.reshape(-1, num_columns)
        scores_NC = rounded_NR @ weights_RC
        logits_NK = _logits(scores_NC)
        normalisers_N1 = logsumexp(logits_NK, axis=1, keepdims=True)
        residuals_NC = (np.exp(logits_NK - normalisers_N1) - classes_NK)[:, -num_columns:]
        loss = normalisers_N1.sum() - (classes_NK * logits_NK).sum()
        penalty = (flat @ flat - curvature * (scores_NC**2).sum()) / 2
        gradient_RC = rounded_NR.T @ (residuals_NC - curvature * scores_NC) + weights_RC
        return loss + penalty, gradient_RC.ravel()

    start = np.zeros(rounded_NR.shape[1] * num_columns)
    options = {"gtol": 1e-4, "ftol": 0, "maxiter": 2000, "maxfun": 4000, "maxcor": 20}
    return minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", options=options).x.reshape(-1, num_columns)


def _logits(scores_NC: np.ndarray) -> np.ndarray:
    """Logits [N, K]; with two classes the logit of the first is 0, as in scikit-learn."""
    is_binary = scores_NC.shape[1] == 1
    return np.column_stack([np.zeros(len(scores_NC)), scores_NC]) if is_binary else scores_NC
