"""Lessons → a head and what it is worth: which head, by pictures held out; how good, by others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.datasets.folds import stratified_folds
from unseen.encoder import Progress
from unseen.learning.distil import heads
from unseen.learning.distil.heads import Parameters
from unseen.prediction import score

Floats = NDArray[np.floating[Any]]
Places = NDArray[np.int64]
Settings = dict[str, float]

FOLDS = 5  # of the pictures that judge
INNER = 3  # of those that choose
MANY = 2000  # pictures from which one fold of each is enough
DEEP_FROM = 300  # pictures from which a hidden layer is tried
HIDDEN = 128
PENALTIES = (1e-1, 1e-2, 1e-3, 1e-4)
DEEP_PENALTIES = (1e-2, 1e-3)
NOISE = 1.645  # a hidden layer must gain so many times the noise of its gain (one-sided, 95 %)

HEADS = ("auto", "linear", "mlp")


@dataclass(frozen=True)
class Teaching:
    """How lessons become targets. `temperature` softens the teacher; a reviewed picture counts as
    `reviewed` others, and its label is aimed at with 1 - `smoothing`."""

    temperature: float = 1.0
    reviewed: float = 4.0
    smoothing: float = 0.0


@dataclass(frozen=True)
class Class:
    """n pictures to learn from. `teacher` (n, k): probabilities, rows of zeros where it was not
    asked. `truth` (n,): what a person said, or -1. `groups` (n,): near-duplicates have one."""

    features: Floats
    teacher: Floats
    truth: Places
    groups: Places
    teaching: Teaching = field(default_factory=Teaching)

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def owners(self) -> Places:
        """The label that each counts for: as reviewed, else as the teacher has it."""
        return np.where(self.truth >= 0, self.truth, self.teacher.argmax(1)).astype(np.int64)

    def of(self, chosen: NDArray[np.bool_]) -> Class:
        """Those pictures."""
        return Class(
            self.features[chosen],
            self.teacher[chosen],
            self.truth[chosen],
            self.groups[chosen],
            self.teaching,
        )

    def lessons(self) -> heads.Lessons:
        """As a head takes them."""
        told, k, how = self.truth >= 0, self.teacher.shape[1], self.teaching
        soft = np.maximum(self.teacher, 1e-12) ** (1 / how.temperature) * (self.teacher > 0)
        targets = soft / np.maximum(soft.sum(1, keepdims=True), 1e-12)
        targets[told] = how.smoothing / k
        targets[told, self.truth[told]] += 1 - how.smoothing
        return heads.Lessons(
            self.features,
            targets.astype(self.features.dtype),
            np.where(told, how.reviewed, 1.0).astype(self.features.dtype),
            np.where(told, 1.0, how.temperature).astype(self.features.dtype),
        )


@dataclass(frozen=True)
class Choice:
    """A kind of head, and what was tried: settings, and the mean loss on pictures held out."""

    hidden: int
    penalty: float
    tried: tuple[dict[str, Any], ...]


def choose(
    lessons: Class, head: str = "auto", *, seed: int = 0, progress: Progress | None = None
) -> Choice:
    """The settings with the least loss on pictures held out; a hidden layer only where it gains by
    more than noise."""
    kinds = [*_kinds(head, len(lessons))]
    fold = stratified_folds(lessons.owners, INNER, seed + 1, lessons.groups)
    rounds = [n for n in range(INNER if len(lessons) <= MANY else 1) if (fold == n).any()]
    losses: dict[tuple[int, float], list[Floats]] = {kind: [] for kind in kinds}
    total = len(rounds) * len(kinds)
    for number in rounds:
        rest, out = lessons.of(fold != number), lessons.of(fold == number)
        for hidden, penalty in kinds:
            fitted = heads.fit(rest.lessons(), penalty=penalty, hidden=hidden, seed=seed)
            losses[hidden, penalty].append(_losses(fitted, out))
            if progress is not None:
                progress(sum(map(len, losses.values())), total)
    found = {
        kind: np.concatenate(parts) if parts else np.zeros(1) for kind, parts in losses.items()
    }
    tried = tuple(
        {"hidden": hidden, "penalty": penalty, "loss": round(float(own.mean()), 4)}
        for (hidden, penalty), own in found.items()
    )
    best = min((k for k in kinds if not k[0] or head == "mlp"), key=lambda k: found[k].mean())
    deep = min(kinds, key=lambda kind: found[kind].mean())
    gain = found[best] - found[deep]
    if gain.mean() > NOISE * gain.std() / np.sqrt(len(gain)):
        best = deep
    return Choice(*best, tried)


def _kinds(head: str, count: int) -> Iterator[tuple[int, float]]:
    if head != "mlp":
        yield from ((0, penalty) for penalty in PENALTIES)
    if head == "mlp" or (head == "auto" and count >= DEEP_FROM):
        yield from ((HIDDEN, penalty) for penalty in DEEP_PENALTIES)


def _losses(head: Parameters, lessons: Class) -> Floats:
    """The loss of each, weighted as it is when a head is fitted."""
    rows = lessons.lessons()
    warmth = rows.temperatures[:, None]
    logits, log_sum = score.shifted(heads.logits(head, rows.features) / warmth)
    missed = log_sum[:, 0] - (rows.targets * logits).sum(1)
    weights = rows.weights * rows.temperatures**2
    return np.asarray(weights * missed, dtype=np.float64)


def fit(lessons: Class, choice: Choice, *, seed: int = 0) -> Parameters:
    """The head that was chosen."""
    return heads.fit(lessons.lessons(), penalty=choice.penalty, hidden=choice.hidden, seed=seed)


@dataclass(frozen=True)
class Trial:
    """What heads said of pictures that they, and their settings, were not made with: `places` (m,)
    of these pictures, `logits` (m, k)."""

    places: Places
    logits: Floats


def tried(
    lessons: Class, head: str = "auto", *, seed: int = 0, progress: Progress | None = None
) -> Trial:
    """Hold a fifth out, choose and fit with the rest; up to MANY pictures, each fifth in its turn.

    Near-duplicates stay on one side, and of each label one group stays in.
    """
    fold = stratified_folds(lessons.owners, FOLDS, seed, lessons.groups)
    rounds = [n for n in range(FOLDS if len(lessons) <= MANY else 1) if (fold == n).any()]
    places, said = [], []
    for done, number in enumerate(rounds):
        rest = lessons.of(fold != number)
        fitted = fit(rest, choose(rest, head, seed=seed), seed=seed)
        own = np.flatnonzero(fold == number)
        places.append(own)
        said.append(heads.logits(fitted, lessons.features[own]))
        if progress is not None:
            progress(done + 1, len(rounds))
    if not rounds:
        return Trial(np.zeros(0, np.int64), np.zeros((0, lessons.teacher.shape[1])))
    return Trial(np.concatenate(places), np.concatenate(said))
