"""The arithmetic of queries: vectors added, subtracted and weighed, then made one of length 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.errors import LabelError
from unseen.types import Floats

if TYPE_CHECKING:
    from unseen.encoder import Encoder

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


def vectors_of(terms: Sequence[Any], dimension: int, encoder: Callable[[], Encoder]) -> Floats:
    """The vectors of a query's terms, each as long as its weight.

    Parameters
    ----------
    terms : sequence
        Words (`str`), pictures (a `Path`, or what `Encoder.encode_images` takes), or vectors of
        length 1; each may stand in a pair with its weight, such as ``(0.5, "snow")``.
    dimension : int
        Of a vector.
    encoder : callable
        Gives the encoder; called only where a term is no vector.

    Returns
    -------
    ndarray of shape (n, d), float32
    """
    rows = np.zeros((len(terms), dimension), dtype=np.float32)
    for row, term in zip(rows, terms, strict=True):
        weight, item = term if isinstance(term, tuple) else (1.0, term)
        row[:] = weight * vector_of(item, encoder)
    return rows


def vector_of(item: Any, encoder: Callable[[], Encoder]) -> Floats:
    """The vector of words, of a picture, or of a vector, which is taken as it is."""
    if isinstance(item, np.ndarray) and item.ndim == 1:
        return np.asarray(item, dtype=np.float32)
    if isinstance(item, str):
        return np.asarray(encoder().encode_texts([item])[0], dtype=np.float32)
    return np.asarray(encoder().encode_images([item])[0], dtype=np.float32)


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
