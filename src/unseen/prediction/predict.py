"""Cosines → predictions: which labels a picture gets, and which are left out."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np

from unseen.encoder import Encoded, Tiles
from unseen.errors import LabelError, LabelWarning
from unseen.labels.compiled import CompiledLabels
from unseen.prediction import score
from unseen.prediction.conformal import NO_PROMISES, Promises, uncalibrated_probabilities
from unseen.prediction.decision import Decision
from unseen.prediction.facets import Facet, FacetPrediction, joined
from unseen.prediction.open_set import evidence, name_no_thing
from unseen.prediction.prediction import Prediction, Scored
from unseen.prediction.views import Views

if TYPE_CHECKING:
    from unseen.images.tiling import PixelBox
    from unseen.prediction.calibration import Calibration
    from unseen.types import Floats, Indices, Metadata

DEFAULT_THRESHOLD = 0.5  # of a label without a threshold, in multi-label mode
# What is taken off the evidence of a tile, as the best of many tiles has more of it by chance: so
# much that few more pictures without any of the labels are taken for one of them than without
# tiles. Chosen on some pictures, checked on others (benchmarks/tiles.py).
TILE_EVIDENCE = 2.5


def predict(
    sources: Sequence[str],
    embeddings: Floats,
    labels: CompiledLabels,
    decision: Decision,
    probabilities: Floats | None = None,
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
    names, answer_cosines, scores = _answers(embeddings, cosines, labels, decision, probabilities)
    promised = _promises(cosines, labels, decision.calibration)
    ood_scores = _evidence(embeddings, labels, decision)
    answers = _Answers(names, answer_cosines, scores, promised, ood_scores)
    return _predictions(sources, answers, labels, decision)


def predict_tiled(
    sources: Sequence[str],
    embeddings: Floats,
    tiles: Sequence[Tiles | None],
    labels: CompiledLabels,
    decision: Decision,
) -> list[Prediction]:
    """As `predict`, of pictures and their tiles, by `Views.pooled`.

    A background label is set against the others in the view that speaks most for one of them: sky
    in one tile does not make a dog in another one unknown. Evidence is that of the whole, or that
    of the same view less `TILE_EVIDENCE`, where that is more.

    Parameters
    ----------
    sources : sequence of str
        The names of n pictures.
    embeddings : float32 array (n, d)
        Of the whole pictures, rows of length 1.
    tiles : sequence of Tiles or None
        The tiles of each picture.
    labels : CompiledLabels
        Labels, compiled for the model that made the embeddings.
    decision : Decision
        How scores become an answer.

    Returns
    -------
    list of Prediction
        One for each picture, in order; `Scored.tile` says which view has the score.

    Raises
    ------
    LabelError
        As `predict`, and for a calibration, which was learnt of whole pictures.
    """
    if decision.calibration is not None:
        raise LabelError(
            "a calibration cannot be combined with tiles: it was learnt of whole pictures."
        )
    views = Views.of(embeddings, tiles)
    cosines = labels.similarities(views.embeddings)
    background = labels.background_mask
    if decision.multi_label:
        names = [label.name for label in labels.labels if not label.background]
        logits = score.yes_no_logits(
            foreground_logits(views.embeddings, cosines, labels), labels.score, labels.competitors
        )
        rows, winners = _best_rows(views, logits)
        scores = score.sigmoid(views.pooled(logits))
        answer_cosines = np.take_along_axis(cosines[:, ~background], rows, axis=0)
    else:
        names = [*labels.answers]
        logits = score.logits(cosines, labels.score)
        rows, winners = _best_rows(views, logits[:, ~background])
        pooled = logits[winners]
        pooled[:, ~background] = views.pooled(logits[:, ~background])
        scores = labels.of_answers(score.RULES[labels.score.rule](pooled))
        best = cosines[winners]
        best[:, ~background] = np.take_along_axis(cosines[:, ~background], rows, axis=0)
        answer_cosines = labels.cosines_of_answers(best)
        if background.any():
            rows = np.column_stack([rows, winners])
    ood_scores = [
        whole if whole is None or tile is None else max(whole, tile - TILE_EVIDENCE)
        for whole, tile in zip(
            _evidence(embeddings, labels, decision),
            _evidence(views.embeddings[winners], labels, decision),
            strict=True,
        )
    ]
    answers = _Answers(names, answer_cosines, scores, NO_PROMISES, ood_scores, rows, views.boxes)
    return _predictions(sources, answers, labels, decision)


def _best_rows(views: Views, logits: Floats) -> tuple[Indices, Indices]:
    """The view of each label (n, k), and of the label of which a view says most (n,)."""
    rows = views.best(logits)
    places = np.take_along_axis(logits, rows, axis=0).argmax(1)
    return rows, np.take_along_axis(rows, places[:, None], axis=1)[:, 0]


@dataclass(frozen=True, eq=False)
class _Answers:
    """What is known of n pictures and a answers; `rows`, `boxes`: the view of each, if several."""

    names: Sequence[str]
    cosines: Floats
    scores: Floats
    promised: Promises
    evidence: Sequence[float | None]
    rows: Indices | None = None
    boxes: Sequence[PixelBox | None] = ()

    def tiles(self, i: int, places: Indices) -> Iterator[PixelBox | None]:
        """The tile of each of some answers of a picture."""
        if self.rows is None:
            return repeat(None, len(places))
        return (self.boxes[row] for row in self.rows[i, places].tolist())


def _predictions(
    sources: Sequence[str], answers: _Answers, labels: CompiledLabels, decision: Decision
) -> list[Prediction]:
    scores, names, promised = answers.scores, answers.names, answers.promised
    passes = scores >= _thresholds(names, labels, decision)
    count = len(names) if decision.top_k is None else min(decision.top_k, len(names))
    places = score.best(scores, passes, count)
    columns = (
        places.tolist(),
        np.take_along_axis(scores, places, axis=1).tolist(),
        np.take_along_axis(answers.cosines, places, axis=1).tolist(),
        np.minimum(passes.sum(1), count).tolist(),
    )
    order = np.argsort(-scores, axis=1, kind="stable") if promised is not NO_PROMISES else places
    predictions = []
    for i, (source, best, own, cosines, shown) in enumerate(zip(sources, *columns, strict=True)):
        labelled = (names[j] for j in best[:shown])
        tiles = answers.tiles(i, places[i, :shown])
        ranking = tuple(map(Scored, labelled, own[:shown], cosines[:shown], tiles))
        likely, no_answer = promised.of_picture(i, order[i], names)
        left_out = len(names) - len(ranking)
        predictions.append(
            Prediction(
                source, ranking, left_out, None, likely, answers.evidence[i], abstained=no_answer
            )
        )
    return predictions


def predict_encoded(
    batch: Sequence[Encoded],
    labels: CompiledLabels,
    decision: Decision,
    probabilities: Floats | None = None,
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
        tiles = [e.tiles for e in readable]
        if any(own is not None for own in tiles):
            predictions = iter(predict_tiled(names, rows, tiles, labels, decision))
        else:
            predictions = iter(predict(names, rows, labels, decision, probabilities))
    return [
        Prediction(e.name, error=str(e.error), meta=e.meta)
        if e.error is not None
        else _with_meta(next(predictions), e.meta)
        for e in batch
    ]


def predict_facets(batch: Sequence[Encoded], facets: Mapping[str, Facet]) -> list[FacetPrediction]:
    """As `predict_encoded`, of several label sets.

    Parameters
    ----------
    batch : sequence of Encoded
        Embeddings, or errors in their place.
    facets : mapping of str to Facet
        The label sets, compiled for the model that made the embeddings.

    Returns
    -------
    list of FacetPrediction
        One for each of the batch, in order.

    Raises
    ------
    LabelError
        As `predict_encoded`.
    """
    answers = {
        name: predict_encoded(batch, facet.labels, facet.decision) for name, facet in facets.items()
    }
    return list(joined(answers))


def _with_meta(prediction: Prediction, meta: Metadata) -> Prediction:
    return replace(prediction, meta=meta) if meta else prediction


def label_probabilities(
    embeddings: Floats, labels: CompiledLabels, decision: Decision
) -> tuple[list[str], Floats, Floats]:
    """The probabilities of all answers.

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


def promises(embeddings: Floats, labels: CompiledLabels, decision: Decision) -> Promises:
    """The sets of likely labels of pictures, and which of them get an answer.

    Parameters
    ----------
    embeddings : float32 array (n, d)
        Pictures, rows of length 1.
    labels : CompiledLabels
        Labels, compiled for the model that made the embeddings.
    decision : Decision
        Its calibration counts.

    Returns
    -------
    Promises
        Of the answers that `label_probabilities` names.
    """
    return _promises(labels.similarities(embeddings), labels, decision.calibration)


def _promises(cosines: Floats, labels: CompiledLabels, calibration: Calibration | None) -> Promises:
    if calibration is None or (calibration.likely is None and calibration.selective is None):
        return NO_PROMISES
    p = uncalibrated_probabilities(score.logits(cosines, labels.score), labels)
    names, likely, selective = labels.answers, calibration.likely, calibration.selective
    return Promises(
        None if likely is None else likely.in_sets(p, names),
        None if selective is None else selective.answers(p, names),
    )


def _answers(
    embeddings: Floats,
    cosines: Floats,
    labels: CompiledLabels,
    decision: Decision,
    probabilities: Floats | None,
) -> tuple[list[str], Floats, Floats]:
    """The names of the answers, their cosines and their probabilities."""
    calibration = decision.calibration
    if calibration is not None:
        calibration.check(labels, multi_label=decision.multi_label)
        if probabilities is not None:
            raise LabelError(
                "a calibration cannot be combined with probabilities; leave one of them out."
            )
    if decision.multi_label:
        return _multi_label_answers(embeddings, cosines, labels, calibration)
    if probabilities is None:
        probabilities = _single_label_probabilities(cosines, labels, calibration)
    names = [*labels.answers]
    return names, labels.cosines_of_answers(cosines), labels.of_answers(probabilities)


def _single_label_probabilities(
    cosines: Floats, labels: CompiledLabels, calibration: Calibration | None
) -> Floats:
    """Probabilities of every label, background too, when the labels compete."""
    if calibration is None:
        return score.single_label(cosines, labels.score)
    return calibration.single_label(score.logits(cosines, labels.score))


def _multi_label_answers(
    embeddings: Floats,
    cosines: Floats,
    labels: CompiledLabels,
    calibration: Calibration | None,
) -> tuple[list[str], Floats, Floats]:
    """Names, cosines and probabilities when each label is a yes or no of its own."""
    names = [label.name for label in labels.labels if not label.background]
    logits = foreground_logits(embeddings, cosines, labels)
    if calibration is None:
        probabilities = score.sigmoid(score.yes_no_logits(logits, labels.score, labels.competitors))
    else:
        probabilities = calibration.multiple_labels(logits)
    return names, cosines[:, ~labels.background_mask], probabilities


def foreground_logits(embeddings: Floats, cosines: Floats, labels: CompiledLabels) -> Floats:
    """(n, labels that are not background) logits in multi-label mode.

    Each label is set against the background labels, or against neutral prompts without any.
    """
    background = labels.background_mask
    if not labels.competitors and labels.score.rule != "sigmoid":
        raise LabelError(
            f"{labels.model} was trained with one label a picture: leave multi-label out, or make "
            "one of its labels a background label, which the others are compared with."
        )
    neutral = (
        cosines[:, background] if background.any() else score.cosines(embeddings, labels.neutral)
    )
    return score.multi_label_logits(cosines[:, ~background], neutral, labels.score)


def undecided(labels: CompiledLabels, decision: Decision) -> str | None:
    """Why the evidence of these labels is not measured, where it was asked for: for a warning.

    Parameters
    ----------
    labels : CompiledLabels
        Compiled labels.
    decision : Decision
        How scores become an answer.

    Returns
    -------
    str or None
        None where it is measured, or was not asked for.
    """
    if decision.reference_set is None or labels.adapted is not None:
        return None
    if not name_no_thing(labels.matrix[~labels.background_mask], decision.reference_set):
        return None
    names = [label.name for label in labels.labels if not label.background]
    some = ", ".join(map(repr, names[:3])) + (", …" if len(names) > 3 else "")
    return (
        f"unknown auto decides nothing here: {labels.model} takes {some} for words that any "
        "picture may be called, so no picture is unknown; give background labels instead."
    )


def warn_undecided(labels: CompiledLabels, decision: Decision) -> None:
    """A warning with what `undecided` says: once for many pictures."""
    message = undecided(labels, decision)
    if message is not None:
        warnings.warn(message, LabelWarning, stacklevel=3)


def _evidence(
    embeddings: Floats, labels: CompiledLabels, decision: Decision
) -> Sequence[float | None]:
    """None where it was not asked for, or says nothing of these labels: see `undecided`."""
    reference_set = decision.reference_set
    if reference_set is None:
        return [None] * len(embeddings)
    refuse_adapted(labels)
    texts = labels.matrix[~labels.background_mask]
    if name_no_thing(texts, reference_set):
        return [None] * len(embeddings)
    return [float(e) for e in evidence(embeddings, texts, reference_set)]


def refuse_adapted(labels: CompiledLabels) -> None:
    """Raise where the evidence of labels cannot be measured.

    Parameters
    ----------
    labels : CompiledLabels
        Compiled labels.

    Raises
    ------
    LabelError
        If an adapter was applied to them, or they have example pictures.
    """
    if labels.adapted is not None:
        raise LabelError(
            "unknown auto cannot be combined with an adapter, or with examples of labels: evidence "
            "is measured with the vectors of words, which these replace. Leave one of them out, or "
            "give background labels."
        )


def _thresholds(names: Sequence[str], labels: CompiledLabels, decision: Decision) -> Floats:
    if not decision.multi_label:
        return np.full(len(names), decision.min_score or 0.0, dtype=np.float32)
    default = DEFAULT_THRESHOLD if decision.min_score is None else decision.min_score
    by_label: dict[str, float | None] = {label.name: label.threshold for label in labels.labels}
    if decision.calibration is not None:  # the label file's are for uncalibrated scores
        by_label = dict.fromkeys(by_label) | (decision.calibration.thresholds or {})
    return np.array(
        [default if by_label[name] is None else by_label[name] for name in names], dtype=np.float32
    )
