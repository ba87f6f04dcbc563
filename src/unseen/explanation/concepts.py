"""The words of a general vocabulary that make up a picture: a sparse sum, with its fit.

As SpLiCE (Bhalla et al. 2024, arXiv:2402.10376): pictures and texts lie apart, so the mean picture
is taken off the one and the mean concept off the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unseen.explanation.explanation import Concept
from unseen.types import Doubles, Floats

MOST = 16  # terms
LEAST_FIT = 0.3  # cosine: below it the words say little of the picture, and none is given
LEAST_GAIN = 1e-6
ROUNDS = 50  # of coordinate descent over the chosen terms; each is exact in one coordinate


def concepts(
    embedding: Floats, mean_picture: Floats, vocabulary: Floats, names: Sequence[str]
) -> tuple[tuple[Concept, ...], float]:
    """The concepts of a picture.

    Parameters
    ----------
    embedding : float32 array (d,)
        Of the picture, of length 1.
    mean_picture : float32 array (d,)
        The mean of pictures of all kinds.
    vocabulary : float32 array (m, d)
        A row of length 1 for each concept.
    names : sequence of str
        What they are called.

    Returns
    -------
    concepts : tuple of Concept
        The most first; empty where the fit is below 0.3.
    fit : float
        The cosine of their sum to the picture.
    """
    # The built-in model's texts are 0 where its pictures have their looks: no word speaks of these.
    spoken = vocabulary.any(0)
    target = _unit((embedding - mean_picture)[spoken].astype(np.float64))
    rows = (vocabulary - vocabulary.mean(0))[:, spoken].astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows / np.maximum(lengths, 1e-12)
    weights, fit = pursuit(target, rows)
    if fit < LEAST_FIT:
        return (), fit
    chosen = sorted(np.flatnonzero(weights > 0).tolist(), key=lambda i: -weights[i])
    return tuple(Concept(names[i], float(weights[i])) for i in chosen), fit


def pursuit(target: Doubles, rows: Doubles, most: int = MOST) -> tuple[Doubles, float]:
    """Non-negative orthogonal matching pursuit: min ‖target − w · rows‖², w ≥ 0, few terms.

    Parameters
    ----------
    target : float64 array (d,)
        Of length 1.
    rows : float64 array (m, d)
        Of length 1.
    most : int
        Terms.

    Returns
    -------
    weights : float64 array (m,)
        Of which at most `most` are above 0.
    fit : float
        The cosine of the sum to the target; 0 for no terms.
    """
    weights = np.zeros(len(rows))
    chosen: list[int] = []
    residual = target
    for _ in range(min(most, len(rows))):
        gains = rows @ residual
        gains[chosen] = -np.inf
        best = int(np.argmax(gains))
        if gains[best] <= LEAST_GAIN:
            break
        chosen.append(best)
        weights[chosen] = _least_squares(rows[chosen], target, weights[chosen])
        residual = target - weights[chosen] @ rows[chosen]
    total = weights @ rows
    length = np.linalg.norm(total)
    return weights, float(total @ target / length) if length > 0 else 0.0


def _least_squares(rows: Doubles, target: Doubles, start: Doubles) -> Doubles:
    """Non-negative least squares over few rows, by coordinate descent."""
    gram, products = rows @ rows.T, rows @ target
    weights = start.copy()
    for _ in range(ROUNDS):
        for i in range(len(weights)):
            rest = products[i] - gram[i] @ weights + gram[i, i] * weights[i]
            weights[i] = max(0.0, rest / gram[i, i])
    return np.asarray(weights)


def _unit(vector: Doubles) -> Doubles:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12))
