"""The arithmetic of queries: vectors added, subtracted and weighed, then made one of length 1."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unseen.errors import LabelError
from unseen.types import Floats

LEAST_LENGTH = 1e-6  # of a sum of unit vectors: below that only rounding is left


def combine(positive: Floats, negative: Floats) -> Floats:
    """Combine what a search shall resemble and what it shall not into one query.

    Parameters
    ----------
    positive : ndarray of shape (n, d), float32
        Vectors to add, each of length 1 times its weight.
    negative : ndarray of shape (m, d), float32
        Vectors to subtract; m may be 0.

    Returns
    -------
    ndarray of shape (d,), float32
        The query, of length 1.

    Raises
    ------
    LabelError
        When nothing is left after the subtraction.

    Examples
    --------
    >>> import numpy as np
    >>> red, round_, blue = np.eye(3, dtype=np.float32)
    >>> [round(float(x), 3) for x in combine(np.stack([red, round_]), blue[None])]
    [0.577, 0.577, -0.577]
    """
    query = positive.sum(0) - negative.sum(0)
    length = float(np.linalg.norm(query))
    if length < LEAST_LENGTH:
        raise LabelError("the query is empty: what is added and what is subtracted are the same.")
    return np.asarray(query / length, dtype=np.float32)


def parse_term(text: str) -> tuple[float, str | Path]:
    """Split a query into its weight, and its words or the path of a picture that is there."""
    weight, item = parse_weight(text)
    try:
        return weight, Path(item) if Path(item).is_file() else item
    except (OSError, ValueError):  # far too long for a path
        return weight, item


def parse_weight(term: str) -> tuple[float, str]:
    """Split a query such as `0.5:snow` into its weight and its words; the weight is 1 without one.

    >>> parse_weight("0.5:snow"), parse_weight("snow: fresh"), parse_weight("2:")
    ((0.5, 'snow'), (1.0, 'snow: fresh'), (1.0, '2:'))
    """
    head, colon, words = term.partition(":")
    try:
        return (float(head), words.strip()) if colon and words.strip() else (1.0, term)
    except ValueError:
        return 1.0, term
