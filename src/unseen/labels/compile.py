"""A label set → its prompts → vectors → a compiled set, for one model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unseen.encoder import Encoder, Progress
from unseen.labels.compiled import CompiledLabels
from unseen.labels.label_set import LabelSet
from unseen.labels.templates import fill
from unseen.models.model import Model

# What a picture shows when none of the labels is meant; the mean of them is the neutral ground
# that multi-label mode of a softmax family sets each label against.
NEUTRAL = ("something", "a thing", "an object", "a scene", "a picture")


def compile_labels(
    encoder: Encoder, label_set: LabelSet, *, progress: Progress | None = None
) -> CompiledLabels:
    """Encode every prompt once (or find it in the cache) and average them a label."""
    texts = texts_of(encoder.model, label_set)
    return assemble(encoder.model, label_set, encoder.encode_texts(texts, progress=progress))


def texts_of(model: Model, label_set: LabelSet) -> list[str]:
    """What has to be encoded for a label set: its prompts in order, then the neutral ones.

    Those are left out where a model knows its own labels alone.
    """
    prompts = label_set.prompts(model.template)
    neutral = () if model.labels else NEUTRAL
    return [*(p for own in prompts for p in own), *(fill(model.template, w) for w in neutral)]


def assemble(model: Model, label_set: LabelSet, rows: NDArray[np.float32]) -> CompiledLabels:
    """The embeddings (n, d) of `texts_of` → the compiled set."""
    prompts = label_set.prompts(model.template)
    sizes = [len(own) for own in prompts]
    return CompiledLabels.of_vectors(
        label_set.labels,
        _averaged(rows[: sum(sizes)], sizes),
        model,
        prompts=prompts,
        neutral=rows[sum(sizes) :],
        name=label_set.name,
    )


def _averaged(rows: NDArray[np.float32], sizes: Sequence[int]) -> NDArray[np.float32]:
    """Runs of `sizes` rows → their mean, normalised: (k, d)."""
    starts = np.cumsum([0, *sizes[:-1]])
    sums = np.add.reduceat(rows, starts, axis=0)
    return np.asarray(sums / np.linalg.norm(sums, axis=1, keepdims=True), dtype=np.float32)
