"""A label set → its prompts → vectors → a compiled set, for one model."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unseen.encoder import Encoder, Progress
from unseen.errors import LabelError, LabelWarning
from unseen.labels import examples
from unseen.labels.compiled import Adapted, CompiledLabels
from unseen.labels.label_set import LabelSet
from unseen.labels.templates import fill
from unseen.models.model import Model
from unseen.sources.item import Source
from unseen.system.digest import file_chunks, sha256

# What a picture shows when none of the labels is meant; the mean of them is the neutral ground
# that multi-label mode of a softmax family sets each label against.
NEUTRAL = ("something", "a thing", "an object", "a scene", "a picture")


def compile_labels(
    encoder: Encoder, label_set: LabelSet, *, progress: Progress | None = None
) -> CompiledLabels:
    """Encode every prompt once (or find it in the cache) and average them a label; where labels
    have example pictures, these count, too."""
    texts = texts_of(encoder.model, label_set)
    compiled = assemble(encoder.model, label_set, encoder.encode_texts(texts, progress=progress))
    return _with_examples(encoder, label_set, compiled)


def _with_examples(
    encoder: Encoder, label_set: LabelSet, compiled: CompiledLabels
) -> CompiledLabels:
    """The set with its rows moved towards the examples of its labels.

    The examples are among the prompts by their digests: a calibration of the words alone is then
    refused, and a run that is resumed must have the same.
    """
    paths = [(i, path) for i, label in enumerate(label_set.labels) for path in label.examples]
    if not paths:
        return compiled
    label_ids = np.array([i for i, _ in paths])
    if len(set(label_ids)) < 2:
        warnings.warn(
            f"{label_set.name}: {label_set.names[label_ids[0]]!r} is the only label with examples, "
            "so there is nothing to compare them with, and the words count alone.",
            LabelWarning,
            stacklevel=4,
        )
        return compiled
    digests = [_digest(path, label_set.names[i]) for i, path in paths]
    rows = []
    sources = [Source(path, path) for _, path in paths]
    for (i, path), encoded in zip(paths, encoder.stream_images(sources), strict=True):
        if encoded.embedding is None:
            raise LabelError(f"{path}: this example of {label_set.names[i]!r}: {encoded.error}")
        rows.append(encoded.embedding)
    images = np.array(rows, dtype=np.float32)
    fused = examples.fuse(compiled.matrix, images, label_ids, compiled.score.scale)
    how = "chosen by leaving each out" if fused.chosen else "too few to choose it"
    prompts = tuple(
        (*own, *(f"example {digests[n]}" for n in np.flatnonzero(label_ids == i)))
        for i, own in enumerate(compiled.prompts)
    )
    name = f"{len(rows)} examples, weight {fused.weight:.3g} ({how})"
    return replace(compiled, matrix=fused.rows, prompts=prompts, adapted=Adapted(name))


def _digest(path: str, name: str) -> str:
    """What a picture is known by, as an adapter has it."""
    try:
        return sha256(file_chunks(Path(path)))[:16].hex()
    except FileNotFoundError:
        raise LabelError(f"{path}: there is no such example of {name!r}.") from None
    except (OSError, ValueError) as error:
        raise LabelError(f"{path}: this example of {name!r} cannot be read: {error}.") from None


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
