"""Cosines → predictions: which labels are said of a picture, and which are left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from unseen.encoder import Encoded
from unseen.errors import LabelError
from unseen.labels.compiled import CompiledLabels
from unseen.models.model import Score
from unseen.prediction import score
from unseen.prediction.calibration import Calibration, answers, likely_answers, plain, together
from unseen.prediction.open_set import Ground, evidence
from unseen.prediction.prediction import Prediction, Scored

if TYPE_CHECKING:
    from unseen.types import Metadata

YES = 0.5  # the threshold of a label in multi-label mode that has none of its own

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Decision:
    """How scores become an answer; see `Classifier.classify_many`."""

    multi_label: bool = False
    top_k: int | None = None
    min_score: float | None = None
    calibration: Calibration | None = None
    ground: Ground | None = None  # evidence is measured against it

    def __post_init__(self) -> None:
        if self.top_k is not None and self.top_k < 1:
            raise LabelError(f"top_k is {self.top_k}; it must be at least 1.")
        if self.min_score is not None and not 0 <= self.min_score <= 1:
            raise LabelError(f"min_score is {self.min_score}; a probability lies in 0…1.")


def decide(
    sources: Sequence[str],
    embeddings: Rows,
    labels: CompiledLabels,
    rule: Score,
    decision: Decision,
    probabilities: Rows | None = None,
) -> list[Prediction]:
    """(n, d) embeddings of `sources` → n predictions.

    Background labels compete with the others; their probability, added up, is that of `unknown`.
    `probabilities` (n, k): of the labels, if they are known better than by the rule.
    """
    cosines, rule = labels.similarities(embeddings), labels.rule(rule)
    calibration = decision.calibration
    names, shown, chances = _answers(embeddings, cosines, labels, rule, decision, probabilities)
    wanted = _thresholds(names, labels, decision)
    ranked = np.argsort(-chances, axis=1, kind="stable")
    passed = np.take_along_axis(chances >= wanted, ranked, axis=1)
    likely: list[tuple[str, ...] | None] = [None] * len(sources)
    if calibration is not None and calibration.likely is not None:
        unlearnt = plain(score.logits(cosines, rule), labels)
        likely = [*likely_answers(unlearnt, names, calibration.likely)]
    speaks = _evidence(embeddings, labels, decision.ground)
    return [
        _prediction(source, names, order[kept][: decision.top_k], p, c, among, much)
        for source, order, kept, p, c, among, much in zip(
            sources, ranked, passed, chances, shown, likely, speaks, strict=True
        )
    ]


def decide_encoded(
    batch: Sequence[Encoded],
    labels: CompiledLabels,
    rule: Score,
    decision: Decision,
    probabilities: Rows | None = None,
) -> list[Prediction]:
    """As `decide`, a prediction for each of a batch; of what could not be read, one with an error.

    `probabilities`: of those that could be read.
    """
    good = [e for e in batch if e.embedding is not None]
    decided: Iterator[Prediction] = iter(())
    if good:
        rows = np.array([e.embedding for e in good], dtype=np.float32)
        names = [e.name for e in good]
        decided = iter(decide(names, rows, labels, rule, decision, probabilities))
    return [
        Prediction(e.name, error=str(e.error), meta=e.meta)
        if e.error is not None
        else _with_meta(next(decided), e.meta)
        for e in batch
    ]


def _with_meta(prediction: Prediction, meta: Metadata) -> Prediction:
    return replace(prediction, meta=meta) if meta else prediction


def chances(
    embeddings: Rows, labels: CompiledLabels, rule: Score, decision: Decision
) -> tuple[list[str], Rows, Rows]:
    """(n, d) embeddings → the names that may be said, `unknown` among them where there are
    background labels, their probabilities (n, k), and the threshold of each (k,)."""
    cosines, rule = labels.similarities(embeddings), labels.rule(rule)
    names, _, found = _answers(embeddings, cosines, labels, rule, decision, None)
    return names, found, _thresholds(names, labels, decision)


def _answers(
    embeddings: Rows,
    cosines: Rows,
    labels: CompiledLabels,
    rule: Score,
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
        return _several(embeddings, cosines, labels, rule, calibration)
    if probabilities is None:
        probabilities = _single(cosines, rule, calibration)
    return answers(labels), _shown(cosines, labels), together(probabilities, labels)


def _prediction(
    source: str,
    names: Sequence[str],
    order: NDArray[np.intp],
    p: Rows,
    cosine: Rows,
    likely: tuple[str, ...] | None,
    evidence: float | None,
) -> Prediction:
    ranking = tuple(Scored(names[i], float(p[i]), float(cosine[i])) for i in order)
    left_out = len(names) - len(ranking)
    return Prediction(source, ranking, left_out, likely=likely, evidence=evidence)


def _single(cosines: Rows, rule: Score, calibration: Calibration | None) -> Rows:
    """Probabilities of every label, background too, when one is wanted."""
    if calibration is None:
        return score.single_label(cosines, rule)
    return calibration.single(score.logits(cosines, rule))


def _shown(cosines: Rows, labels: CompiledLabels) -> Rows:
    """The cosines behind the answers: of background, the largest."""
    background = _background(labels)
    if not background.any():
        return cosines
    return np.hstack([cosines[:, ~background], cosines[:, background].max(1, keepdims=True)])


def _several(
    embeddings: Rows,
    cosines: Rows,
    labels: CompiledLabels,
    rule: Score,
    calibration: Calibration | None,
) -> tuple[list[str], Rows, Rows]:
    """Names, cosines and probabilities when each label is a question of its own."""
    names = [label.name for label in labels.labels if not label.background]
    own = cosines[:, ~_background(labels)]
    logits = several_logits(embeddings, cosines, labels, rule)
    chances = score.sigmoid(logits) if calibration is None else calibration.several(logits)
    return names, own, chances


def several_logits(embeddings: Rows, cosines: Rows, labels: CompiledLabels, rule: Score) -> Rows:
    """(n, labels that are not background) logits in multi-label mode: those are neutral ground."""
    background = _background(labels)
    if not background.any() and not len(labels.neutral):
        raise LabelError(
            f"{labels.model} was taught one label a picture: leave multi-label out, or let one of "
            "its labels be background, to set the others against."
        )
    neutral = (
        cosines[:, background] if background.any() else score.cosines(embeddings, labels.neutral)
    )
    return score.multi_label_logits(cosines[:, ~background], neutral, rule)


def _background(labels: CompiledLabels) -> NDArray[np.bool_]:
    return np.array([label.background for label in labels.labels])


def _evidence(
    embeddings: Rows, labels: CompiledLabels, ground: Ground | None
) -> Sequence[float | None]:
    if ground is None:
        return [None] * len(embeddings)
    if labels.adapted is not None:
        raise LabelError(
            "evidence is measured by what words say, and an adapter goes beyond them: leave "
            "unknown auto, or the adapter. Background labels may be given with an adapter."
        )
    return [float(e) for e in evidence(embeddings, labels.matrix[~_background(labels)], ground)]


def _thresholds(names: Sequence[str], labels: CompiledLabels, decision: Decision) -> Rows:
    if not decision.multi_label:
        return np.full(len(names), decision.min_score or 0.0, dtype=np.float32)
    default = YES if decision.min_score is None else decision.min_score
    own: dict[str, float | None] = {label.name: label.threshold for label in labels.labels}
    if decision.calibration is not None:  # its scores are others than those of the label file
        own = dict.fromkeys(own) | (decision.calibration.thresholds or {})
    return np.array(
        [default if own[name] is None else own[name] for name in names], dtype=np.float32
    )
