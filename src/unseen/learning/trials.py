"""The candidates of an adapter, each asked about pictures that it was made without."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.datasets.folds import stratified_folds
from unseen.index.encoding import StageProgress
from unseen.learning.few_shot import PRIOR, Examples, LabelIds, Settings, candidates
from unseen.learning.temperature import best_factor
from unseen.types import Doubles, Floats

FOLDS = 5
# The folds are drawn anew until so many answers were given, so that a few pictures decide nothing
# by how they were divided.
ANSWERS = 240
REPEATS = 6  # at most


@dataclass(frozen=True, eq=False)
class Trial:
    """A method with its settings, and its logits (n, k) of n pictures held out."""

    method: str
    settings: Settings
    logits: Floats
    label_ids: LabelIds

    @cached_property
    def losses(self) -> Doubles:
        """(n,): -log of each right label's probability, at the temperature that fits best."""
        factor, _ = best_factor(self.logits, self.label_ids)
        logits = factor * self.logits.astype(np.float64)
        logits -= logits.max(1, keepdims=True)
        right = logits[np.arange(len(logits)), self.label_ids]
        return np.asarray(np.log(np.exp(logits).sum(1)) - right, dtype=np.float64)

    @cached_property
    def loss(self) -> float:
        """Their mean."""
        return float(self.losses.mean())

    @cached_property
    def right(self) -> int:
        """How many pictures it is right about."""
        return int((self.logits.argmax(1) == self.label_ids).sum())

    def facts(self) -> dict[str, Any]:
        """For the facts of an adapter."""
        return {
            "method": self.method,
            "settings": self.settings,
            "right": self.right,
            "loss": round(self.loss, 4),
        }


def cross_validated(
    examples: Examples,
    held_out: NDArray[np.bool_],
    methods: Sequence[str],
    seed: int,
    progress: StageProgress | None = None,
) -> list[Trial]:
    """Every candidate of these methods, fitted without each of the pictures held out.

    Where there are few pictures the folds are drawn several times, and the logits are means.
    """
    small = examples.in_their_span()
    repeats = min(REPEATS, max(1, math.ceil(ANSWERS / len(examples.images))))
    folds = [stratified_folds(examples.label_ids, FOLDS, seed + 1000 * i) for i in range(repeats)]
    parts = [(fold, number) for fold in folds for number in range(FOLDS) if (fold == number).any()]
    logits: dict[int, Floats] = {}
    kinds: list[tuple[str, Settings]] = []
    for done, (fold, number) in enumerate(parts):
        left_out = fold == number
        kinds = []
        for i, (method, settings, fitted) in enumerate(candidates(small.of(~left_out), methods)):
            kinds.append((method, settings))
            mean = logits.setdefault(i, np.zeros((len(fold), len(small.texts)), np.float32))
            similar = fitted.similarities(small.images[left_out])
            mean[left_out] += np.float32(small.scale / repeats) * similar
        if progress is not None:
            progress("folds", done + 1, len(parts))
    label_ids = examples.label_ids[held_out]
    return [Trial(*kind, logits[i][held_out], label_ids) for i, kind in enumerate(kinds)]


def best_of(trials: Sequence[Trial]) -> Trial:
    """The one with the least loss, if it lies more than one standard error below the prior's."""
    prior = prior_of(trials)
    best = min(trials, key=lambda trial: trial.loss)
    saved = prior.losses - best.losses
    error = saved.std() / np.sqrt(len(saved))
    return best if saved.mean() > error else prior


def prior_of(trials: Sequence[Trial]) -> Trial:
    """What is taken where little speaks for anything else."""
    first = (trial for trial in trials if (trial.method, trial.settings) == PRIOR)
    return next(first, trials[0])
