"""May an adapter take the place of zero-shot? Two tests, neither of which assumes a distribution.

Both hold for however many methods and settings are tried: the first looks at none of them, and the
second at the best of all, under chance as well.
"""

from __future__ import annotations

import numpy as np

from unseen.learning.few_shot import Examples
from unseen.types import Doubles, Floats

LEVEL = 0.05
DRAWS = 399
MOST = 500  # pictures: more are not needed to see that labels are not chance
RIDGE = 0.1  # of the mean variance of the pictures


def chance_of_labels(examples: Examples, seed: int = 0) -> float:
    """p: how likely labels that have nothing to do with the pictures would fit them as well.

    A permutation test: exact, however few the pictures. Looked at are whether pictures are like the
    texts of their labels, and whether those of one label are like each other; what counts is the
    larger of both, in standard deviations of the permutations.
    """
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(examples.images))[:MOST]
    rows = rows[np.argsort(examples.label_ids[rows], kind="stable")]
    label_ids, first, count = np.unique(
        examples.label_ids[rows], return_index=True, return_counts=True
    )
    x = examples.images[rows].astype(np.float64)
    to_texts = x @ examples.texts[label_ids].T
    to_texts -= to_texts.mean(1, keepdims=True)
    to_others = _ridge_without_itself(x)
    column = np.repeat(np.arange(len(count)), count)
    share = np.where(count > 1, 1 / np.maximum(count - 1, 1), 0.0)
    statistics = np.empty((DRAWS + 1, 2))
    for draw in range(DRAWS + 1):
        order = rng.permutation(len(rows)) if draw else np.arange(len(rows))
        statistics[draw, 0] = to_texts[order, column].sum()
        of_labels = np.add.reduceat(to_others[np.ix_(order, order)], first, axis=0)
        statistics[draw, 1] = np.add.reduceat(of_labels, first, axis=1).diagonal() @ share
    spread = statistics.std(0)
    varied = spread > 1e-9
    if not varied.any():
        return 1.0
    largest = ((statistics - statistics.mean(0))[:, varied] / spread[varied]).max(1)
    return _rank(largest)


def chance_of_gain(gains: Floats | Doubles, seed: int = 0) -> float:
    """p: how likely the best of c candidates gains as much where none gains anything.

    `gains` (c, n): what each saves of the loss of each picture. The sign of each picture's gains is
    flipped at random, for all candidates at once, and the best of them is taken every time
    (Westfall & Young 1993): trying more does not make it easier to pass.
    """
    size = np.sqrt((gains**2).sum(1, keepdims=True))
    standard = gains / np.maximum(size, 1e-12)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (DRAWS, gains.shape[1]))
    flipped = (signs @ standard.T).max(1)
    return _rank(np.append(standard.sum(1).max(), flipped))


def _rank(statistics: Doubles) -> float:
    """The part of them that is at least the first."""
    return float((statistics >= statistics[0] - 1e-9).mean())


def _ridge_without_itself(x: Doubles) -> Doubles:
    """(n, n): what each picture adds to ridge regression's answer about each other one.

    The answer about a picture that was left out needs no second fit: it is the one with it, less
    its own part, over 1 - h (Hastie, Tibshirani & Friedman, Elements of Statistical Learning,
    7.10).
    """
    centred = x - x.mean(0)
    gram = centred @ centred.T
    n = len(gram)
    penalty = max(RIDGE * float(np.trace(gram)) / n, 1e-9)
    hat = gram @ np.linalg.inv(gram + penalty * np.eye(n))
    answers = hat / (1 - hat.diagonal())[:, None]
    np.fill_diagonal(answers, 0)
    return np.asarray(answers, dtype=np.float64)
