"""A training set as arrays → a head: which one, by pictures held out; how good, by others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.datasets.folds import stratified_folds
from unseen.learning.distil import heads
from unseen.learning.distil.heads import Parameters
from unseen.types import Progress, Reals

LabelIds = NDArray[np.int64]
Indices = NDArray[np.int64]
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
    """How pictures become targets.

    Parameters
    ----------
    temperature : float
        Softens the probabilities of the teacher (Hinton, Vinyals & Dean 2015, arXiv:1503.02531).
    reviewed : float
        A reviewed picture counts as so many others.
    smoothing : float
        The label of a reviewed picture is aimed at with 1 less this.
    """

    temperature: float = 1.0
    reviewed: float = 4.0
    smoothing: float = 0.0


@dataclass(frozen=True)
class TrainingData:
    """n pictures to learn from, with k labels.

    Parameters
    ----------
    features : float array (n, d)
        What the image net sees.
    teacher : float array (n, k)
        The teacher's probabilities; rows of zeros where it gave none.
    label_ids : int64 array (n,)
        The index of the label that a person gave; -1 where nobody did.
    groups : int64 array (n,)
        Near-duplicates have the same.
    teaching : Teaching
        How these become targets.
    positive : bool array (n, k), optional
        Where a picture may have several labels, which a person gave it; `label_ids` has the first.
    """

    features: Reals
    teacher: Reals
    label_ids: LabelIds
    groups: Indices
    teaching: Teaching = field(default_factory=Teaching)
    positive: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.label_ids)

    @property
    def rule(self) -> str:
        """How logits become probabilities: "sigmoid" where a picture may have several labels."""
        return "softmax" if self.positive is None else "sigmoid"

    @property
    def reviewed(self) -> NDArray[np.bool_]:
        """Which have the label of a person (n,)."""
        return self.label_ids >= 0

    @property
    def best_label_ids(self) -> LabelIds:
        """The label that each counts for: as reviewed, else as the teacher has it."""
        best = np.where(self.reviewed, self.label_ids, self.teacher.argmax(1))
        return best.astype(np.int64)

    def of(self, chosen: NDArray[np.bool_]) -> TrainingData:
        """Those pictures."""
        return TrainingData(
            self.features[chosen],
            self.teacher[chosen],
            self.label_ids[chosen],
            self.groups[chosen],
            self.teaching,
            None if self.positive is None else self.positive[chosen],
        )

    def examples(self) -> heads.Examples:
        """As a head takes them."""
        reviewed, k, how = self.reviewed, self.teacher.shape[1], self.teaching
        if self.positive is not None:
            return self._examples_of_several(self.positive)
        soft = np.maximum(self.teacher, 1e-12) ** (1 / how.temperature) * (self.teacher > 0)
        targets = soft / np.maximum(soft.sum(1, keepdims=True), 1e-12)
        targets[reviewed] = how.smoothing / k
        targets[reviewed, self.label_ids[reviewed]] += 1 - how.smoothing
        return heads.Examples(
            self.features,
            targets.astype(self.features.dtype),
            np.where(reviewed, how.reviewed, 1.0).astype(self.features.dtype),
            np.where(reviewed, 1.0, how.temperature).astype(self.features.dtype),
        )

    def _examples_of_several(self, positive: NDArray[np.bool_]) -> heads.Examples:
        """A yes or no of each label; what a person said, or the teacher's probabilities."""
        reviewed, how = self.reviewed, self.teaching
        by_person = positive * (1 - 2 * how.smoothing) + how.smoothing
        kind = self.features.dtype
        return heads.Examples(
            self.features,
            np.where(reviewed[:, None], by_person, self.teacher).astype(kind),
            np.where(reviewed, how.reviewed, 1.0).astype(kind),
            np.ones(len(self), dtype=kind),
            "sigmoid",
        )


@dataclass(frozen=True)
class Choice:
    """A kind of head, and what was tried: settings, and the mean loss on pictures held out."""

    hidden: int
    penalty: float
    tried: tuple[dict[str, Any], ...]


def choose(
    data: TrainingData, head: str = "auto", *, seed: int = 0, progress: Progress | None = None
) -> Choice:
    """The settings with the least loss on pictures held out; a hidden layer only where it gains by
    more than noise."""
    kinds = [*_kinds(head, len(data))]
    fold = stratified_folds(data.best_label_ids, INNER, seed + 1, data.groups)
    rounds = [n for n in range(INNER if len(data) <= MANY else 1) if (fold == n).any()]
    losses: dict[tuple[int, float], list[Reals]] = {kind: [] for kind in kinds}
    total = len(rounds) * len(kinds)
    for number in rounds:
        rest, out = data.of(fold != number), data.of(fold == number)
        for hidden, penalty in kinds:
            fitted = heads.fit(rest.examples(), penalty=penalty, hidden=hidden, seed=seed)
            losses[hidden, penalty].append(_losses(fitted, out))
            if progress is not None:
                progress(sum(map(len, losses.values())), total)
    held_out_losses = {
        kind: np.concatenate(parts) if parts else np.zeros(1) for kind, parts in losses.items()
    }
    tried = tuple(
        {"hidden": hidden, "penalty": penalty, "loss": round(float(loss.mean()), 4)}
        for (hidden, penalty), loss in held_out_losses.items()
    )
    best = min(
        (k for k in kinds if not k[0] or head == "mlp"), key=lambda k: held_out_losses[k].mean()
    )
    deep = min(kinds, key=lambda kind: held_out_losses[kind].mean())
    gain = held_out_losses[best] - held_out_losses[deep]
    if gain.mean() > NOISE * gain.std() / np.sqrt(len(gain)):
        best = deep
    return Choice(*best, tried)


def _kinds(head: str, count: int) -> Iterator[tuple[int, float]]:
    if head != "mlp":
        yield from ((0, penalty) for penalty in PENALTIES)
    if head == "mlp" or (head == "auto" and count >= DEEP_FROM):
        yield from ((HIDDEN, penalty) for penalty in DEEP_PENALTIES)


def _losses(head: Parameters, data: TrainingData) -> Reals:
    """The loss of each, weighted as it is when a head is fitted."""
    rows = data.examples()
    warmth = rows.temperatures[:, None]
    missed, _ = heads.LOSSES[rows.rule](heads.logits(head, rows.features) / warmth, rows.targets)
    weights = rows.weights * rows.temperatures**2
    return np.asarray(weights * missed[:, 0], dtype=np.float64)


def fit(data: TrainingData, choice: Choice, *, seed: int = 0) -> Parameters:
    """The head that was chosen."""
    return heads.fit(data.examples(), penalty=choice.penalty, hidden=choice.hidden, seed=seed)


@dataclass(frozen=True)
class Trial:
    """The answers of heads about pictures that they, and their settings, were not made with.

    Parameters
    ----------
    rows : int64 array (m,)
        Of these pictures in the training data.
    logits : float array (m, k)
        Of the labels.
    """

    rows: Indices
    logits: Reals


def tried(
    data: TrainingData, head: str = "auto", *, seed: int = 0, progress: Progress | None = None
) -> Trial:
    """Hold a fifth out, choose and fit with the rest; up to MANY pictures, each fifth in its turn.

    Near-duplicates stay on one side, and of each label one group stays in.
    """
    fold = stratified_folds(data.best_label_ids, FOLDS, seed, data.groups)
    rounds = [n for n in range(FOLDS if len(data) <= MANY else 1) if (fold == n).any()]
    rows, logits = [], []
    for done, number in enumerate(rounds):
        rest = data.of(fold != number)
        fitted = fit(rest, choose(rest, head, seed=seed), seed=seed)
        held_out = np.flatnonzero(fold == number)
        rows.append(held_out)
        logits.append(heads.logits(fitted, data.features[held_out]))
        if progress is not None:
            progress(done + 1, len(rounds))
    if not rounds:
        return Trial(np.zeros(0, np.int64), np.zeros((0, data.teacher.shape[1])))
    return Trial(np.concatenate(rows), np.concatenate(logits))
