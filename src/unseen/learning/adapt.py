"""A few labelled pictures → an adapter, chosen by cross-validation, zero-shot among the choices."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unseen.classifier import Classifier
from unseen.datasets.annotation import classes, match
from unseen.datasets.folds import stratified_folds
from unseen.datasets.read_summary import ReadSummary
from unseen.datasets.readers import read_annotations
from unseen.errors import LabelError, SourceError
from unseen.index.encoding import StageProgress, encode_annotations
from unseen.labels.compiled import CompiledLabels
from unseen.learning.few_shot import Examples, LabelIds, Settings, candidates
from unseen.learning.temperature import best_factor, fitted_score
from unseen.models.model import Score
from unseen.prediction.adapter import ZERO_SHOT, Adapter
from unseen.types import Floats, LabelsLike, TemplateLike

if TYPE_CHECKING:
    from unseen.datasets.readers import Labelled

FOLDS = 5
# What is gained must be this many times its own noise (one-sided, 95 %).
NOISE = 1.645
# With one picture a label nothing can be held out. Zero-shot is kept where it is right on so many
# of them, and otherwise the pictures have a small say, which harmed little where they mislead.
ENOUGH = 0.95
UNSEEN: tuple[str, Settings] = ("prototypes", {"w": 1 / 3})


def adapt(
    classifier: Classifier,
    source: Labelled,
    labels: LabelsLike | CompiledLabels | None = None,
    *,
    template: TemplateLike = None,
    by_pictures: Iterable[str] = (),
    shots: int = 64,
    seed: int = 0,
    use_index: bool = True,
    batch_size: int | None = None,
    progress: StageProgress | None = None,
    on_read: Callable[[ReadSummary], None] | None = None,
) -> Adapter:
    """Learn from a few pictures of each label, if pictures held out show that it helps.

    Parameters
    ----------
    classifier : Classifier
        What `unseen.load` gives, without an adapter.
    source : str, Path, or iterable
        A folder in which each folder is a label, a .csv or .jsonl file with the columns `path` and
        `label`, or pairs of a picture and its label.
    labels : LabelsLike or CompiledLabels, optional
        The label set; by default the labels of the pictures. Labels without pictures are not in
        the adapter.
    template : str or sequence of str, optional
        Prompts with ``{}`` for the label, or the name of a set of them.
    by_pictures : iterable of str
        Labels whose names say nothing: their pictures alone do.
    shots : int
        At most so many pictures a label, drawn by the seed.
    seed : int
        Of the pictures that are drawn, and of those that are held out.
    use_index : bool
        Take embeddings from an index where there is one.
    batch_size : int, optional
        Pictures that the network takes at once.
    progress : callable, optional
        Called with ``"pictures"`` or ``"folds"``, how many are done, and of how many.
    on_read : callable, optional
        Called with the `ReadSummary`: which pictures take no part. By default that is a warning.

    Returns
    -------
    Adapter
        For `unseen.load` and for files, by its `save`; its `facts` have the figures of all methods.

    Raises
    ------
    SourceError
        The pictures are not there, or none has one of the labels.
    LabelError
        Fewer than two labels have pictures, or the labels are adapted already.

    Examples
    --------
    >>> import unseen
    >>> classifier = unseen.load()
    >>> pairs = [("examples/cat.jpg", "cat"), ("examples/castle.jpg", "castle")]
    >>> unseen.adapt(classifier, pairs).labels
    ('castle', 'cat')
    """
    annotations = read_annotations(source)
    given = classes(annotations) if labels is None else labels
    compiled = classifier.compile(given, template=template)
    matched = match(annotations, [label.name for label in compiled.labels])
    drawn = [*_drawn(matched.label_ids, shots, random.Random(seed))]
    if not drawn:
        raise SourceError(f"{_named(source)}no picture has one of the labels that were given.")
    used = [annotations[row] for row, _ in drawn]
    encoded = encode_annotations(
        classifier.encoder,
        used,
        source,
        use_index=use_index,
        batch_size=batch_size,
        progress=progress,
    )
    summary = ReadSummary(
        len(used),
        {used[row].path: error for row, error in encoded.errors.items()},
        sum(not annotation.labels for annotation in annotations),
        matched.unmatched,
        index=encoded.index,
    )
    (on_read or ReadSummary.warn)(summary)
    readable = encoded.readable
    if not len(readable):
        raise SourceError(f"{_named(source)}none of its pictures could be read.")
    return fit_adapter(
        encoded.embeddings[readable],
        [drawn[row][1] for row in readable],
        compiled,
        by_pictures=by_pictures,
        seed=seed,
        progress=progress,
    )


def fit_adapter(
    embeddings: Floats,
    label_ids: Sequence[int] | LabelIds,
    labels: CompiledLabels,
    *,
    by_pictures: Iterable[str] = (),
    seed: int = 0,
    progress: StageProgress | None = None,
) -> Adapter:
    """As `adapt`, with embeddings that are there already.

    The method and its settings are those with the least loss on pictures held out (stratified;
    labels with a single picture are not held out). They are taken only if more of these are right
    than with zero-shot by more than noise; otherwise the adapter is zero-shot, and changes nothing.
    With one picture a label nothing can be held out: ``unseen help adapt`` says what is done then.

    Parameters
    ----------
    embeddings : float32 array (n, d)
        Pictures, rows of length 1.
    label_ids : int array (n,)
        The index of each one's label in the set.
    labels : CompiledLabels
        The label set, for the model of the embeddings.
    by_pictures, seed, progress
        As `adapt` takes them.

    Returns
    -------
    Adapter
        Of the labels that have pictures.

    Raises
    ------
    LabelError
        Fewer than two labels have pictures, or the labels are adapted already.
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
    texts = _text_rows(labels, by_pictures)[with_pictures]
    examples = Examples(embeddings, np.asarray(ids, dtype=np.int64), texts, score.scale)
    zero = _logits(score, embeddings @ labels.matrix[with_pictures].T)
    held_out = examples.count[examples.label_ids] > 1
    if held_out.any():
        choice, tried = _validated(examples, zero, held_out, score, seed, progress)
    else:
        right = float((zero.argmax(1) == examples.label_ids).mean())
        choice = Choice(ZERO_SHOT, {}, score) if right >= ENOUGH else Choice(*UNSEEN, score)
        tried = [_tried(ZERO_SHOT, {}, zero, examples.label_ids)]
    rows: Floats = np.zeros((0, embeddings.shape[1]), dtype=np.float32)
    cache = None
    if choice.method != ZERO_SHOT:
        # As it was held out: by the same path, which the steps of a probe follow.
        chosen = choice.method, choice.settings
        fitted = next(f for *key, f in candidates(examples) if tuple(key) == chosen)
        rows, cache = fitted.rows, fitted.cache
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
        cache,
        {
            "settings": choice.settings,
            "pictures": len(embeddings),
            "shots": [int(examples.count.min()), int(examples.count.max())],
            "held_out": int(held_out.sum()),
            "tried": tried,
            "by_pictures": by_pictures,
            "seed": seed,
            "date": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
    )


def _named(source: Any) -> str:
    """How an error begins, where the source has a name."""
    return f"{source}: " if isinstance(source, (str, os.PathLike)) else ""


def _drawn(
    label_ids: Sequence[Sequence[int] | None], shots: int, rng: random.Random
) -> Iterator[tuple[int, int]]:
    """Floats with the label of each: at most `shots` a label."""
    rows: dict[int, list[int]] = {}
    for row, ids in enumerate(label_ids):
        for label_id in ids or ():
            rows.setdefault(label_id, []).append(row)
    for label_id, members in sorted(rows.items()):
        chosen = rng.sample(members, min(shots, len(members)))
        yield from ((row, label_id) for row in sorted(chosen))


@dataclass(frozen=True)
class Choice:
    """A method with its settings, and the score and text scale of the adapter."""

    method: str
    settings: Settings
    score: Score
    text_scale: float = 1.0


def _text_rows(labels: CompiledLabels, by_pictures: Iterable[str]) -> Floats:
    """The rows of the texts; of a name that says nothing, what the texts for anything have."""
    names = [label.name for label in labels.labels]
    by_pictures = tuple(by_pictures)
    unknown = sorted(set(by_pictures) - set(names))
    if unknown:
        raise LabelError(f"there is no label {unknown[0]!r} to know by its pictures.")
    rows: Floats = labels.matrix.copy()
    if by_pictures and not len(labels.neutral):
        raise LabelError(f"{labels.model} was taught its labels by pictures: no by_pictures here.")
    rows[[names.index(name) for name in by_pictures]] = labels.neutral.mean(0)
    return rows


def _validated(
    examples: Examples,
    zero: Floats,
    held_out: NDArray[np.bool_],
    score: Score,
    seed: int,
    progress: StageProgress | None,
) -> tuple[Choice, list[dict[str, Any]]]:
    """The choice, and the best that each method reached."""
    label_ids = examples.label_ids[held_out]
    best: dict[str, tuple[float, Settings, Floats]] = {}
    for name, settings, logits in _cross_validated(examples, held_out, score, seed, progress):
        loss = best_factor(logits, label_ids)[1]
        if name not in best or loss < best[name][0]:
            best[name] = (loss, settings, logits)
    tried = [_tried(ZERO_SHOT, {}, zero[held_out], label_ids)]
    tried += [_tried(name, settings, rows, label_ids) for name, (_, settings, rows) in best.items()]
    method = min(best, key=lambda name: best[name][0])
    _, settings, logits = best[method]
    gained = (logits.argmax(1) == label_ids).astype(int) - (zero[held_out].argmax(1) == label_ids)
    if gained.sum() <= NOISE * np.sqrt(np.abs(gained).sum()):
        return Choice(ZERO_SHOT, {}, score), tried
    fitted = fitted_score(logits, label_ids, score)
    # The rows of other labels' texts are as sure as zero-shot should have been.
    text_scale = fitted_score(zero[held_out], label_ids, score).scale / fitted.scale
    return Choice(method, settings, fitted, text_scale), tried


def _cross_validated(
    examples: Examples,
    held_out: NDArray[np.bool_],
    score: Score,
    seed: int,
    progress: StageProgress | None,
) -> Iterator[tuple[str, Settings, Floats]]:
    """Logits (n held out, k) of every candidate, each picture's by what was fitted without it."""
    fold = stratified_folds(examples.label_ids, FOLDS, seed)
    used = [number for number in range(FOLDS) if (fold == number).any()]
    logits: dict[int, Floats] = {}
    kinds: list[tuple[str, Settings]] = []
    for done, number in enumerate(used):
        kinds = []
        for i, (name, settings, fitted) in enumerate(candidates(examples.of(fold != number))):
            kinds.append((name, settings))
            rows = logits.setdefault(i, np.empty((len(fold), len(examples.texts)), np.float32))
            rows[fold == number] = _logits(
                score, fitted.similarities(examples.images[fold == number])
            )
        if progress is not None:
            progress("folds", done + 1, len(used))
    for i, (name, settings) in enumerate(kinds):
        yield name, settings, logits[i][held_out]


def _logits(score: Score, similarities: Floats) -> Floats:
    return np.asarray(similarities * np.float32(score.scale), dtype=np.float32)


def _tried(name: str, settings: Settings, logits: Floats, label_ids: LabelIds) -> dict[str, Any]:
    right = int((logits.argmax(1) == label_ids).sum())
    loss = best_factor(logits, label_ids)[1]
    return {"method": name, "settings": settings, "right": right, "loss": round(loss, 4)}
