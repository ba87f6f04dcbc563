"""A few labelled pictures → an adapter, chosen by cross-validation, zero-shot among the choices."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unseen.classifier import Classifier
from unseen.datasets.annotation import classes, match
from unseen.datasets.read_summary import ReadSummary
from unseen.datasets.readers import read_annotations
from unseen.errors import LabelError, SourceError
from unseen.index.encoding import StageProgress, content_digests, encode_annotations
from unseen.labels.compiled import CompiledLabels
from unseen.learning.few_shot import (
    GDA,
    PRIOR,
    Examples,
    LabelIds,
    Settings,
    candidates,
    methods_for,
)
from unseen.learning.gate import LEVEL, chance_of_gain, chance_of_labels
from unseen.learning.temperature import fitted_score
from unseen.learning.trials import Trial, best_of, cross_validated, prior_of
from unseen.models.model import Score
from unseen.prediction.adapter import ZERO_SHOT, Adapter, Replacement
from unseen.prediction.seen import EXAMPLES
from unseen.types import Floats, LabelsLike, TemplateLike

if TYPE_CHECKING:
    from unseen.datasets.readers import Labelled

# Where zero-shot is right about so many, only proof is reason enough to leave it.
ENOUGH = 0.95
# With one picture a label nothing can be held out, and no chance be ruled out with fewer labels:
# three pictures can be dealt to three labels in six ways, and one in six happens.
FEWEST_LABELS = 4


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
    adapter = fit_adapter(
        encoded.embeddings[readable],
        [drawn[row][1] for row in readable],
        compiled,
        by_pictures=by_pictures,
        seed=seed,
        progress=progress,
    )
    examples = [used[row] for row in readable]
    digests = content_digests(classifier.encoder, examples, encoded.index)
    facts = {
        "shots_limit": shots,
        "not_drawn": sum(map(bool, matched.label_ids)) - len({row for row, _ in drawn}),
        EXAMPLES: sorted({digest for digest in digests if digest is not None}),
    }
    return replace(adapter, facts=adapter.facts | facts)


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

    Labels that fit the pictures no better than chance would teach nothing: zero-shot is kept. Else
    the method with the least loss on pictures held out is taken, if it loses less than zero-shot by
    more than chance explains, whichever was the best, and is right more often. Where that is not
    shown, a cautious method is taken if it loses less and is right more often; otherwise the
    adapter is zero-shot, and changes nothing. With one picture a label nothing can be held out:
    ``unseen help adapt`` says what is done then.

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
    zero = np.asarray(np.float32(score.scale) * (embeddings @ texts.T), dtype=np.float32)
    held_out = examples.count[examples.label_ids] > 1
    fallback = None
    if held_out.any():
        methods = methods_for(examples, len(with_pictures) == len(labels.labels))
        choices, facts = _validated(examples, zero, held_out, score, methods, seed, progress)
        choice, *others = choices
        fallback = next((_replacement(examples, other) for other in others), None)
    else:
        choice, facts = _believed(examples, zero, score, bool(by_pictures))
    replacement = _replacement(examples, choice)
    return Adapter(
        tuple(labels.labels[i].name for i in with_pictures),
        replacement.rows,
        replacement.score,
        choice.method,
        labels.model,
        labels.revision,
        labels.fingerprint,
        texts.mean(0),
        replacement.text_scale,
        replacement.cache,
        {
            "settings": choice.settings,
            "pictures": len(embeddings),
            "shots": [int(examples.count.min()), int(examples.count.max())],
            "held_out": int(held_out.sum()),
            **facts,
            "by_pictures": by_pictures,
            "seed": seed,
            "date": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
        fallback,
    )


def _replacement(examples: Examples, choice: Choice) -> Replacement:
    """The choice, fitted to all examples; zero-shot has no rows."""
    rows: Floats = np.zeros((0, examples.images.shape[1]), dtype=np.float32)
    if choice.method == ZERO_SHOT:
        return Replacement(rows, choice.score)
    # As it was held out: by the same path, which the steps of a probe follow.
    fits = candidates(examples, [choice.method])
    fitted = next(fitted for _, settings, fitted in fits if settings == choice.settings)
    return Replacement(fitted.rows, choice.score, choice.text_scale, fitted.cache)


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
    if by_pictures:
        rows[[names.index(name) for name in by_pictures]] = labels.neutral.mean(0)
    return rows


def _believed(
    examples: Examples, zero: Floats, score: Score, by_pictures: bool
) -> tuple[Choice, dict[str, Any]]:
    """The choice with one picture a label, and the facts of it: the pictures are believed."""
    trial = Trial(ZERO_SHOT, {}, zero, examples.label_ids)
    facts = {"tried": [trial.facts()]}
    if trial.right >= ENOUGH * len(zero):
        return Choice(ZERO_SHOT, {}, score), {"reason": "enough", **facts}
    if len(examples.texts) < FEWEST_LABELS and not by_pictures:
        return Choice(ZERO_SHOT, {}, score), {"reason": "few", **facts}
    return Choice(*PRIOR, score), {"reason": "believed", **facts}


def _validated(
    examples: Examples,
    zero: Floats,
    held_out: NDArray[np.bool_],
    score: Score,
    methods: Sequence[str],
    seed: int,
    progress: StageProgress | None,
) -> tuple[list[Choice], dict[str, Any]]:
    """The choice, and the facts of it: the best that each method reached, and the two tests.

    Behind gda stands a second one, for label sets in which some labels have no pictures.
    """
    before = Trial(ZERO_SHOT, {}, zero[held_out], examples.label_ids[held_out])
    labels_p = chance_of_labels(examples)
    if labels_p > LEVEL:
        facts = {"reason": "chance", "labels_p": labels_p, "tried": [before.facts()]}
        return [Choice(ZERO_SHOT, {}, score)], facts
    trials = cross_validated(examples, held_out, methods, seed, progress)
    reason, trial, gain_p = _gained(before, trials)
    # Of each method the best, and of the method that is taken what is taken.
    shown = {t.method: t for t in sorted(trials, key=lambda t: (t is trial, -t.loss))}
    tried = [before, *(shown[method] for method in dict.fromkeys(t.method for t in trials))]
    facts = {"reason": reason, "labels_p": labels_p, "gain_p": gain_p}
    facts["tried"] = [t.facts() for t in tried]
    choices = [_choice(before, trial, score)]
    if trial.method == GDA:
        _, other, _ = _gained(before, [t for t in trials if t.method != GDA])
        choices.append(_choice(before, other, score))
        facts["fallback"] = other.facts()
    return choices, facts


def _choice(before: Trial, trial: Trial, score: Score) -> Choice:
    """The trial, with the scale that its answers should have had."""
    if trial is before:
        return Choice(ZERO_SHOT, {}, score)
    fitted = fitted_score(trial.logits, trial.label_ids, score)
    # The rows of other labels' texts are as sure as zero-shot should have been.
    text_scale = fitted_score(before.logits, before.label_ids, score).scale / fitted.scale
    return Choice(trial.method, trial.settings, fitted, text_scale)


def _gained(before: Trial, trials: list[Trial]) -> tuple[str, Trial, float]:
    """The word for why, which trial is taken, or zero-shot, and how likely the gain is chance."""
    if not trials:
        return "no gain", before, 1.0
    gain_p = chance_of_gain(np.array([before.losses - trial.losses for trial in trials]))
    best, prior = best_of(trials), prior_of(trials)
    if gain_p <= LEVEL and best.loss < before.loss and best.right > before.right:
        return "gain", best, gain_p
    poor = before.right < ENOUGH * len(before.label_ids)
    if poor and prior.loss < before.loss and prior.right > before.right:
        return "prior", prior, gain_p
    return "no gain", before, gain_p
