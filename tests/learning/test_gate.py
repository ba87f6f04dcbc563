"""The two tests of an adapter, held to what they promise: their rates under chance."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from unseen.learning import gate
from unseen.learning.few_shot import Examples, product
from unseen.learning.gate import LEVEL, chance_of_gain, chance_of_labels


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def examples(label_ids: list[int], *, like: float, seed: int, d: int = 12) -> Examples:
    """Pictures that lie around the centre of their label, as far as `like` says."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(label_ids) + 1, d))
    images = like * centres[label_ids] + rng.normal(size=(len(label_ids), d))
    return Examples(unit(images), np.array(label_ids), unit(centres), 50.0)


@pytest.mark.parametrize("label_ids", [[0, 1] * 6, [0] * 9 + [1] * 3 + [2] * 4 + [3]])
def test_labels_that_are_chance_pass_as_rarely_as_promised(label_ids: list[int]) -> None:
    p = np.array([chance_of_labels(examples(label_ids, like=0, seed=s)) for s in range(200)])
    # 5 % of 200 are 10; 18 or more would be a chance of 1 in 100.
    assert (p <= LEVEL).sum() <= 18
    assert 0.4 < np.mean(p) < 0.6


def test_labels_that_fit_pass_by_their_texts_or_by_their_pictures() -> None:
    told = examples([0, 1, 2, 3, 4] * 3, like=2, seed=0)
    assert chance_of_labels(told) <= 0.01
    strangers = unit(np.random.default_rng(9).normal(size=told.texts.shape))
    alike = Examples(told.images, told.label_ids, strangers, 50.0)
    assert chance_of_labels(alike) <= 0.01
    once = examples([0, 1, 2, 3, 4, 5], like=3, seed=0)
    assert chance_of_labels(once) <= 0.01


def test_too_few_pictures_prove_nothing() -> None:
    """Four pictures can be dealt to two labels in six ways: the best of them is no proof."""
    for seed in range(5):
        assert chance_of_labels(examples([0, 0, 1, 1], like=10, seed=seed)) > LEVEL


def test_nothing_that_varies_is_chance() -> None:
    same = unit(np.ones((6, 4)))
    assert chance_of_labels(Examples(same, np.array([0, 0, 1, 1, 2, 2]), same[:3], 50.0)) == 1.0


def test_ridge_is_that_of_a_fit_without_the_picture() -> None:
    """scikit-learn's, fitted anew without each of them; all are centred by the mean of all."""
    x = np.random.default_rng(0).normal(size=(14, 5))
    label_ids = np.arange(14) % 3
    answers = gate._ridge_without_itself(x)
    centred = x - x.mean(0)
    penalty = gate.RIDGE * (centred**2).sum() / len(x)
    for i in range(len(x)):
        rest = np.arange(len(x)) != i
        target = np.eye(3)[label_ids[rest]]
        judge = Ridge(alpha=penalty, fit_intercept=False).fit(centred[rest], target)
        expected = judge.predict(centred[i : i + 1])[0]
        ours = [answers[i, label_ids == label].sum() for label in range(3)]
        np.testing.assert_allclose(ours, expected, atol=1e-8)


@pytest.mark.parametrize("candidates", [1, 30])
def test_the_best_of_many_passes_no_more_often_than_one(candidates: int) -> None:
    passed, uncorrected = 0, 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        gains = rng.normal(size=(candidates, 24)) * rng.lognormal(size=24)
        passed += chance_of_gain(gains) <= LEVEL
        t = gains.mean(1) / (gains.std(1, ddof=1) / np.sqrt(24))
        uncorrected += t.max() > 1.645
    assert passed <= 25  # 5 % of 300 are 15; more than 25 would be a chance of 1 in 200
    if candidates == 30:
        assert uncorrected > 100  # what the best of them does when it is taken for the only one


def test_a_gain_is_seen() -> None:
    rng = np.random.default_rng(0)
    gains = rng.normal(size=(20, 24))
    gains[3] += 1.5
    assert chance_of_gain(gains) <= 0.01
    assert chance_of_gain(-np.abs(gains)) > 0.5
    assert chance_of_gain(np.zeros((3, 5))) == 1.0


@pytest.mark.parametrize(("n", "d", "k"), [(3, 4, 2), (700, 90, 11), (2, 3000, 200)])
def test_a_product_in_blocks_is_the_product(n: int, d: int, k: int) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=shape).astype(np.float32) for shape in ((n, d), (d, k)))
    np.testing.assert_allclose(product(a, b), a.astype(float) @ b.astype(float), atol=2e-3)


def test_in_their_span_products_are_the_same() -> None:
    """Also where a picture is there twice, and where there are more pictures than dimensions."""
    one = examples([0, 0, 1, 1, 2, 2], like=1, seed=0, d=40)
    images = np.concatenate([one.images, one.images[:1]])
    twice = Examples(images, np.append(one.label_ids, 0), one.texts, 50.0)
    small = twice.in_their_span()
    assert small.images.shape == (7, 7)
    np.testing.assert_allclose(small.images @ small.images.T, images @ images.T, atol=1e-5)
    np.testing.assert_allclose(small.images @ small.texts.T, images @ one.texts.T, atol=1e-5)
    many = examples([0, 1] * 10, like=1, seed=0, d=5)
    assert many.in_their_span() is many
