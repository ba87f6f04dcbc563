"""Softmax and what belongs to it, judged by SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, special

from unseen.learning.optimise import golden_section
from unseen.models.model import Score
from unseen.prediction import score

LOGITS = np.array([[1.0, 2.0, -3.0], [900.0, 901.0, -900.0], [-1000.0, -1000.0, -1000.0]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_is_that_of_scipy(dtype: type) -> None:
    logits = LOGITS.astype(dtype)
    np.testing.assert_allclose(score.softmax(logits), special.softmax(LOGITS, axis=1), rtol=1e-5)
    np.testing.assert_allclose(score.softmax64(logits), special.softmax(LOGITS, axis=1), rtol=1e-12)
    assert score.softmax(logits).dtype == np.float32
    assert score.softmax64(logits).dtype == np.float64


def test_a_yes_is_the_softmax_of_a_label_and_its_competitors() -> None:
    """The family's own rule, worked out apart: one label against m prompts of the same logit."""
    above = np.array([[-3.0, 0.0, 2.5]], np.float32)
    for m in (1, 2, 5):
        pairs = [special.softmax([logit, *[0.0] * m])[0] for logit in above[0]]
        logits = score.yes_no_logits(above, Score("softmax", 50.0), m)
        np.testing.assert_allclose(score.sigmoid(logits)[0], pairs, rtol=1e-5)


def test_sigmoids_are_a_yes_or_no_already() -> None:
    above = np.array([[-3.0, 0.0, 2.5]], np.float32)
    assert score.yes_no_logits(above, Score("sigmoid", 10.0, -2.0), 5) is above


def test_a_score_is_read_back_from_its_facts() -> None:
    row = Score("sigmoid", 50.0, -3.0)
    assert Score(**row.facts()) == row
    assert set(row.facts()) == {"rule", "scale", "bias"}  # as 0.1.0 wrote it


def test_the_log_of_the_sum_is_that_of_scipy() -> None:
    logits = LOGITS.copy()
    logits[0, 1] = -np.inf  # what is ruled out
    np.testing.assert_allclose(score.log_sum_exp(logits), special.logsumexp(logits, axis=1))
    below, log_sum = score.shifted(logits)
    np.testing.assert_allclose(below - log_sum, special.log_softmax(logits, axis=1), atol=1e-12)


def test_golden_section_ends_where_scipy_does() -> None:
    def loss(x: float) -> float:
        return (x - 0.7) ** 2 + 0.1 * np.cosh(x)

    expected = optimize.minimize_scalar(loss, bounds=(-3, 5), method="bounded").x
    assert golden_section(loss, -3, 5, width=1e-5) == pytest.approx(expected, abs=1e-5)
    assert golden_section(loss, 2, 5, width=1e-5) == pytest.approx(2, abs=1e-5)  # at an end


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_the_best_are_those_of_a_stable_sort(count: int) -> None:
    """numpy's own sort is the judge; many scores are equal, some negative, some do not pass."""
    generator = np.random.default_rng(count)
    scores = generator.integers(-3, 4, (200, 9)).astype(np.float32) / 4
    scores[scores == 0] = generator.choice([0.0, -0.0], (scores == 0).sum())
    passes = generator.random((200, 9)) < 0.7
    best = score.best(scores, passes, count)
    assert best.shape == (200, count)
    for row, allowed, places in zip(scores, passes, best, strict=True):
        order = np.argsort(-row, kind="stable")
        expected = order[allowed[order]][:count]
        assert places[: len(expected)].tolist() == expected.tolist()
        assert len(set(places.tolist())) == count
