"""The fewest places without which the answer is another, verified by the net."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from unseen.explanation.explanation import Counterfactual
from unseen.explanation.masking import BATCH, Masking
from unseen.explanation.parts import OpenedPicture
from unseen.explanation.trust import order
from unseen.types import Floats


def counterfactual(
    masking: Masking,
    picture: OpenedPicture,
    scores: Floats,
    answer: str,
    answers: Callable[[Floats], list[tuple[str, float]]],
) -> Counterfactual | None:
    """How many places must go, in the order of the map, until the answer changes.

    Parameters
    ----------
    masking : Masking
        Encodes the picture without them.
    picture : OpenedPicture
        The picture.
    scores : float32 array (cells,)
        What each place says for the answer.
    answer : str
        What the whole picture is.
    answers : callable
        Embeddings (n, d) → the best label of each, and its probability.

    Returns
    -------
    Counterfactual or None
        None where the answer stays until half of the places are gone.
    """
    cells = order(picture.geometry, scores)
    most = max(1, len(cells) // 2)
    counts = sorted({*np.unique(np.geomspace(1, most, BATCH).round().astype(int)).tolist()})
    low = 0
    while counts:
        visible = np.ones((len(counts), picture.geometry.cells), dtype=bool)
        for row, count in enumerate(counts):
            visible[row, cells[:count]] = False
        outcome = answers(masking.embeddings(picture.pixels, visible))
        changed = [i for i, (label, _) in enumerate(outcome) if label != answer]
        if not changed:
            return None
        first = changed[0]
        low = counts[first - 1] if first else low
        high, (label, probability) = counts[first], outcome[first]
        if high - low <= 1:
            return Counterfactual(high, high / len(cells), label, probability)
        counts = [*range(low + 1, high + 1)][:: max(1, (high - low) // BATCH)]
        counts = sorted({*counts, high})
    return None
