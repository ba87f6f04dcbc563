"""The labelled pictures that are nearest, and what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unseen.explanation.explanation import Neighbour
from unseen.labels.compiled import CompiledLabels
from unseen.types import Floats

COUNT = 5
SHARPNESS = 20.0  # of exp(-s · (1 - cosine)): a neighbour's weight


@dataclass(frozen=True, eq=False)
class Examples:
    """Labelled pictures that are encoded, such as those of an index.

    Parameters
    ----------
    embeddings : float32 array (m, d)
        Rows of length 1.
    names, labels : sequence of str
        Of each.
    """

    embeddings: Floats
    names: Sequence[str]
    labels: Sequence[str]


def neighbours(embedding: Floats, examples: Examples, count: int = COUNT) -> tuple[Neighbour, ...]:
    """The nearest examples, and the share of each in what they say together.

    Parameters
    ----------
    embedding : float32 array (d,)
        Of the picture, of length 1. An example that is the same picture is left out.
    examples : Examples
        Labelled pictures.
    count : int
        How many.

    Returns
    -------
    tuple of Neighbour
        The nearest first; the shares sum to 1.
    """
    cosines = np.asarray(examples.embeddings @ embedding, dtype=np.float64)
    order = [i for i in np.argsort(-cosines, kind="stable") if cosines[i] < 1 - 1e-6][:count]
    weights = np.exp(-SHARPNESS * (1 - cosines[order]))
    total = max(float(weights.sum()), 1e-300)
    return tuple(
        Neighbour(examples.names[i], examples.labels[i], float(cosines[i]), float(w / total))
        for i, w in zip(order, weights, strict=True)
    )


def of_adapter(embedding: Floats, compiled: CompiledLabels) -> tuple[Neighbour, ...]:
    """The examples of an adapter that add most to the labels' logits; none where it has none.

    Parameters
    ----------
    embedding : float32 array (d,)
        Of the picture.
    compiled : CompiledLabels
        Labels that were adapted.

    Returns
    -------
    tuple of Neighbour
        The file does not hold the names of its examples: they are numbered.
    """
    if compiled.adapted is None or compiled.adapted.cache is None:
        return ()
    examples = compiled.adapted.cache
    cosines = np.asarray(examples.support @ embedding, dtype=np.float64)
    affinity = np.exp(-examples.beta * (1 - cosines))
    inside = examples.label_ids < len(compiled.labels)
    order = [i for i in np.argsort(-affinity, kind="stable") if inside[i]][:COUNT]
    total = max(float(affinity[inside].sum()), 1e-300)
    return tuple(
        Neighbour(
            f"example {i + 1}",
            compiled.labels[examples.label_ids[i]].name,
            float(cosines[i]),
            float(affinity[i] / total),
        )
        for i in order
    )
