"""Words, concepts and neighbours, against sums written apart and scipy."""

from __future__ import annotations

import math
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import nnls

import shapes
import unseen
from unseen.explanation.concepts import LEAST_FIT, MOST, concepts, pursuit
from unseen.explanation.neighbours import Examples, neighbours
from unseen.explanation.words import shapley, words


def test_shapley_values_are_the_mean_over_all_orders() -> None:
    rng = np.random.default_rng(0)
    value = {tuple(bool(i & (1 << b)) for b in range(4)): float(rng.normal()) for i in range(16)}
    wanted = np.zeros(4)
    for order in permutations(range(4)):
        present = [False] * 4
        for player in order:
            before = value[tuple(present)]
            present[player] = True
            wanted[player] += (value[tuple(present)] - before) / math.factorial(4)
    assert np.allclose(shapley(value, 4), wanted)


def test_words_of_a_short_prompt_sum_to_what_the_prompt_adds(shapes_clip: Path) -> None:
    encoder = unseen.load(shapes_clip).encoder
    scene = shapes.scene("a red circle")
    (embedding,) = encoder.encode_images([shapes.draw(scene, 1)])
    prompt, contrast = "a red circle", np.zeros_like(embedding)
    result = words(encoder, prompt, embedding, contrast)
    whole, nothing = encoder.encode_texts([prompt, ""]) @ embedding
    assert [word.word for word in result] == ["a", "red", "circle"]
    assert sum(word.score for word in result) == pytest.approx(whole - nothing, abs=1e-5)


def test_a_long_prompt_is_left_one_word_at_a_time(shapes_clip: Path) -> None:
    encoder = unseen.load(shapes_clip).encoder
    (embedding,) = encoder.encode_images([shapes.draw(shapes.scene("a red circle"), 1)])
    prompt = "a large red circle left of a square"
    result = words(encoder, prompt, embedding, np.zeros_like(embedding))
    texts = ["a large circle left of a square", prompt]
    without, whole = encoder.encode_texts(texts) @ embedding
    assert len(result) == 8
    assert result[2].word == "red"
    assert result[2].score == pytest.approx(whole - without, abs=1e-6)


def test_one_word_is_not_divided(shapes_clip: Path) -> None:
    encoder = unseen.load(shapes_clip).encoder
    assert words(encoder, "circle", np.ones(4, np.float32), np.ones(4, np.float32)) == ()


@pytest.mark.parametrize("seed", range(4))
def test_pursuit_has_the_least_error_on_the_terms_that_it_chose(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(200, 32))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    target = 0.8 * rows[3] + 0.5 * rows[77] + 0.1 * rng.normal(size=32) / math.sqrt(32)
    target /= np.linalg.norm(target)
    weights, fit = pursuit(target, rows)
    chosen = np.flatnonzero(weights)
    assert {3, 77} <= {*chosen.tolist()} and len(chosen) <= MOST
    _, error = nnls(rows[chosen].T, target)
    assert np.linalg.norm(weights[chosen] @ rows[chosen] - target) <= error + 1e-4
    assert fit > 0.9


def test_concepts_that_do_not_fit_are_not_given() -> None:
    rng = np.random.default_rng(0)
    vocabulary = np.zeros((20, 64), np.float32)
    vocabulary[:, :8] = rng.normal(size=(20, 8))
    embedding = np.zeros(64, np.float32)
    embedding[40] = 1
    chosen, fit = concepts(embedding, np.zeros(64, np.float32), vocabulary, ["x"] * 20)
    assert chosen == () and fit < LEAST_FIT


def test_neighbours_are_the_nearest_and_share_what_they_say() -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(30, 16)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    names = [f"{i}.jpg" for i in range(30)]
    result = neighbours(rows[4], Examples(rows, names, ["cat"] * 30))
    wanted = [i for i in np.argsort(-(rows @ rows[4])) if i != 4][:5]
    assert [n.name for n in result] == [names[i] for i in wanted]
    assert sum(n.share for n in result) == pytest.approx(1)
    assert neighbours(rows[0], Examples(rows[:0], [], [])) == ()
