"""Cost of scores at 2,000 samples, 2,048 features and 10 classes: `python -m benchmarks.scores`.

Compared with the same formulas computed as in the published code, alternately in one process. Features are synthetic,
with a decaying spectrum and some signal: except for the probe, the time does not depend on their values.

Measured 2026-11-22, one thread of an AMD EPYC (AVX-512) that other programs used too (load 7): LogME 1.30 s against
8.57 s, H-score 2.95 against 11.8, shrunk 0.78 against 74.1, TransRate 2.08 against 17.9, 1-NN 2.07 against 1.59, the
probe 28 against 48. Ratios 6.6, 3.8, 45, 8.6, 0.7, 1.9.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.covariance import LedoitWolf
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from graft.selection.scores import h_score, knn_accuracy, linear_probe, logme, transrate

NUM_SAMPLES, NUM_FEATURES, NUM_CLASSES, NUM_ROUNDS = 2000, 2048, 10, 3
STRENGTH = 100
PUBLISHED = {
    "LogME": "20 to 34 s", "H-score": "36 to 54 s", "TransRate": "6.8 s", "1-NN": "0.26 s", "probe": "15 s",
}  # fmt: skip
"""Published time of the authors' code at this size on 2 Xeon cores."""


def plain_logme(features_ND: np.ndarray, labels_N: np.ndarray) -> float:
    """LogME by a full singular value decomposition of the D x D Gram matrix, then MacKay's fixed point class by
    class."""
    num_samples, num_features = features_ND.shape
    vectors, values_D, transposed = np.linalg.svd(features_ND.T @ features_ND, full_matrices=True)
    evidences = []
    for label in np.unique(labels_N):
        targets_N = (labels_N == label).astype(float)
        turned_D = transposed @ (features_ND.T @ targets_N)
        alpha = beta = ratio = 1.0
        for _ in range(11):
            gamma = (values_D / (values_D + ratio)).sum()
            weights_D = vectors @ (turned_D * beta / (alpha + beta * values_D))
            squared_weights = weights_D @ weights_D
            squared_residuals = ((targets_N - features_ND @ weights_D) ** 2).sum()
            alpha, beta = gamma / (squared_weights + 1e-5), (num_samples - gamma) / (squared_residuals + 1e-5)
            if abs(alpha / beta - ratio) / ratio < 0.01:
                break
            ratio = alpha / beta
        evidence = num_features / 2 * np.log(alpha) + num_samples / 2 * np.log(beta / (2 * np.pi))
        evidence -= 0.5 * np.log(alpha + beta * values_D).sum()
        evidence -= beta / 2 * squared_residuals + alpha / 2 * squared_weights
        evidences.append(evidence / num_samples)
    return float(np.mean(evidences))


def _between(features_ND: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    means_ND = np.zeros_like(features_ND)
    for label in np.unique(labels_N):
        means_ND[labels_N == label] = features_ND[labels_N == label].mean(axis=0)
    return np.cov(means_ND, rowvar=False)


def plain_h_score(features_ND: np.ndarray, labels_N: np.ndarray) -> float:
    """H-score with an explicit pseudo-inverse of the covariance."""
    inverse = np.linalg.pinv(np.cov(features_ND, rowvar=False), rcond=1e-15)
    return float(np.trace(inverse @ _between(features_ND, labels_N)))


def plain_shrunk_h_score(features_ND: np.ndarray, labels_N: np.ndarray) -> float:
    """H-score with an explicit pseudo-inverse of scikit-learn's Ledoit-Wolf covariance."""
    estimate = LedoitWolf().fit(features_ND)
    inverse = np.linalg.pinv(estimate.covariance_, rcond=1e-15)
    return float(np.trace(inverse @ ((1 - estimate.shrinkage_) * _between(features_ND, labels_N))))


def plain_transrate(features_ND: np.ndarray, labels_N: np.ndarray) -> float:
    """TransRate with log-determinants of D x D matrices."""
    features_ND = features_ND - features_ND.mean(axis=0)
    unit = np.eye(features_ND.shape[1])

    def rate(rows: np.ndarray) -> float:
        return 0.5 * np.linalg.slogdet(unit + rows.T @ rows / (len(rows) * 1e-4))[1]

    return rate(features_ND) - np.mean([rate(features_ND[labels_N == label]) for label in np.unique(labels_N)])


def plain_knn(features_ND: np.ndarray, labels_N: np.ndarray) -> float:
    """Accuracy with scikit-learn's brute-force search; the first neighbour is the sample itself."""
    neighbours = KNeighborsClassifier(1, algorithm="brute").fit(features_ND, labels_N)
    nearest_N = neighbours.kneighbors(features_ND, 2, return_distance=False)[:, 1]
    return float((labels_N[nearest_N] == labels_N).mean())


def plain_probe(features_ND: np.ndarray, labels_N: np.ndarray) -> float:
    """Accuracy of scikit-learn's pipeline, converged until predictions no longer change."""
    folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=1, random_state=0)
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=1 / STRENGTH, tol=1e-6, max_iter=10_000))
    return float(cross_val_score(probe, features_ND, labels_N, cv=folds).mean())


def fast_probe(features_ND: np.ndarray, labels_N: np.ndarray) -> float:
    settings = {"num_folds": 5, "num_repeats": 1, "seed": 0}
    return float(linear_probe(features_ND, labels_N, regularisation_strength=STRENGTH, **settings).mean())


Score = Callable[[np.ndarray, np.ndarray], float]
PAIRS: list[tuple[str, str, Score, Score]] = [
    ("LogME", "LogME", logme, plain_logme),
    ("H-score", "H-score", lambda x, y: h_score(x, y, shrinkage=False), plain_h_score),
    ("H-score", "H-score (Ledoit-Wolf)", lambda x, y: h_score(x, y, shrinkage=True), plain_shrunk_h_score),
    ("TransRate", "TransRate", transrate, plain_transrate),
    ("1-NN", "1-NN", knn_accuracy, plain_knn),
    ("probe", "probe, 5 folds", fast_probe, plain_probe),
]


def synthetic_problem() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels_N = np.arange(NUM_SAMPLES) % NUM_CLASSES
    latent = generator.normal(size=(NUM_SAMPLES, NUM_FEATURES)) / np.arange(1, NUM_FEATURES + 1) ** 0.5
    latent[:, :NUM_CLASSES] += 0.5 * np.eye(NUM_CLASSES)[labels_N]
    mixing = np.linalg.qr(generator.normal(size=(NUM_FEATURES, NUM_FEATURES)))[0]
    return latent @ mixing, labels_N


def seconds(score: Score, features_ND: np.ndarray, labels_N: np.ndarray) -> tuple[float, float]:
    started_s = time.perf_counter()
    value = score(features_ND, labels_N)
    return time.perf_counter() - started_s, value


def main() -> None:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    print(f"{model}, {torch.get_num_threads()} thread(s), numpy {np.__version__}, median of {NUM_ROUNDS} rounds")
    print(f"{'':24}{'here':>9}{'plain':>9}{'ratio':>8}  {'authors, 2 Xeon cores':24}values here and plain")
    problem = synthetic_problem()
    for published, name, fast, plain in PAIRS:
        rounds = [(seconds(fast, *problem), seconds(plain, *problem)) for _ in range(NUM_ROUNDS)]
        here_s, plain_s = (statistics.median(one[i][0] for one in rounds) for i in (0, 1))
        ratio = statistics.median(one[1][0] / one[0][0] for one in rounds)
        values = f"{rounds[0][0][1]:.5f}  {rounds[0][1][1]:.5f}"
        print(f"{name:24}{here_s:7.2f} s{plain_s:7.2f} s{ratio:8.1f}  {PUBLISHED[published]:24}{values}", flush=True)


if __name__ == "__main__":
    main()
