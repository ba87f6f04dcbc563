"""Pictures → probabilities as one ONNX graph: preprocessing, image net, label matrix, score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from unseen.deployment.evidence_nodes import evidence
from unseen.deployment.picture_nodes import prepare
from unseen.errors import LabelError
from unseen.labels.compiled import CompiledLabels
from unseen.labels.example_cache import Cache
from unseen.models.model import Model, Score
from unseen.networks.network import EMBEDDING
from unseen.prediction.calibration import Calibration
from unseen.prediction.decision import Decision
from unseen.prediction.open_set import ReferenceSet
from unseen.prediction.predict import refuse_adapted, undecided
from unseen.runtimes.graph import OnnxOperations, Value, assemble
from unseen.types import Array

if TYPE_CHECKING:
    import onnx

IMAGE, IMAGES = "image", "images"  # the input: one picture of any size, or a batch of one size
PROBABILITIES, COSINES, EVIDENCE = "probabilities", "cosines", "evidence"


@dataclass(frozen=True)
class Answering:
    """How cosines become probabilities.

    Parameters
    ----------
    labels : CompiledLabels
        The labels, background labels among them.
    calibration : Calibration, optional
        What was learnt of just these labels.
    multi_label : bool
        Whether each label is a yes or no of its own.
    reference_set : ReferenceSet, optional
        What evidence is measured against; by default evidence is not measured.

    Raises
    ------
    LabelError
        If the calibration, the mode or the reference set does not fit the labels.
    """

    labels: CompiledLabels
    calibration: Calibration | None = None
    multi_label: bool = False
    reference_set: ReferenceSet | None = None

    def __post_init__(self) -> None:
        if self.calibration is not None:
            self.calibration.check(self.labels, multi_label=self.multi_label)
        no_baseline = not self.labels.competitors
        if self.multi_label and self.labels.score.rule != "sigmoid" and no_baseline:
            raise LabelError(
                f"{self.labels.model} was trained with one label a picture: leave multi-label out, "
                "or make one of its labels a background label."
            )
        if self.reference_set is not None:
            refuse_adapted(self.labels)
            reason = undecided(self.labels, self.decision)
            if reason is not None:
                raise LabelError(reason)

    @property
    def decision(self) -> Decision:
        """The same as options of the library."""
        return Decision(
            multi_label=self.multi_label,
            calibration=self.calibration,
            reference_set=self.reference_set,
        )

    @property
    def answers(self) -> tuple[str, ...]:
        """What may be said of a picture, in the order of the outputs."""
        if self.multi_label:
            return tuple(label.name for label in self.labels.labels if not label.background)
        return self.labels.answers


def classifier_graph(
    model: Model,
    ops: OnnxOperations,
    answering: Answering,
    *,
    fixed: tuple[int, int] | None = None,
    with_embedding: bool = False,
    metadata: Mapping[str, str],
) -> onnx.ModelProto:
    """Record a classifier.

    Parameters
    ----------
    model : Model
        Whose image net is recorded.
    ops : OnnxOperations
        A new recorder, which says how the parameters of the net are stored.
    answering : Answering
        The labels and the score.
    fixed : (int, int), optional
        (height, width) of every picture; the input is then a batch. By default it is one picture
        of any size.
    with_embedding : bool
        Whether the embedding is an output as well.
    metadata : mapping of str to str
        Facts that are stored with it.

    Returns
    -------
    onnx.ModelProto
        Input ``image`` uint8 (h, w, 3), outputs ``probabilities`` (k,), ``cosines`` (k,) and
        ``embedding`` (d,), and ``evidence``, a scalar, where there is a reference set; or
        ``images`` (n, height, width, 3) and outputs with a first axis n.
    """
    sides: list[int | str] = ["height", "width"] if fixed is None else [*fixed]
    name = IMAGE if fixed is None else IMAGES
    batch: list[int | str] = [] if fixed is None else ["n"]
    images = name if fixed else ops.emit("Unsqueeze", name, _axes(ops, 0))
    network = model.image_network()
    is_ready = fixed is not None and fixed == network.inputs[0].shape[1:3]
    pixels = images if is_ready else prepare(ops, model.preprocess, images)
    embedding = ops.l2_normalise(network.apply(ops, pixels, outputs=(EMBEDDING,))[EMBEDDING])
    values = _score(ops, embedding, answering)
    widths: dict[str, list[int | str]] = {key: [len(answering.answers)] for key in values}
    if with_embedding:
        values[EMBEDDING], widths[EMBEDDING] = embedding, [model.dimension]
    if EVIDENCE in values:
        values[EVIDENCE] = ops.emit("Squeeze", values[EVIDENCE], _axes(ops, 1))
        widths[EVIDENCE] = []
    if fixed is None:
        values = {key: ops.emit("Squeeze", value, _axes(ops, 0)) for key, value in values.items()}
    outputs: dict[str, tuple[Value, list[int | str]]] = {
        key: (value, [*batch, *widths[key]]) for key, value in values.items()
    }
    return assemble(ops, {name: ("uint8", [*batch, *sides, 3])}, outputs, metadata)


def _axes(ops: OnnxOperations, *axes: int) -> Value:
    return ops.constant(np.array(axes, dtype=np.int64))


def _fixed(ops: OnnxOperations, values: Array | np.float32) -> Value:
    """A parameter of the label set, which stays in float32 whatever the net is stored in."""
    return ops.store(f"p{len(ops.initializers)}", np.asarray(values, dtype=np.float32))


def _score(ops: OnnxOperations, embedding: Value, answering: Answering) -> dict[str, Value]:
    """Probabilities and cosines of the answers, as `prediction.predict` works them out, and the
    evidence where there is a reference set."""
    labels = answering.labels
    products = ops.matmul(embedding, _fixed(ops, labels.compared.T))
    cosines = products
    if labels.adapted is not None and labels.adapted.cache is not None:
        k = len(labels.labels)
        examples = ops.slice(products, 1, k, None)
        cosines = ops.slice(products, 1, 0, k)
        cosines = ops.add(cosines, _cache(ops, labels.adapted.cache, examples, k))
    background = np.flatnonzero(labels.background_mask)
    foreground = np.flatnonzero(~labels.background_mask)
    own = _columns(ops, cosines, foreground) if len(background) else cosines
    if answering.multi_label:
        logits = _multi_label_logits(ops, embedding, cosines, own, labels)
        probabilities = _multi_label(ops, logits, answering.calibration, labels)
        values = {PROBABILITIES: probabilities, COSINES: own}
    else:
        probabilities = _single_label(ops, cosines, labels.score, answering.calibration)
        values = {PROBABILITIES: probabilities, COSINES: cosines}
        if len(background):
            values = {
                key: _per_answer(ops, values[key], foreground, background, operator)
                for key, operator in {PROBABILITIES: "ReduceSum", COSINES: "ReduceMax"}.items()
            }
    if answering.reference_set is not None:
        texts = labels.matrix[foreground]
        values[EVIDENCE] = evidence(ops, embedding, own, texts, answering.reference_set)
    return values


def _single_label(
    ops: OnnxOperations, cosines: Value, score: Score, calibration: Calibration | None
) -> Value:
    logits = _scaled(ops, cosines, score.scale, score.bias)
    if calibration is None:
        return ops.softmax(logits) if score.rule == "softmax" else ops.activation(logits, "sigmoid")
    prior = np.zeros(len(calibration.labels))
    if calibration.prior is not None:
        prior = np.array([calibration.prior[label] for label in calibration.labels])
    temperature = _fixed(ops, np.float32(calibration.temperature))
    divided = ops.emit("Div", logits, temperature)
    return ops.softmax(ops.add(divided, _fixed(ops, prior)))


def _multi_label_logits(
    ops: OnnxOperations, embedding: Value, cosines: Value, own: Value, labels: CompiledLabels
) -> Value:
    score, background = labels.score, np.flatnonzero(labels.background_mask)
    if score.rule == "sigmoid":
        return _scaled(ops, own, score.scale, score.bias)
    if len(background):
        neutral = _columns(ops, cosines, background)
    else:
        neutral = ops.matmul(embedding, _fixed(ops, labels.neutral.T))
    baseline = ops.emit("ReduceMean", neutral, _axes(ops, 1), keepdims=1)
    return ops.mul(ops.emit("Sub", own, baseline), _fixed(ops, np.float32(score.scale)))


def _multi_label(
    ops: OnnxOperations, logits: Value, calibration: Calibration | None, labels: CompiledLabels
) -> Value:
    if calibration is None:  # `score.yes_no_logits`, as nodes
        if labels.score.rule != "sigmoid":
            logits = ops.add(logits, _fixed(ops, np.float32(-np.log(labels.competitors))))
    else:
        divided = ops.emit("Div", logits, _fixed(ops, np.float32(calibration.temperature)))
        logits = ops.add(divided, _fixed(ops, np.float32(calibration.shift)))
    return ops.activation(logits, "sigmoid")


def _scaled(ops: OnnxOperations, x: Value, scale: float, bias: float) -> Value:
    scaled = ops.mul(x, _fixed(ops, np.float32(scale)))
    return ops.add(scaled, _fixed(ops, np.float32(bias))) if bias else scaled


def _cache(ops: OnnxOperations, cache: Cache, cosines: Value, k: int) -> Value:
    """What the examples of an adapter add, as `Cache.logits`: means a label, as one product."""
    ids, groups, count = np.unique(cache.label_ids, return_inverse=True, return_counts=True)
    means = np.zeros((len(groups), len(ids)))
    means[np.arange(len(groups)), groups] = 1 / count[groups]
    means -= means.mean(1, keepdims=True)  # less the mean over all labels with examples
    columns = np.zeros((len(groups), k), dtype=np.float32)
    columns[:, ids[ids < k]] = cache.alpha * means[:, ids < k]
    beta = _fixed(ops, np.float32(cache.beta))
    exponents = ops.mul(ops.emit("Sub", cosines, _fixed(ops, np.float32(1))), beta)
    return ops.matmul(ops.emit("Exp", exponents), _fixed(ops, columns))


def _columns(ops: OnnxOperations, x: Value, indices: NDArray[np.intp]) -> Value:
    return ops.emit("Gather", x, ops.constant(np.array(indices, dtype=np.int64)), axis=1)


def _per_answer(
    ops: OnnxOperations,
    x: Value,
    foreground: NDArray[np.intp],
    background: NDArray[np.intp],
    operator: str,
) -> Value:
    unknown = ops.emit(operator, _columns(ops, x, background), _axes(ops, 1), keepdims=1)
    return ops.concat([_columns(ops, x, foreground), unknown], 1)
