"""Cosines → predictions: which labels are said of a picture, and which are left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unseen import score
from unseen.compiled_labels import CompiledLabels
from unseen.encode import Encoded
from unseen.errors import LabelError
from unseen.models.model import Score
from unseen.predictions import UNKNOWN, Prediction, Scored

YES = 0.5  # the threshold of a label in multi-label mode that has none of its own

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Decision:
    """How scores become an answer; see `Classifier.classify_many`."""

    multi_label: bool = False
    top_k: int | None = None
    min_score: float | None = None

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
    names, shown, chances = (
        _several(embeddings, cosines, labels, rule)
        if decision.multi_label
        else _one(
            cosines,
            labels,
            score.single_label(cosines, rule) if probabilities is None else probabilities,
        )
    )
    wanted = _thresholds(names, labels, decision)
    ranked = np.argsort(-chances, axis=1, kind="stable")
    passed = np.take_along_axis(chances >= wanted, ranked, axis=1)
    return [
        _prediction(source, names, order[kept][: decision.top_k], p, c)
        for source, order, kept, p, c in zip(sources, ranked, passed, chances, shown, strict=True)
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
        Prediction(e.name, error=str(e.error)) if e.error is not None else next(decided)
        for e in batch
    ]


def _prediction(
    source: str, names: Sequence[str], order: NDArray[np.intp], p: Rows, cosine: Rows
) -> Prediction:
    ranking = tuple(Scored(names[i], float(p[i]), float(cosine[i])) for i in order)
    return Prediction(source, ranking, left_out=len(names) - len(ranking))


def _one(
    cosines: Rows, labels: CompiledLabels, probabilities: Rows
) -> tuple[list[str], Rows, Rows]:
    """Names, cosines and probabilities when one label is wanted."""
    background = np.array([label.background for label in labels.labels])
    names = [label.name for label in labels.labels if not label.background]
    if not background.any():
        return names, cosines, probabilities
    if UNKNOWN in names:
        raise LabelError(
            f"with background labels, {UNKNOWN!r} is the name of their answer: rename that label."
        )
    unknown = probabilities[:, background].sum(1, keepdims=True)
    nearest = cosines[:, background].max(1, keepdims=True)
    return (
        [*names, UNKNOWN],
        np.hstack([cosines[:, ~background], nearest]),
        np.hstack([probabilities[:, ~background], unknown]),
    )


def _several(
    embeddings: Rows, cosines: Rows, labels: CompiledLabels, rule: Score
) -> tuple[list[str], Rows, Rows]:
    """The same when each label is a question of its own; background labels are neutral ground."""
    background = np.array([label.background for label in labels.labels])
    names = [label.name for label in labels.labels if not label.background]
    neutral = (
        cosines[:, background] if background.any() else score.cosines(embeddings, labels.neutral)
    )
    own = cosines[:, ~background]
    return names, own, score.multi_label(own, neutral, rule)


def _thresholds(names: Sequence[str], labels: CompiledLabels, decision: Decision) -> Rows:
    if not decision.multi_label:
        return np.full(len(names), decision.min_score or 0.0, dtype=np.float32)
    default = YES if decision.min_score is None else decision.min_score
    own = {label.name: label.threshold for label in labels.labels}
    return np.array(
        [default if own[name] is None else own[name] for name in names], dtype=np.float32
    )
