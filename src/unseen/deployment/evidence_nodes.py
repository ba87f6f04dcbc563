"""`--unknown auto` as nodes of an ONNX graph: the evidence of `prediction.open_set`."""

from __future__ import annotations

import numpy as np

from unseen.prediction.open_set import LEAST_SPREAD, NOTHING_SHIFT, ReferenceSet, noise_levels
from unseen.runtimes.graph import OnnxOperations, Value
from unseen.types import Array, Floats

NO_WORD = -2.0  # below every cosine: what a label has that no word speaks for


def evidence(
    ops: OnnxOperations,
    embedding: Value,
    cosines: Value,
    labels: Floats,
    reference_set: ReferenceSet,
) -> Value:
    """Record what `open_set.evidence` computes.

    Parameters
    ----------
    ops : OnnxOperations
        The recorder.
    embedding : Value
        Of the pictures, (n, d), rows of length 1.
    cosines : Value
        With the labels, (n, k).
    labels : float32 array (k, d)
        Labels that are not background, rows of length 1.
    reference_set : ReferenceSet
        Of the same model.

    Returns
    -------
    Value
        (n, 1), in standard deviations.
    """
    if reference_set.knows_words:
        return _against_words(ops, embedding, cosines, labels, reference_set)
    return _against_nothing(ops, cosines, labels, reference_set)


def _against_words(
    ops: OnnxOperations,
    embedding: Value,
    cosines: Value,
    labels: Floats,
    reference_set: ReferenceSet,
) -> Value:
    words = ops.matmul(embedding, _stored(ops, reference_set.concepts.T))
    nearest, place = np.unique(reference_set.nearest_words(labels), return_inverse=True)
    below = [np.flatnonzero(row) for row in reference_set.concepts_below(nearest)]
    # As many columns for each: those that have fewer words below them have the last one again and
    # again, which no word is.
    columns = np.full((len(below), max(1, *map(len, below))), len(reference_set.concepts))
    for row, concepts in zip(columns, below, strict=True):
        row[: len(concepts)] = concepts
    pads = ops.constant(np.array([0, 0, 0, 1], dtype=np.int64))
    with_none = ops.emit("Pad", words, pads, _stored(ops, np.float32(NO_WORD)))
    best = _largest(ops, ops.emit("Gather", with_none, _indices(ops, columns), axis=1), 2)
    best = ops.emit("Squeeze", best, _indices(ops, np.array([2])))
    best = ops.emit("Gather", best, _indices(ops, place.reshape(-1)), axis=1)
    sums = ops.add(cosines, ops.emit("Max", cosines, best))
    score = _largest(ops, ops.mul(sums, _stored(ops, np.float32(0.5))), 1)
    axis = _indices(ops, np.array([1]))
    mean = ops.emit("ReduceMean", words, axis, keepdims=1)
    away = ops.emit("Sub", words, mean)
    variance = ops.emit("ReduceMean", ops.mul(away, away), axis, keepdims=1)
    spread = ops.emit("Max", ops.emit("Sqrt", variance), _stored(ops, np.float32(LEAST_SPREAD)))
    return ops.emit("Div", ops.emit("Sub", score, mean), spread)


def _against_nothing(
    ops: OnnxOperations, cosines: Value, labels: Floats, reference_set: ReferenceSet
) -> Value:
    levels = noise_levels(labels, reference_set)
    # The mean of (best - mean) / spread over both, as one line.
    slope = np.mean([1 / float(spread) for _, spread in levels])
    shift = NOTHING_SHIFT - np.mean([float(mean) / float(spread) for mean, spread in levels])
    best = _largest(ops, cosines, 1)
    return ops.add(ops.mul(best, _stored(ops, np.float32(slope))), _stored(ops, np.float32(shift)))


def _largest(ops: OnnxOperations, x: Value, axis: int) -> Value:
    return ops.emit("ReduceMax", x, _indices(ops, np.array([axis])), keepdims=1)


def _stored(ops: OnnxOperations, values: Array | np.float32) -> Value:
    """In float32, whatever the net is stored in."""
    return ops.store(f"p{len(ops.initializers)}", np.asarray(values, dtype=np.float32))


def _indices(ops: OnnxOperations, values: Array) -> Value:
    return ops.constant(np.asarray(values, dtype=np.int64))
