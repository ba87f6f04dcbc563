"""What a person decided → proposals made anew, without looking at a picture again.

An adapter is fitted to the decided pictures, and proposes for the others. No picture is judged by
an answer that was given for it: the decided ones are parted into folds, near-duplicates together,
and each fold gets its proposals from an adapter that was fitted without it. Where these are not
better than the model's own, the model's own stand.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.annotation.labelling import Labelling
from unseen.annotation.pictures import ERROR, NONE, NOTHING, NOTHING_FROM, SURE, Picture, pile_of
from unseen.datasets.folds import stratified_folds
from unseen.datasets.splits import near_duplicates
from unseen.errors import UnseenError
from unseen.labels.compiled import CompiledLabels
from unseen.labels.label_set import UNKNOWN, Label
from unseen.learning.adapt import fit_adapter
from unseen.prediction.adapter import ZERO_SHOT
from unseen.prediction.decision import Decision
from unseen.prediction.predict import label_probabilities
from unseen.results.manifest import now
from unseen.types import Floats

EVERY = 20  # answers after which proposals are made anew, and then each time there are so much more
GROWTH = 1.5
FOLDS = 5
SAME = 0.97  # the cosine from which two pictures show the same; less would join whole labels
SHOTS = 64  # at most so many pictures of a label are learnt from, as `unseen adapt` does

WRITTEN_AT_ONCE = 100  # proposals of a transaction
PAUSE = 0.002  # seconds between two, in which a decision gets its turn

LabelIds = NDArray[np.int64]
_Row = tuple[str, Floats, str]  # the id of a picture, the scores of its labels, and its pile


class CancelledError(UnseenError):
    """Whoever had asked for it no longer waits."""


@dataclass(frozen=True)
class Retraining:
    """What was learnt from the answers.

    Parameters
    ----------
    answers : int
        The pictures that were learnt from.
    decided : int
        Those that had a label or none, some of which nothing can be learnt from.
    method : str
        Of the adapter; ``zero-shot`` where the model's own proposals stand.
    right, model_right : int
        How many of these answers the proposals had right, each by an adapter that had not seen it,
        and how many the model by itself.
    sure, model_sure : int
        The pictures of the sure pile, now and as the model proposed.
    at : str
        When, UTC.
    """

    answers: int
    decided: int
    method: str
    right: int
    model_right: int
    sure: int
    model_sure: int
    at: str

    @property
    def helps(self) -> bool:
        """Whether the proposals are others than the model's own."""
        return self.method != ZERO_SHOT

    def __str__(self) -> str:
        if not self.helps:
            return (
                f"{self.answers} answers do not show that learning from them helps: "
                "the proposals are the model's own"
            )
        return (
            f"proposals made anew with {self.answers} answers: {self.model_sure} → {self.sure} sure"
        )


def is_due(decided: int, learnt: int) -> bool:
    """Whether so many answers are reason to learn anew, where there were `learnt` the last time."""
    return decided >= max(learnt + EVERY, GROWTH * learnt)


def reason_not_to(labelling: Labelling) -> str | None:
    """Why nothing can be learnt from the answers of a labelling; None where it can."""
    labels = labelling.label_set
    if labels is None:
        return "they were made by an earlier version: run `unseen label` again"
    if labels.adapted is not None:
        return "an adapter made them: run `unseen label` without it"
    return None


def retrain(
    labelling: Labelling,
    *,
    seed: int = 0,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Retraining | None:
    """Make the proposals of a labelling anew, with what its answers teach.

    It may run in a thread of its own while pictures are decided: what is written is written in
    small parts.

    Parameters
    ----------
    labelling : Labelling
        With decisions.
    seed : int
        Of the folds.
    is_cancelled : callable
        Asked now and then; where it says yes, it ends with what is done.

    Returns
    -------
    Retraining or None
        None where nothing can be learnt (`reason_not_to`), fewer than two labels have answers, or
        it was cancelled.
    """
    labels = labelling.label_set
    if labels is None or reason_not_to(labelling) is not None:
        return None
    lessons = _Lessons.of(labelling, labels)
    if len(np.unique(lessons.label_ids)) < 2:
        return None
    try:
        return _Job(labelling, lessons, seed, is_cancelled).run()
    except CancelledError:
        return None


@dataclass(frozen=True)
class _Lessons:
    """The decided pictures, and the label set with what a person added to it."""

    labels: CompiledLabels
    by_pictures: frozenset[str]  # labels whose names the model was not given
    ids: list[str]
    label_ids: LabelIds
    vectors: Floats
    decided: int

    @classmethod
    def of(cls, labelling: Labelling, labels: CompiledLabels) -> _Lessons:
        pictures = [
            picture
            for picture in labelling.pictures()
            if picture.verdict in ("label", "none") and picture.pile != ERROR
        ]
        labels, by_pictures, nothing = _extended(labels, pictures)
        index_of = {label.name: i for i, label in enumerate(labels.labels)}
        answers = [nothing if p.verdict == "none" else p.chosen for p in pictures]
        used = [i for i, name in enumerate(answers) if name in index_of]
        ids = [pictures[i].id for i in used]
        label_ids = np.array([index_of[answers[i] or ""] for i in used], dtype=np.int64)
        return cls(labels, by_pictures, ids, label_ids, labelling.vectors(ids), len(pictures))

    @property
    def thresholds(self) -> dict[str, float | None]:
        """Of the labels, by name."""
        return {label.name: label.threshold for label in self.labels.labels}

    def folds(self, seed: int) -> tuple[LabelIds, NDArray[np.bool_]]:
        """The fold of each, near-duplicates in one, and which are the only one of their label:
        they are held out as well, and say nothing of what examples are worth."""
        folds = stratified_folds(self.label_ids, FOLDS, seed, near_duplicates(self.vectors, SAME))
        alone = folds < 0
        folds[alone] = np.random.default_rng(seed).integers(FOLDS, size=int(alone.sum()))
        return folds, alone


def _extended(
    labels: CompiledLabels, pictures: Iterable[Picture]
) -> tuple[CompiledLabels, frozenset[str], str | None]:
    """The label set, with labels that are known by pictures alone: those that a person added, and
    none of these; the names of such, and that of none of these."""
    pictures = list(pictures)
    known = {label.name for label in labels.labels}
    nothing = next((label.name for label in labels.labels if label.background), None)
    added = [
        Label(name) for name in sorted({p.chosen for p in pictures if p.chosen is not None} - known)
    ]
    many = sum(p.verdict == "none" for p in pictures) >= NOTHING_FROM
    if nothing is None and many and NOTHING not in known and UNKNOWN not in known:
        nothing = NOTHING
        added.append(Label(NOTHING, background=True))
    if not added or not len(labels.neutral):  # a model that was taught its labels by pictures
        return labels, frozenset(), nothing if nothing in known else None
    row = labels.neutral.mean(0, keepdims=True)
    extended = replace(
        labels,
        labels=(*labels.labels, *added),
        prompts=(*labels.prompts, *((label.name,) for label in added)),
        matrix=np.vstack([labels.matrix, np.repeat(row, len(added), 0)]).astype(np.float32),
    )
    return extended, frozenset(label.name for label in added), nothing


@dataclass(frozen=True)
class _Adapted:
    """What was learnt: a label set with an adapter's rows; None: that the model needs none."""

    labels: CompiledLabels | None
    method: str

    def scores(self, vectors: Floats, answers: Sequence[str]) -> Floats:
        """(n, d) → (n, len(answers)): the probabilities."""
        assert self.labels is not None
        names, probabilities, _ = label_probabilities(vectors, self.labels, Decision())
        scores = np.zeros((len(vectors), len(answers)), dtype=np.float32)
        scores[:, [answers.index(name) for name in names]] = probabilities
        return scores


def _adapted(
    lessons: _Lessons, chosen: NDArray[np.bool_], seed: int, check: Callable[..., None]
) -> _Adapted:
    """What the chosen answers teach."""
    rng = np.random.default_rng(seed)
    rows = np.concatenate(
        [
            np.sort(rng.permutation(np.flatnonzero(chosen & (lessons.label_ids == label)))[:SHOTS])
            for label in np.unique(lessons.label_ids[chosen])
        ]
    )
    label_ids = lessons.label_ids[rows]
    # A label that is known by its pictures alone is none where they are all held out.
    has = np.isin(np.arange(len(lessons.labels.labels)), label_ids)
    names = [label.name for label in lessons.labels.labels]
    in_part = np.array([has[i] or name not in lessons.by_pictures for i, name in enumerate(names)])
    members = np.flatnonzero(in_part)
    if has.sum() < 2:
        return _Adapted(None, ZERO_SHOT)
    labels = lessons.labels
    part = replace(
        labels,
        labels=tuple(labels.labels[i] for i in members),
        prompts=tuple(labels.prompts[i] for i in members),
        matrix=labels.matrix[members],
    )
    adapter = fit_adapter(
        lessons.vectors[rows],
        (np.cumsum(in_part) - 1)[label_ids],
        part,
        by_pictures=sorted({name for i, name in enumerate(names) if has[i]} & lessons.by_pictures),
        seed=seed,
        progress=check,
    )
    if adapter.method == ZERO_SHOT:
        return _Adapted(None, ZERO_SHOT)
    return _Adapted(adapter.apply(part), adapter.method)


def _helps(gains: NDArray[np.int64], was_sure: NDArray[np.bool_]) -> frozenset[bool]:
    """Whether what was learnt takes the place of what the model was sure of (True), and not sure of
    (False). `gains` (n,): 1 of a picture that it has right and the model wrong, -1 the other way.

    It must be right more often in all, and must not harm either part by more than noise.
    """
    if gains.sum() <= 0:
        return frozenset()
    parts = {sure: gains[was_sure == sure] for sure in (False, True)}
    return frozenset(
        sure for sure, part in parts.items() if part.sum() >= -np.sqrt((part**2).sum())
    )


@dataclass(frozen=True)
class _Job:
    labelling: Labelling
    lessons: _Lessons
    seed: int
    is_cancelled: Callable[[], bool]

    def check(self, *progress: object) -> None:
        """Raises CancelledError. Takes what a progress callback is given."""
        if self.is_cancelled():
            raise CancelledError("cancelled")

    def run(self) -> Retraining:
        """Fits, proposes and writes. Raises CancelledError."""
        labelling, lessons = self.labelling, self.lessons
        manifest, before = labelling.manifest, labelling.retrained
        model_sure = before["model_sure"] if before else labelling.status().piles[SURE]
        every = np.ones(len(lessons.ids), dtype=bool)
        adapted = _adapted(lessons, every, self.seed, self.check)
        by_model = self._by_model(lessons.ids)
        proposals, helps = by_model, frozenset[bool]()
        if adapted.labels is not None:
            proposals, helps = self._cross_fitted(by_model)
        if helps or (before and before["method"] != ZERO_SHOT):
            labelling.extend_answers(self.answers)
            self._write(manifest, proposals)
            self._write_others(manifest, adapted, helps)
        retraining = Retraining(
            len(lessons.ids),
            lessons.decided,
            adapted.method if helps else ZERO_SHOT,
            int(self._right(proposals).sum()),
            int(self._right(by_model).sum()),
            labelling.status().piles[SURE],
            model_sure,
            now(),
        )
        self._check_manifest(manifest)
        labelling.set_retrained(asdict(retraining))
        return retraining

    @cached_property
    def answers(self) -> list[str]:
        """The names of scores: as they were, and behind them those that a person added."""
        return list(dict.fromkeys([*self.labelling.answers, *self.lessons.labels.answers]))

    def _by_model(self, ids: Sequence[str]) -> list[_Row]:
        rows = self.labelling.model_proposals(ids)
        return [(id, scores, pile) for id, (scores, pile) in zip(ids, rows, strict=True)]

    def _adapted_rows(self, adapted: _Adapted, ids: Sequence[str], vectors: Floats) -> list[_Row]:
        scores = adapted.scores(vectors, self.answers)
        return [(id, row, self._pile(row)) for id, row in zip(ids, scores, strict=True)]

    def _cross_fitted(self, by_model: list[_Row]) -> tuple[list[_Row], frozenset[bool]]:
        """Of the decided pictures, each by what was learnt from the others; and whether that helps
        with those that the model is sure of (True), and those that it is not (False).

        These are judged apart: the review shows the doubtful ones first, and what helps there can
        harm the many that the model is right about. Of a picture itself its answer does not count.
        """
        lessons = self.lessons
        folds, alone = lessons.folds(self.seed)
        others = list(by_model)
        for number in np.unique(folds):
            part = _adapted(lessons, folds != number, self.seed, self.check)
            if part.labels is not None:
                rows = np.flatnonzero(folds == number)
                ids = [lessons.ids[row] for row in rows]
                for row, other in zip(
                    rows, self._adapted_rows(part, ids, lessons.vectors[rows]), strict=True
                ):
                    others[row] = other
        gains = np.where(alone, 0, self._right(others) - self._right(by_model))
        was_sure = np.array([pile == SURE for *_, pile in by_model])
        proposals = [
            other if sure in _helps(gains[folds != fold], was_sure[folds != fold]) else own
            for own, other, sure, fold in zip(by_model, others, was_sure, folds, strict=True)
        ]
        return proposals, _helps(gains, was_sure)

    def _write_others(
        self, manifest: Mapping[str, Any], adapted: _Adapted, helps: frozenset[bool]
    ) -> None:
        """The pictures that were not learnt from."""
        learnt_from = set(self.lessons.ids)
        after = ""
        while ids := self.labelling.readable_ids(after):
            after = ids[-1]
            rows = self._by_model([id for id in ids if id not in learnt_from])
            anew = [id for id, _, pile in rows if (pile == SURE) in helps]
            if anew:
                vectors = self.labelling.vectors(anew)
                others = {row[0]: row for row in self._adapted_rows(adapted, anew, vectors)}
                rows = [others.get(row[0], row) for row in rows]
            self._write(manifest, rows)

    def _write(self, manifest: Mapping[str, Any], proposals: Sequence[_Row]) -> None:
        """In transactions so small that no decision waits."""
        for start in range(0, len(proposals), WRITTEN_AT_ONCE):
            self.check()
            self._check_manifest(manifest)
            self.labelling.update_proposals(proposals[start : start + WRITTEN_AT_ONCE])
            time.sleep(PAUSE)  # a lock that is let go and taken at once is given to nobody else

    def _check_manifest(self, manifest: Mapping[str, Any]) -> None:
        """CancelledError where `unseen label` has proposed anew since."""
        if self.labelling.manifest != manifest:
            raise CancelledError("another process has proposed labels anew")

    def _pile(self, scores: Floats) -> str:
        best = int(scores.argmax())
        name = self.answers[best]
        return pile_of(name, float(scores[best]), self.lessons.thresholds.get(name), self.sure)

    @cached_property
    def sure(self) -> float:
        """The probability from which a proposal is sure."""
        return float(self.labelling.manifest["options"]["sure"])

    def _right(self, proposals: Sequence[_Row]) -> NDArray[np.int64]:
        """Which are as a person decided: 1, else 0."""
        labels = self.lessons.labels.labels
        right = []
        for (_, scores, pile), label_id in zip(proposals, self.lessons.label_ids, strict=True):
            label = labels[label_id]
            best = None if pile == NONE else self.answers[int(scores.argmax())]
            right.append(best == (None if label.background else label.name))
        return np.array(right, dtype=np.int64)
