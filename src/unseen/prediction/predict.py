"""Cosines → predictions: which labels are said of a picture, and which are left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from unseen.encoder import Encoded
from unseen.errors import LabelError
from unseen.labels.compiled import CompiledLabels
from unseen.prediction import score
from unseen.prediction.calibration import Calibration, plain, prediction_sets
from unseen.prediction.decision import Decision
from unseen.prediction.open_set import ReferenceSet, evidence
from unseen.prediction.prediction import Prediction, Scored

if TYPE_CHECKING:
    from unseen.types import Metadata

YES = 0.5  # the threshold of a label in multi-label mode that has none of its own

Rows = NDArray[np.float32]


def predict(
    sources: Sequence[str],
    embeddings: Rows,
    labels: CompiledLabels,
    decision: Decision,
    probabilities: Rows | None = None,
) -> list[Prediction]:
    """Predictions of pictures that are encoded already.

    Background labels compete with the others; their probability, added up, is that of `unknown`.

    Parameters
    ----------
    sources : sequence of str
        The names of n pictures.
    embeddings : float32 array (n, d)
        Their embeddings, rows of length 1.
    labels : CompiledLabels
        k labels, compiled for the model that made the embeddings.
    decision : Decision
        How scores become an answer.
    probabilities : float32 array (n, k), optional
        Those of the labels, where they are known better than by the score of `labels`.

    Returns
    -------
    list of Prediction
        One for each picture, in order.

    Raises
    ------
    LabelError
        If the calibration, the evidence or multi-label mode does not fit the labels.
    """
    cosines = labels.similarities(embeddings)
    names, shown, of_answers = _answers(embeddings, cosines, labels, decision, probabilities)
    ranked = np.argsort(-of_answers, axis=1, kind="stable")
    passed = of_answers >= _thresholds(names, labels, decision)
    passed = np.take_along_axis(passed, ranked, axis=1)
    sets: list[tuple[str, ...] | None] = [None] * len(sources)
    if decision.calibration is not None and decision.calibration.likely is not None:
        uncalibrated = plain(score.logits(cosines, labels.score), labels)
        sets = [*prediction_sets(uncalibrated, names, decision.calibration.likely)]
    measured = _evidence(embeddings, labels, decision.reference_set)
    return [
        _prediction(source, names, order[above][: decision.top_k], p, c, prediction_set, amount)
        for source, order, above, p, c, prediction_set, amount in zip(
            sources, ranked, passed, of_answers, shown, sets, measured, strict=True
        )
    ]


def predict_encoded(
    batch: Sequence[Encoded],
    labels: CompiledLabels,
    decision: Decision,
    probabilities: Rows | None = None,
) -> list[Prediction]:
    """As `predict`, for a batch in which some pictures could not be read.

    Parameters
    ----------
    batch : sequence of Encoded
        Embeddings, or errors in their place.
    labels : CompiledLabels
        k labels, compiled for the model that made the embeddings.
    decision : Decision
        How scores become an answer.
    probabilities : float32 array (m, k), optional
        Those of the labels for the m pictures that could be read, as in `predict`.

    Returns
    -------
    list of Prediction
        One for each of the batch, in order; with an error where there was one.

    Raises
    ------
    LabelError
        As `predict`.
    """
    readable = [e for e in batch if e.embedding is not None]
    predictions: Iterator[Prediction] = iter(())
    if readable:
        rows = np.array([e.embedding for e in readable], dtype=np.float32)
        names = [e.name for e in readable]
        predictions = iter(predict(names, rows, labels, decision, probabilities))
    return [
        Prediction(e.name, error=str(e.error), meta=e.meta)
        if e.error is not None
        else _with_meta(next(predictions), e.meta)
        for e in batch
    ]


def _with_meta(prediction: Prediction, meta: Metadata) -> Prediction:
    return replace(prediction, meta=meta) if meta else prediction


def label_probabilities(
    embeddings: Rows, labels: CompiledLabels, decision: Decision
) -> tuple[list[str], Rows, Rows]:
    """The probabilities of all that may be said of pictures.

    Parameters
    ----------
    embeddings : float32 array (n, d)
        Pictures, rows of length 1.
    labels : CompiledLabels
        Labels, compiled for the model that made the embeddings.
    decision : Decision
        Its mode, calibration and thresholds count.

    Returns
    -------
    names : list of str
        The a answers: the labels that are not background, and in single-label mode `unknown`
        where there are background labels.
    probabilities : float32 array (n, a)
        One for each picture and answer.
    thresholds : float32 array (a,)
        From which probability on each answer is given.

    Raises
    ------
    LabelError
        If the calibration or multi-label mode does not fit the labels.
    """
    cosines = labels.similarities(embeddings)
    names, _, probabilities = _answers(embeddings, cosines, labels, decision, None)
    return names, probabilities, _thresholds(names, labels, decision)


def _answers(
    embeddings: Rows,
    cosines: Rows,
    labels: CompiledLabels,
    decision: Decision,
    probabilities: Rows | None,
) -> tuple[list[str], Rows, Rows]:
    """The names that may be said, their cosines and their probabilities."""
    calibration = decision.calibration
    if calibration is not None:
        calibration.check(labels, multi_label=decision.multi_label)
        if probabilities is not None:
            raise LabelError("a calibration is of the model's own rule: leave it or the other out.")
    if decision.multi_label:
        return _several(embeddings, cosines, labels, calibration)
    if probabilities is None:
        probabilities = _single(cosines, labels, calibration)
    names = [*labels.answers]
    return names, labels.cosines_of_answers(cosines), labels.of_answers(probabilities)


def _prediction(
    source: str,
    names: Sequence[str],
    order: NDArray[np.intp],
    p: Rows,
    cosine: Rows,
    prediction_set: tuple[str, ...] | None,
    evidence: float | None,
) -> Prediction:
    ranking = tuple(Scored(names[i], float(p[i]), float(cosine[i])) for i in order)
    left_out = len(names) - len(ranking)
    return Prediction(source, ranking, left_out, likely=prediction_set, evidence=evidence)


def _single(cosines: Rows, labels: CompiledLabels, calibration: Calibration | None) -> Rows:
    """Probabilities of every label, background too, when one is wanted."""
    if calibration is None:
        return score.single_label(cosines, labels.score)
    return calibration.single(score.logits(cosines, labels.score))


def _several(
    embeddings: Rows,
    cosines: Rows,
    labels: CompiledLabels,
    calibration: Calibration | None,
) -> tuple[list[str], Rows, Rows]:
    """Names, cosines and probabilities when each label is a question of its own."""
    names = [label.name for label in labels.labels if not label.background]
    logits = several_logits(embeddings, cosines, labels)
    probabilities = score.sigmoid(logits) if calibration is None else calibration.several(logits)
    return names, cosines[:, ~labels.background_mask], probabilities


def several_logits(embeddings: Rows, cosines: Rows, labels: CompiledLabels) -> Rows:
    """(n, labels that are not background) logits in multi-label mode: those are neutral ground."""
    background = labels.background_mask
    if not background.any() and not len(labels.neutral):
        raise LabelError(
            f"{labels.model} was taught one label a picture: leave multi-label out, or let one of "
            "its labels be background, to set the others against."
        )
    neutral = (
        cosines[:, background] if background.any() else score.cosines(embeddings, labels.neutral)
    )
    return score.multi_label_logits(cosines[:, ~background], neutral, labels.score)


def _evidence(
    embeddings: Rows, labels: CompiledLabels, reference_set: ReferenceSet | None
) -> Sequence[float | None]:
    if reference_set is None:
        return [None] * len(embeddings)
    if labels.adapted is not None:
        raise LabelError(
            "evidence is measured by what words say, and an adapter goes beyond them: leave "
            "unknown auto, or the adapter. Background labels may be given with an adapter."
        )
    texts = labels.matrix[~labels.background_mask]
    return [float(e) for e in evidence(embeddings, texts, reference_set)]


def _thresholds(names: Sequence[str], labels: CompiledLabels, decision: Decision) -> Rows:
    if not decision.multi_label:
        return np.full(len(names), decision.min_score or 0.0, dtype=np.float32)
    default = YES if decision.min_score is None else decision.min_score
    by_label: dict[str, float | None] = {label.name: label.threshold for label in labels.labels}
    if decision.calibration is not None:  # its scores are others than those of the label file
        by_label = dict.fromkeys(by_label) | (decision.calibration.thresholds or {})
    return np.array(
        [default if by_label[name] is None else by_label[name] for name in names], dtype=np.float32
    )
