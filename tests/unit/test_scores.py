"""Transferability scores: the published values, the right ones where samples are few, and what must not matter."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import multivariate_normal, ortho_group
from sklearn.covariance import LedoitWolf
from sklearn.datasets import load_digits, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from graft.selection.logistic import predict_logits
from graft.selection.scores import (
    h_score,
    knn_accuracy,
    leep,
    linear_probe,
    logme,
    nce,
    num_folds_possible,
    transrate,
)  # fmt: skip

IRIS_ND, IRIS_N = load_iris(return_X_y=True)
IRIS_PROBABILITIES_NZ = np.exp(IRIS_ND) / np.exp(IRIS_ND).sum(axis=1, keepdims=True)
DIGITS_ND, DIGITS_N = load_digits(return_X_y=True)
PROBE = {"num_folds": 3, "num_repeats": 2, "regularisation_strength": 1.0, "seed": 0}


def _h_score(features_ND: np.ndarray, labels_N: np.ndarray) -> float:
    return h_score(features_ND, labels_N, shrinkage=False)


def _shrunk_h_score(features_ND: np.ndarray, labels_N: np.ndarray) -> float:
    return h_score(features_ND, labels_N, shrinkage=True)


def _probe(features_ND: np.ndarray, labels_N: np.ndarray) -> float:
    return linear_probe(features_ND, labels_N, **PROBE).mean()


OF_FEATURES = [logme, _h_score, _shrunk_h_score, transrate, knn_accuracy, _probe]
OF_PROBABILITIES = [leep, nce]


def _problem(seed: int, is_wide: bool) -> tuple[np.ndarray, np.ndarray]:
    """40 real digits of classes 0 to 3 with 64 pixels, or with 12 mixtures of them, a little noise on top."""
    generator = np.random.default_rng(seed)
    chosen = generator.choice(np.flatnonzero(DIGITS_N < 4), 40, replace=False)
    pixels_ND = DIGITS_ND[chosen] + 0.1 * generator.normal(size=(40, 64))
    features_ND = pixels_ND if is_wide else pixels_ND @ generator.normal(size=(64, 12)) / 8
    labels_N = DIGITS_N[chosen]
    labels_N[:8] = np.repeat([0, 1, 2, 3], 2)
    return features_ND, labels_N


@pytest.mark.parametrize(
    ("score", "inputs", "published"),
    [
        (logme, IRIS_ND, -0.16006),
        (leep, IRIS_PROBABILITIES_NZ, -0.98557),
        (nce, IRIS_PROBABILITIES_NZ, -1.098612),
        (_h_score, IRIS_ND, 1.191899),
        (_shrunk_h_score, IRIS_ND, 1.177842),
        (transrate, IRIS_ND, 0.589405),
        (knn_accuracy, IRIS_ND, 0.96),
    ],
)
def test_scores_of_iris_are_those_of_the_published_code(score, inputs, published) -> None:
    assert score(inputs, IRIS_N) == pytest.approx(published, abs=1e-4)


@pytest.mark.parametrize(("num_samples", "num_features"), [(100, 256), (40, 40), (60, 12)])
def test_logme_is_the_largest_evidence_of_the_model_as_it_is_written_down(num_samples, num_features) -> None:
    """Labels of one class are normal with covariance (features features') / alpha + 1 / beta."""
    generator = np.random.default_rng(0)
    features_ND = generator.normal(size=(num_samples, num_features)) * generator.uniform(0.1, 2, num_features)
    labels_N = (features_ND[:, :5].sum(axis=1) > 0).astype(int)

    def loss(logs: np.ndarray, targets_N: np.ndarray) -> float:
        covariance = np.exp(logs[0]) * features_ND @ features_ND.T + np.exp(logs[1]) * np.eye(num_samples)
        return -multivariate_normal.logpdf(targets_N, cov=covariance, allow_singular=False) / num_samples

    starts = list(itertools.product([-7, -4, -1], [-5, -2]))
    expected = np.mean(
        [
            -min(minimize(loss, start, (labels_N == label,), method="Nelder-Mead").fun for start in starts)
            for label in (0, 1)
        ]
    )
    assert logme(features_ND, labels_N) == pytest.approx(expected, abs=1e-4)
    assert logme(features_ND, labels_N) < 0


@pytest.mark.parametrize(("num_samples", "num_features"), [(40, 64), (300, 64)])
def test_the_shrunk_h_score_is_the_trace_that_the_paper_writes(num_samples, num_features) -> None:
    features_ND, labels_N = DIGITS_ND[:num_samples, :num_features], DIGITS_N[:num_samples]
    estimate = LedoitWolf().fit(features_ND)
    means_ND = np.stack([features_ND[labels_N == label].mean(axis=0) for label in range(10)])[labels_N]
    between = (1 - estimate.shrinkage_) * np.cov(means_ND, rowvar=False)
    expected = np.trace(np.linalg.solve(estimate.covariance_, between))
    assert _shrunk_h_score(features_ND, labels_N) == pytest.approx(expected, rel=1e-9)


def test_the_h_score_saturates_without_shrinkage_and_not_with_it() -> None:
    generator = np.random.default_rng(0)
    noise_ND, labels_N = generator.normal(size=(50, 200)), np.arange(50) % 3
    assert _h_score(noise_ND, labels_N) == pytest.approx(2)
    assert _shrunk_h_score(noise_ND, labels_N) < 0.2


def test_neighbours_are_those_of_scikit_learn() -> None:
    features_ND, labels_N = DIGITS_ND[:300], DIGITS_N[:300] % 2
    right = [
        KNeighborsClassifier(1).fit(np.delete(features_ND, n, 0), np.delete(labels_N, n)).predict([row])[0] == label
        for n, (row, label) in enumerate(zip(features_ND, labels_N, strict=True))
    ]
    assert knn_accuracy(features_ND, labels_N) == pytest.approx(np.mean(right))


def test_equally_near_neighbours_share_the_vote() -> None:
    features_ND = np.array([[0.0], [1.0], [-1.0], [9.0], [9.0]])
    assert knn_accuracy(features_ND, np.array([0, 0, 1, 1, 1])) == pytest.approx((0.5 + 1 + 0 + 2) / 5)


@pytest.mark.parametrize("num_classes", [2, 10])
@pytest.mark.parametrize(("num_samples", "num_features"), [(60, 64), (600, 64)])
def test_the_probe_predicts_what_scikit_learn_converges_to(num_classes, num_samples, num_features) -> None:
    features_ND, labels_N = DIGITS_ND[:num_samples, :num_features], DIGITS_N[:num_samples] % num_classes
    train, test = slice(0, num_samples * 2 // 3), slice(num_samples * 2 // 3, None)
    plain = make_pipeline(StandardScaler(), LogisticRegression(C=1 / 10, tol=1e-8, max_iter=10_000))
    expected_MK = plain.fit(features_ND[train], labels_N[train]).predict_proba(features_ND[test])
    logits_MK = predict_logits(features_ND[train], labels_N[train], features_ND[test], regularisation_strength=10)
    found_MK = np.exp(logits_MK) / np.exp(logits_MK).sum(axis=1, keepdims=True)
    assert np.abs(found_MK - expected_MK).max() < 1e-3
    assert (found_MK.argmax(axis=1) == expected_MK.argmax(axis=1)).all()


def test_the_probe_scores_folds_like_scikit_learn() -> None:
    folds = RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=0)
    plain = make_pipeline(StandardScaler(), LogisticRegression(C=1, tol=1e-8, max_iter=10_000))
    features_ND, labels_N = DIGITS_ND[:200], DIGITS_N[:200]
    expected_F = cross_val_score(plain, features_ND, labels_N, cv=folds)
    assert linear_probe(features_ND, labels_N, **PROBE) == pytest.approx(expected_F)


def test_the_probe_finds_what_is_linearly_there_and_nothing_in_noise() -> None:
    generator = np.random.default_rng(0)
    labels_N = np.repeat([0, 1], 100)
    noise_ND = generator.normal(size=(200, 20))
    assert _probe(noise_ND + 2 * labels_N[:, None], labels_N) > 0.95
    assert _probe(noise_ND, labels_N) == pytest.approx(0.5, abs=0.12)


def test_a_class_smaller_than_the_folds_lowers_their_number() -> None:
    labels_N = np.array([0] * 20 + [1] * 3)
    features_ND = np.random.default_rng(0).normal(size=(23, 5))
    assert num_folds_possible(labels_N, 5) == 3
    accuracies_F = linear_probe(features_ND, labels_N, **{**PROBE, "num_folds": 5})
    assert accuracies_F.shape == (6,)


def test_the_probe_refuses_a_class_of_one_sample() -> None:
    with pytest.raises(ValueError, match=r"1 of 2 classes have one sample \(label 7"):
        _probe(np.eye(5), np.array([0, 0, 0, 0, 7]))


@pytest.mark.parametrize("score", OF_FEATURES)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), is_wide=st.booleans())
def test_the_names_of_classes_do_not_matter(score, seed, is_wide) -> None:
    features_ND, labels_N = _problem(seed, is_wide)
    renamed_N = np.random.default_rng(seed).permutation([-5, 900, 3, 17])[labels_N]
    assert score(features_ND, renamed_N) == pytest.approx(score(features_ND, labels_N), abs=1e-6, rel=1e-6)


@pytest.mark.parametrize("score", [logme, _h_score, _shrunk_h_score, transrate, knn_accuracy])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), is_wide=st.booleans())
def test_neither_turning_the_features_nor_the_order_of_samples_matters(score, seed, is_wide) -> None:
    features_ND, labels_N = _problem(seed, is_wide)
    expected = pytest.approx(score(features_ND, labels_N), abs=1e-6, rel=1e-6)
    assert score(features_ND @ ortho_group.rvs(features_ND.shape[1], random_state=seed), labels_N) == expected
    order = np.random.default_rng(seed).permutation(len(labels_N))
    assert score(features_ND[order], labels_N[order]) == expected


@pytest.mark.parametrize("score", [logme, _h_score, _shrunk_h_score, knn_accuracy, _probe])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), exponent=st.floats(-6, 6), is_wide=st.booleans())
def test_the_unit_of_the_features_does_not_matter(score, seed, exponent, is_wide) -> None:
    features_ND, labels_N = _problem(seed, is_wide)
    scaled = score(10**exponent * features_ND, labels_N)
    assert scaled == pytest.approx(score(features_ND, labels_N), abs=1e-6, rel=1e-6)


@pytest.mark.parametrize("score", [_h_score, _shrunk_h_score, transrate, knn_accuracy, _probe])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), shift=st.floats(-100, 100), is_wide=st.booleans())
def test_the_zero_of_the_features_does_not_matter(score, seed, shift, is_wide) -> None:
    features_ND, labels_N = _problem(seed, is_wide)
    shifted = score(features_ND + shift, labels_N)
    assert shifted == pytest.approx(score(features_ND, labels_N), abs=1e-6, rel=1e-6)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_h_score_does_not_change_under_any_invertible_map(seed) -> None:
    features_ND, labels_N = _problem(seed, is_wide=False)
    mixing = np.random.default_rng(seed).normal(size=(12, 12)) + 4 * np.eye(12)
    assert _h_score(features_ND @ mixing, labels_N) == pytest.approx(_h_score(features_ND, labels_N), rel=1e-6)


@pytest.mark.parametrize("score", OF_PROBABILITIES)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_order_and_names_of_classes_and_samples_do_not_matter_to_leep_and_nce(score, seed) -> None:
    generator = np.random.default_rng(seed)
    probabilities_NZ, labels_N = generator.dirichlet(np.ones(7), 30), np.arange(30) % 4
    expected = pytest.approx(score(probabilities_NZ, labels_N), rel=1e-9)
    order = generator.permutation(30)
    assert score(probabilities_NZ[:, generator.permutation(7)], labels_N) == expected
    assert score(probabilities_NZ, generator.permutation([8, -1, 0, 5])[labels_N]) == expected
    assert score(probabilities_NZ[order], labels_N[order]) == expected
    assert score(probabilities_NZ, labels_N) <= 0


@pytest.mark.parametrize("score", OF_PROBABILITIES)
def test_a_source_that_knows_the_classes_scores_zero_and_one_that_knows_nothing_their_entropy(score) -> None:
    labels_N = np.arange(40) % 4
    assert score(np.eye(6)[labels_N], labels_N) == pytest.approx(0)
    assert score(np.full((40, 6), 1 / 6), labels_N) == pytest.approx(-np.log(4))


@pytest.mark.parametrize("score", [logme, _h_score, _shrunk_h_score, transrate, knn_accuracy])
def test_features_that_tell_classes_apart_score_higher_than_noise(score) -> None:
    generator = np.random.default_rng(0)
    for num_features in (10, 200):
        labels_N = np.arange(100) % 5
        noise_ND = generator.normal(size=(100, num_features))
        noise_ND[:, 0] = 0  # a dead feature
        told_apart = score(noise_ND + 3 * np.eye(5, num_features)[labels_N], labels_N)
        assert told_apart >= score(noise_ND, labels_N) - 1e-12


@pytest.mark.parametrize("score", [*OF_FEATURES[:-1], *OF_PROBABILITIES])
def test_a_class_of_one_sample_and_a_thousand_classes_are_counted(score) -> None:
    generator = np.random.default_rng(0)
    inputs = generator.dirichlet(np.ones(20), 1100)
    assert np.isfinite(score(inputs[:10], np.array([0] * 9 + [4])))
    assert np.isfinite(score(inputs, np.arange(1100) % 1000))


@pytest.mark.parametrize("score", [*OF_FEATURES, *OF_PROBABILITIES])
def test_features_that_are_all_equal_are_worth_little_and_do_no_harm(score) -> None:
    assert score(np.full((12, 4), 0.25), np.arange(12) % 3) < 0.5


@pytest.mark.parametrize("score", [*OF_FEATURES, *OF_PROBABILITIES])
@pytest.mark.parametrize(
    ("inputs", "labels", "says"),
    [
        (np.where(np.eye(6), np.nan, 0.2), [0, 1] * 3, "6 of 6 samples have features that are NaN"),
        (np.eye(6)[0], [0, 1] * 3, "must be a table"),
        (np.empty((6, 0)), [0, 1] * 3, "must be a table"),
        (np.eye(6), [0, 1] * 2, "6 samples, but labels of shape"),
        (np.eye(6), [0.5, 1] * 3, "must be integers"),
        (np.eye(6), [3] * 6, "all 6 samples are of class 3"),
    ],
)
def test_bad_input_is_refused_with_its_reason(score, inputs, labels, says) -> None:
    with pytest.raises(ValueError, match=says):
        score(inputs, np.array(labels))


@pytest.mark.parametrize("score", OF_PROBABILITIES)
def test_what_is_no_probability_is_refused(score) -> None:
    with pytest.raises(ValueError, match="add up to 1"):
        score(np.eye(6) * 2, np.array([0, 1] * 3))
