"""The heads that `unseen distil` fits: scikit-learn and scipy are the judges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import approx_fprime, minimize, rosen, rosen_der
from sklearn.linear_model import LogisticRegression

from unseen.learning.distil import heads
from unseen.learning.optimise import lbfgs

RNG = np.random.default_rng(3)
K, D, N = 4, 12, 150


def softmax(logits: Any) -> Any:
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@pytest.fixture(scope="module")
def data() -> tuple[Any, Any]:
    """Overlapping clusters, features of unlike spread."""
    labels = RNG.integers(K, size=N)
    features = RNG.standard_normal((K, D))[labels] + 1.5 * RNG.standard_normal((N, D))
    return features * np.linspace(0.2, 5, D) + 3, labels


def hard(features: Any, labels: Any, weights: Any = None) -> heads.Examples:
    ones = np.ones(len(labels))
    return heads.Examples(features, np.eye(K)[labels], ones if weights is None else weights, ones)


@pytest.mark.parametrize("penalty", [1e-1, 1e-2, 1e-3])
def test_a_linear_head_is_scikit_learns_logistic_regression(data: Any, penalty: float) -> None:
    features, labels = data
    weights = RNG.uniform(0.2, 3, N)
    head = heads.fit(hard(features, labels, weights), penalty=penalty, steps=2000, tolerance=1e-9)
    standard = (features - features.mean(0)) / features.std(0)
    # scikit-learn adds up losses, C of them for half the square of the weights.
    judge = LogisticRegression(C=1 / (penalty * weights.sum()), tol=1e-10, max_iter=5000)
    judge.fit(standard, labels, sample_weight=weights)
    ours = softmax(heads.logits(head, features))
    np.testing.assert_allclose(ours, judge.predict_proba(standard), rtol=0, atol=2e-5)


def test_more_features_than_pictures_are_no_other_case(data: Any) -> None:
    features, labels = data
    wide = np.hstack([features, RNG.standard_normal((N, 2 * N))])
    head = heads.fit(hard(wide, labels), penalty=0.3, steps=2000, tolerance=1e-9)
    standard = (wide - wide.mean(0)) / wide.std(0)
    judge = LogisticRegression(C=1 / (0.3 * N), tol=1e-10, max_iter=5000).fit(standard, labels)
    ours = softmax(heads.logits(head, wide))
    np.testing.assert_allclose(ours, judge.predict_proba(standard), rtol=0, atol=2e-5)


def test_in_single_precision_it_is_the_same_but_for_its_digits(data: Any) -> None:
    features, labels = data
    exact = heads.fit(hard(features, labels), penalty=1e-2, steps=2000, tolerance=1e-9)
    quick = heads.fit(hard(features.astype(np.float32), labels), penalty=1e-2)
    difference = softmax(heads.logits(exact, features)) - softmax(heads.logits(quick, features))
    assert np.abs(difference).max() < 2e-3


def test_logits_are_centred(data: Any) -> None:
    features, labels = data
    for hidden in (0, 7):
        head = heads.fit(hard(features, labels), penalty=1e-2, hidden=hidden)
        np.testing.assert_allclose(heads.logits(head, features).mean(1), 0, atol=1e-9)


@pytest.mark.parametrize("hidden", [0, 5])
def test_the_slope_is_that_of_the_loss(data: Any, hidden: int) -> None:
    features, labels = data
    targets = 0.8 * np.eye(K)[labels] + 0.2 / K
    lessons = heads.Examples(
        features, targets, RNG.uniform(0.5, 2, N), RNG.choice([1.0, 3.0], size=N)
    )
    start = heads._beginning(D, K, hidden, seed=1)
    problem = heads._Problem(lessons, features / 5, 0.1, start)
    at = problem.packed(start) + 0.1 * RNG.standard_normal(sum(v.size for v in start.values()))
    slope = problem(at)[1]
    numeric = approx_fprime(at, lambda row: problem(row)[0], 1e-6)
    np.testing.assert_allclose(slope, numeric, rtol=0, atol=2e-4 * np.abs(slope).max())


def test_soft_targets_are_learnt_at_their_temperature(data: Any) -> None:
    """A teacher that is linear in the features is found again, at any temperature."""
    features, _ = data
    teacher = (features - features.mean(0)) / features.std(0) @ RNG.standard_normal((D, K))
    teacher -= teacher.mean(1, keepdims=True)
    for warmth in (1.0, 3.0):
        lessons = heads.Examples(
            features, softmax(teacher / warmth), np.ones(N), np.full(N, warmth)
        )
        head = heads.fit(lessons, penalty=1e-9, steps=5000, tolerance=1e-10)
        np.testing.assert_allclose(heads.logits(head, features), teacher, rtol=0, atol=0.02)


def test_a_hidden_layer_learns_what_no_line_separates() -> None:
    corners = RNG.integers(2, size=(400, 2))
    features = corners + 0.1 * RNG.standard_normal((400, 2))
    labels = corners[:, 0] ^ corners[:, 1]
    ones = np.ones(400)
    lessons = heads.Examples(features, np.eye(2)[labels], ones, ones)
    right = {}
    for hidden in (0, 16):
        head = heads.fit(lessons, penalty=1e-4, hidden=hidden)
        right[hidden] = (heads.logits(head, features).argmax(1) == labels).mean()
    assert right[16] > 0.99
    assert right[0] < 0.8


def test_what_is_least_is_what_scipy_finds() -> None:
    start = np.full(8, -1.2)
    ours = lbfgs(lambda x: (rosen(x), rosen_der(x)), start, steps=2000, tolerance=1e-10)
    judge = minimize(rosen, start, jac=rosen_der, method="L-BFGS-B", tol=1e-14).x
    assert rosen(ours) < rosen(judge) + 1e-10


def test_the_same_seed_gives_the_same_head(data: Any) -> None:
    features, labels = data
    one, two, other = (
        heads.fit(hard(features, labels), penalty=1e-2, hidden=6, seed=seed) for seed in (1, 1, 2)
    )
    assert all((one[name] == two[name]).all() for name in one)
    assert any((one[name] != other[name]).any() for name in one)
