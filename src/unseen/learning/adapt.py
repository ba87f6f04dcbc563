"""A few labelled pictures → an adapter, chosen by cross-validation, zero-shot among the choices.

Each method adds something to the row t of a label's text, from its examples x:

- prototypes: w · (p - mean of all p), p the mean of the label's examples (Snell et al. 2017,
  arXiv:1703.05175), beside the text.
- cache: Tip-Adapter, training-free (Zhang et al. 2022, arXiv:2207.09519; `Cache` has the formula).
  There the sum is over a label's examples, here the mean, so that a label with more of them does
  not win by that; with as many of each, alpha is so many times the paper's.
- probe: logistic regression that starts from the texts and pays for leaving them,
  mean loss + λ/2 · Σ |row - t|² (the idea of L2-SP, Li, Grandvalet & Davoine 2018,
  arXiv:1802.01483; Huang et al. 2024, arXiv:2404.02285, on how far a probe that blends in the texts
  goes).

What is added sums to zero over the labels, as adding one vector to all rows changes no answer among
them; so they stand level with other labels, of which there are texts alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.datasets.folds import stratified_folds
from unseen.encoder import Progress
from unseen.errors import LabelError
from unseen.labels.compiled import CompiledLabels
from unseen.labels.example_cache import Cache
from unseen.learning.temperature import best_factor, fitted_score
from unseen.models.model import Score
from unseen.prediction.adapter import ZERO_SHOT, Adapter
from unseen.prediction.score import softmax

Rows = NDArray[np.float32]
LabelIds = NDArray[np.int64]
Settings = dict[str, float]

FOLDS = 5
# What is gained must be this many times its own noise (one-sided, 95 %).
NOISE = 1.645
# With one picture a label nothing can be held out. Zero-shot is kept where it is right on so many
# of them, and otherwise the pictures have a small say, which harmed little where they mislead.
ENOUGH = 0.95
UNSEEN: tuple[str, Settings] = ("prototypes", {"w": 1 / 3})

STEPS = 100  # of the probe
SMALL = 1e-4  # of a step, against the first, that ends it


@dataclass(frozen=True)
class Examples:
    """Pictures whose labels are known, and the rows that these labels start from.

    Every label has a picture.
    """

    images: Rows  # (n, d)
    label_ids: LabelIds  # (n,) the index of each one's label
    texts: Rows  # (k, d)
    scale: float  # of the model's logits

    @property
    def count(self) -> NDArray[np.int64]:
        return np.bincount(self.label_ids, minlength=len(self.texts))

    def of(self, chosen: NDArray[np.bool_]) -> Examples:
        return replace(self, images=self.images[chosen], label_ids=self.label_ids[chosen])


@dataclass(frozen=True)
class Fitted:
    """Rows of all labels, and perhaps a cache."""

    rows: Rows
    cache: Cache | None = None

    def similarities(self, images: Rows) -> Rows:
        """(n, d) → (n, k), on the scale of the model's cosines."""
        similar = images @ self.rows.T
        if self.cache is not None:
            similar = similar + self.cache.logits(images @ self.cache.support.T, len(self.rows))
        return np.asarray(similar, dtype=np.float32)


# methods


def prototypes(examples: Examples, *, w: float) -> Fitted:
    """The text's row, and the mean of the examples against that of all labels."""
    means = np.zeros_like(examples.texts)
    np.add.at(means, examples.label_ids, examples.images)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    return Fitted(examples.texts + np.float32(w) * (means - means.mean(0)))


def cache(examples: Examples, *, alpha: float, beta: float) -> Fitted:
    """The texts, and every example by itself."""
    order = np.argsort(examples.label_ids, kind="stable")
    label_ids = examples.label_ids[order].astype(np.int32)
    return Fitted(examples.texts, Cache(examples.images[order], label_ids, alpha, beta))


def probe(
    examples: Examples, *, penalty: float, start: Rows | None = None, steps: int = STEPS
) -> Fitted:
    """Logistic regression towards the texts. `penalty`: λ / scale². Each label counts alike.

    By Nesterov's method for a strongly convex function (Introductory Lectures, 2.2.1). Rows move
    only in the space of the examples, which is small: there the work is done. `start`: rows to
    begin with.
    """
    k = len(examples.texts)
    weight = (1 / (k * examples.count))[examples.label_ids][:, None].astype(np.float32)
    target = np.eye(k, dtype=np.float32)[examples.label_ids]
    u, s, axes = np.linalg.svd(examples.images, full_matrices=False)
    x = np.asarray(u * s, dtype=np.float32)  # the examples in the space that they span
    scale = np.float32(examples.scale * min(1.0, _zero_shot_factor(examples)))
    said = scale * (examples.images @ examples.texts.T)
    # The loss in v = scale · (rows - texts) has this curvature at most, the penalty this.
    curvature = float(np.linalg.norm(x * np.sqrt(weight), 2) ** 2) / 2
    step, momentum = _pace(curvature + penalty, penalty)
    moved: NDArray[Any] = np.zeros((x.shape[1], k), dtype=np.float32)
    if start is not None:
        moved = np.asarray(scale * (axes @ (start - examples.texts).T), dtype=np.float32)
    ahead = moved
    first = 0.0
    for _ in range(steps):
        slope = x.T @ (weight * (softmax(said + x @ ahead) - target)) + np.float32(penalty) * ahead
        new = ahead - step * slope
        ahead, moved = new + momentum * (new - moved), new
        size = float(np.abs(slope).max())
        first = first or size
        if size <= SMALL * first:
            break
    return Fitted(examples.texts + (moved.T @ axes) / scale)


def _pace(largest: float, smallest: float) -> tuple[np.float32, np.float32]:
    root = float(np.sqrt(smallest / largest))
    return np.float32(1 / largest), np.float32((1 - root) / (1 + root))


def _zero_shot_factor(examples: Examples) -> float:
    said = examples.scale * (examples.images @ examples.texts.T)
    return best_factor(np.asarray(said, dtype=np.float32), examples.label_ids)[0]


METHODS: dict[str, tuple[Callable[..., Fitted], tuple[Settings, ...]]] = {
    "prototypes": (prototypes, tuple({"w": w} for w in (0.1, 1 / 3, 1.0, 3.0, 10.0))),
    "cache": (
        cache,
        tuple(
            {"alpha": alpha, "beta": beta}
            for alpha in (0.1, 0.3, 1.0, 3.0, 10.0)
            for beta in (1.0, 3.0, 10.0, 30.0)
        ),
    ),
    # The strongest penalty first: each begins where the one before it came to.
    "probe": (probe, tuple({"penalty": p} for p in (1e-2, 1e-3, 1e-4, 1e-5))),
}


def _candidates(examples: Examples) -> Iterator[tuple[str, Settings, Fitted]]:
    for name, (fit, grid) in METHODS.items():
        fitted = None
        for settings in grid:
            more: dict[str, Any] = {}
            if fit is probe and fitted is not None:
                more = {"start": fitted.rows}
            fitted = fit(examples, **settings, **more)
            yield name, settings, fitted


# choosing


def adapt(
    images: Rows,
    label_ids: Sequence[int] | LabelIds,
    labels: CompiledLabels,
    *,
    by_pictures: Iterable[str] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> Adapter:
    """Embeddings (n, d) of pictures, and the index of each one's label in the set → an adapter.

    Labels without pictures have no part in it, and are not in the adapter. `by_pictures`: labels
    whose names say nothing. The method and its settings are those with the least loss on pictures
    held out (stratified; labels with a single picture are not held out); they are taken only if
    more of these are right than with zero-shot by more than noise, and otherwise the adapter is
    zero-shot, and changes nothing. With one picture a label nothing can be held out:
    docs/adapt.md says what is done then. `facts` of the adapter have
    the figures. `progress` is called with how many folds are done, and of how many.

    LabelError for fewer than two labels with pictures, and for labels that are adapted already.
    """
    label_ids = np.asarray(label_ids, dtype=np.int64)
    if labels.adapted is not None:
        raise LabelError("these labels are adapted already; give them as they were.")
    score = labels.score
    with_pictures, ids = np.unique(label_ids, return_inverse=True)
    if len(with_pictures) < 2:
        raise LabelError(
            "at least two labels need example pictures: what one looks like is told by what "
            "others do not. Any counter-examples will do, as a label such as `something else`."
        )
    by_pictures = sorted(by_pictures)
    texts = _beginnings(labels, by_pictures)[with_pictures]
    examples = Examples(images, np.asarray(ids, dtype=np.int64), texts, score.scale)
    count = examples.count
    zero = _said(score, images @ labels.matrix[with_pictures].T)
    held_out = count[examples.label_ids] > 1
    if held_out.any():
        choice, tried = _validated(examples, zero, held_out, score, seed, progress)
    else:
        right = float((zero.argmax(1) == examples.label_ids).mean())
        choice = Choice(ZERO_SHOT, {}, score) if right >= ENOUGH else Choice(*UNSEEN, score)
        tried = [_tried(ZERO_SHOT, {}, zero, examples.label_ids)]
    facts = {
        "settings": choice.settings,
        "pictures": len(images),
        "shots": [int(count.min()), int(count.max())],
        "held_out": int(held_out.sum()),
        "tried": tried,
        "by_pictures": by_pictures,
        "seed": seed,
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    rows: Rows = np.zeros((0, images.shape[1]), dtype=np.float32)
    kept = None
    if choice.method != ZERO_SHOT:
        # As it was held out: by the same path, which the steps of a probe follow.
        wanted = choice.method, choice.settings
        fitted = next(f for *what, f in _candidates(examples) if tuple(what) == wanted)
        rows, kept = fitted.rows, fitted.cache
    return Adapter(
        tuple(labels.labels[i].name for i in with_pictures),
        rows,
        choice.score,
        choice.method,
        labels.model,
        labels.revision,
        labels.fingerprint,
        texts.mean(0),
        choice.text_scale,
        kept,
        facts,
    )


@dataclass(frozen=True)
class Choice:
    """What an adapter is to be. `text_scale`: as it has it."""

    method: str
    settings: Settings
    score: Score
    text_scale: float = 1.0


def _beginnings(labels: CompiledLabels, by_pictures: Iterable[str]) -> Rows:
    """The rows of the texts; of a name that says nothing, what the texts for anything have."""
    names = [label.name for label in labels.labels]
    by_pictures = tuple(by_pictures)
    unknown = sorted(set(by_pictures) - set(names))
    if unknown:
        raise LabelError(f"there is no label {unknown[0]!r} to know by its pictures.")
    rows: Rows = labels.matrix.copy()
    if by_pictures and not len(labels.neutral):
        raise LabelError(f"{labels.model} was taught its labels by pictures: no by_pictures here.")
    rows[[names.index(name) for name in by_pictures]] = labels.neutral.mean(0)
    return rows


def _validated(
    examples: Examples,
    zero: Rows,
    held_out: NDArray[np.bool_],
    score: Score,
    seed: int,
    progress: Progress | None,
) -> tuple[Choice, list[dict[str, Any]]]:
    """The choice, and the best that each method came to."""
    label_ids = examples.label_ids[held_out]
    best: dict[str, tuple[float, Settings, Rows]] = {}
    for name, settings, said in _cross_validated(examples, held_out, score, seed, progress):
        loss = best_factor(said, label_ids)[1]
        if name not in best or loss < best[name][0]:
            best[name] = (loss, settings, said)
    tried = [_tried(ZERO_SHOT, {}, zero[held_out], label_ids)]
    tried += [_tried(name, settings, said, label_ids) for name, (_, settings, said) in best.items()]
    method = min(best, key=lambda name: best[name][0])
    _, settings, said = best[method]
    gained = (said.argmax(1) == label_ids).astype(int) - (zero[held_out].argmax(1) == label_ids)
    if gained.sum() <= NOISE * np.sqrt(np.abs(gained).sum()):
        return Choice(ZERO_SHOT, {}, score), tried
    fitted = fitted_score(said, label_ids, score)
    # The rows of other labels' texts are as sure as zero-shot should have been.
    text_scale = fitted_score(zero[held_out], label_ids, score).scale / fitted.scale
    return Choice(method, settings, fitted, text_scale), tried


def _cross_validated(
    examples: Examples,
    held_out: NDArray[np.bool_],
    score: Score,
    seed: int,
    progress: Progress | None,
) -> Iterator[tuple[str, Settings, Rows]]:
    """Logits (n held out, k) of every candidate, each picture's by what was fitted without it."""
    fold = stratified_folds(examples.label_ids, FOLDS, seed)
    used = [number for number in range(FOLDS) if (fold == number).any()]
    said: dict[int, Rows] = {}
    kinds: list[tuple[str, Settings]] = []
    for done, number in enumerate(used):
        kinds = []
        for i, (name, settings, fitted) in enumerate(_candidates(examples.of(fold != number))):
            kinds.append((name, settings))
            rows = said.setdefault(i, np.empty((len(fold), len(examples.texts)), np.float32))
            rows[fold == number] = _said(
                score, fitted.similarities(examples.images[fold == number])
            )
        if progress is not None:
            progress(done + 1, len(used))
    for i, (name, settings) in enumerate(kinds):
        yield name, settings, said[i][held_out]


def _said(score: Score, similarities: Rows) -> Rows:
    return np.asarray(similarities * np.float32(score.scale), dtype=np.float32)


def _tried(name: str, settings: Settings, said: Rows, label_ids: LabelIds) -> dict[str, Any]:
    right = int((said.argmax(1) == label_ids).sum())
    loss = best_factor(said, label_ids)[1]
    return {"method": name, "settings": settings, "right": right, "loss": round(loss, 4)}
