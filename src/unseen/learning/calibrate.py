"""From 5 to 200 labelled pictures → a `Calibration`; from unlabelled ones, a prior of the labels.

What is learnt is little, as there is little to learn from: one temperature (Guo et al. 2017,
arXiv:1706.04599), or with several labels a picture a temperature and a shift (Platt 1999) and a
threshold a label; and one number for sets that hold the right label as often as is wanted (split
conformal prediction: Vovk et al. 2005). docs/calibrate.md has what each is worth.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.classifier import Classifier
from unseen.datasets.annotation import Example, match, read
from unseen.errors import LabelError, UnseenWarning
from unseen.labels.compiled import CompiledLabels
from unseen.labels.label_set import LabelsLike
from unseen.labels.templates import TemplateLike
from unseen.learning.temperature import golden_section
from unseen.prediction import score
from unseen.prediction.calibration import (
    METHODS,
    Calibration,
    ConformalPredictor,
    uncalibrated_probabilities,
    words_sha256,
)
from unseen.prediction.predict import foreground_logits
from unseen.sources.item import name_of
from unseen.types import Doubles

FEWEST = 5  # pictures: fewer say nothing

# What is believed beforehand, as normal distributions around "nothing to put right": of the log of
# the temperature; in multi-label mode, of 1 / temperature and of the shift.
TEMPERATURE_SPREAD = 0.5
STEEPNESS_SPREAD = 1.0
SHIFT_SPREAD = 3.0
COLDEST, HOTTEST = 0.05, 20.0  # where the temperature is looked for

FEWEST_YES = 3  # pictures of a label, from which on it may have a threshold of its own

# Unlabelled pictures: how many of each label are believed to be there beforehand.
PSEUDO_PICTURES = 1.0
PASSES = 100

Bools = NDArray[np.bool_]
Rows = NDArray[np.float32]
Labelled = Iterable[tuple[Any, "str | Iterable[str]"]]


def calibrate(
    classifier: Classifier,
    pictures: str | Path | Labelled,
    labels: LabelsLike | CompiledLabels,
    *,
    template: TemplateLike = None,
    background: Iterable[str] = (),
    multi_label: bool = False,
    precision: float | None = None,
    coverage: float | None = 0.9,
    method: str = "lac",
    batch_size: int | None = None,
) -> Calibration:
    """What labelled pictures teach of a label set.

    `pictures`: what `datasets.annotation.read` takes (a folder with a folder a label, or a CSV
    file of path and label), or pairs of a source and its label or labels. One label a picture: the
    temperature, and sets of likely labels with `coverage` (None: no sets) by `method`, lac or aps.
    `multi_label`: the labels of a picture are all that are true of it; thresholds are for the best
    F1, or for a wanted `precision`. Raises LabelError for fewer than five pictures, and the error
    of a picture that cannot be read.
    """
    _check(precision, coverage, method)
    compiled = classifier.compile(labels, template=template, background=background)
    sources, examples = _read(pictures, several=multi_label)
    matched = match(examples, compiled.answers)
    if matched.unnamed:
        some = ", ".join([*map(repr, matched.unnamed)][:5])
        warnings.warn(
            f"{len(matched.unnamed)} names are none of the labels, and their pictures were left "
            f"out: {some}{' …' if len(matched.unnamed) > 5 else ''}",
            UnseenWarning,
            stacklevel=2,
        )
    used = np.flatnonzero(matched.judged(multi_label))
    _enough(len(used))
    rows = classifier.encode_images([sources[i] for i in used], batch_size=batch_size)
    return learn(
        rows,
        matched.truth(used.tolist(), True, len(compiled.answers)),
        compiled,
        multi_label=multi_label,
        precision=precision,
        coverage=coverage,
        method=method,
    )


def learn(
    rows: Rows,
    truth: Bools,
    compiled: CompiledLabels,
    *,
    multi_label: bool = False,
    precision: float | None = None,
    coverage: float | None = 0.9,
    method: str = "lac",
) -> Calibration:
    """As `calibrate`, of embeddings (n, d), and which of the answers are right of each (n, k)."""
    _check(precision, coverage, method)
    _enough(len(rows))
    cosines = compiled.similarities(rows)
    if not multi_label:
        logits = score.logits(cosines, compiled.score)
        return _made(
            compiled,
            len(rows),
            temperature=fit_temperature(logits, _columns(truth, compiled)),
            likely=None if coverage is None else _likely(logits, compiled, truth, coverage, method),
        )
    known = truth[:, : int((~compiled.background_mask).sum())]
    logits = foreground_logits(rows, cosines, compiled)
    temperature, shift = fit_line(logits, known)
    made = _made(compiled, len(rows), multi_label=True, temperature=temperature, shift=shift)
    found = thresholds(made.multiple_labels(logits), known, precision)
    never = sum(t >= 1 for t in found)
    if never:
        warnings.warn(
            f"these pictures cannot show that precision for {never} of {len(found)} labels, which "
            "will never be said: give more pictures, or ask for less.",
            UnseenWarning,
            stacklevel=2,
        )
    return replace(
        made,
        thresholds=dict(zip(compiled.answers, found, strict=False)),
        wanted="f1" if precision is None else f"precision {precision:g}",
    )


def _check(precision: float | None, coverage: float | None, method: str) -> None:
    for name, value in (("coverage", coverage), ("precision", precision)):
        if value is not None and not 0 < value < 1:
            raise LabelError(f"{name} is {value}; it lies between 0 and 1.")
    if method not in METHODS:
        raise LabelError(f"{method!r} is no method for sets; {', '.join(METHODS)} are.")


def calibrate_unlabelled(
    classifier: Classifier,
    sources: Any,
    labels: LabelsLike | CompiledLabels,
    *,
    template: TemplateLike = None,
    background: Iterable[str] = (),
    prior: str = "mean",
    batch_size: int | None = None,
) -> Calibration:
    """A correction from pictures without labels: `prior` is one of `PRIORS`.

    docs/calibrate.md says when each helps and when it harms. Pictures that cannot be read are left
    out. Raises LabelError for fewer than five.
    """
    compiled = classifier.compile(labels, template=template, background=background)
    stream = classifier.encoder.stream_images(sources, batch_size=batch_size)
    good = [e.embedding for e in stream if e.embedding is not None]
    return learn_prior(np.array(good, dtype=np.float32), compiled, prior)


def learn_prior(rows: Rows, compiled: CompiledLabels, prior: str = "mean") -> Calibration:
    """As `calibrate_unlabelled`, of embeddings (n, d)."""
    if prior not in PRIORS:
        raise LabelError(f"{prior!r} is no prior correction; {', '.join(PRIORS)} are.")
    _enough(len(rows))
    logits = score.logits(compiled.similarities(rows), compiled.score)
    moved = [float(x) for x in PRIORS[prior](logits)]
    names = [label.name for label in compiled.labels]
    return _made(compiled, len(rows), prior=dict(zip(names, moved, strict=True)))


def _made(compiled: CompiledLabels, pictures: int, **learnt: Any) -> Calibration:
    return Calibration(
        model=compiled.model,
        fingerprint=compiled.fingerprint,
        labels=tuple(label.name for label in compiled.labels),
        words_sha256=words_sha256(compiled),
        pictures=pictures,
        **{"multi_label": False, **learnt},
    )


# one label a picture


def fit_temperature(logits: NDArray[Any], right: Bools) -> float:
    """(n, k) logits, and which labels are right of each → the temperature.

    The least negative log-likelihood over the pictures, and (log T)² / 2 for what is believed
    beforehand: so with few pictures it stays near 1.
    """
    exact = np.asarray(logits, dtype=np.float64)

    def loss(log_t: float) -> float:
        scaled = exact / math.exp(log_t)
        missed = score.log_sum_exp(scaled)
        missed = missed - score.log_sum_exp(np.where(right, scaled, -np.inf))
        return float(missed.sum()) + 0.5 * (log_t / TEMPERATURE_SPREAD) ** 2

    return math.exp(_least(loss, math.log(COLDEST), math.log(HOTTEST)))


def _least(loss: Callable[[float], float], low: float, high: float) -> float:
    """Where a function is least: on a grid first, as it may have two valleys, then golden."""
    grid = np.linspace(low, high, 61)
    middle = int(np.argmin([loss(float(x)) for x in grid]))
    a, b = float(grid[max(middle - 1, 0)]), float(grid[min(middle + 1, 60)])
    return golden_section(loss, a, b, width=1e-5)


def reach(strange: NDArray[Any], coverage: float) -> float | None:
    """How strange the right labels were, of n pictures → how strange one in a set may be.

    The ⌈(n + 1) · coverage⌉-th smallest: a further picture of the same kind has its right label in
    the set with at least this probability, whatever the model. None when n is too small for it.
    """
    n = len(strange)
    rank = math.ceil((n + 1) * coverage - 1e-9)
    return None if rank > n else float(np.sort(strange)[rank - 1])


def _likely(
    logits: NDArray[Any], compiled: CompiledLabels, truth: Bools, coverage: float, method: str
) -> ConformalPredictor | None:
    strange = METHODS[method](uncalibrated_probabilities(logits, compiled))[truth]
    found = reach(strange, coverage)
    if found is None:
        least = math.ceil(coverage / (1 - coverage) - 1e-9)
        warnings.warn(
            f"{len(strange)} pictures are too few for sets with {coverage:.0%} coverage: they need "
            f"{least}; none are made.",
            UnseenWarning,
            stacklevel=3,
        )
        return None
    return ConformalPredictor(coverage, method, found)


# several labels a picture


def fit_line(logits: NDArray[Any], yes: Bools) -> tuple[float, float]:
    """(n, k) logits and truths → temperature and shift of sigmoid(logit / T + shift).

    Logistic regression over all labels at once, with what is believed beforehand of 1 / T and the
    shift; by Newton's method, each step halved until it is one down.
    """
    x = np.asarray(logits, dtype=np.float64).ravel()
    sign = np.where(yes.ravel(), 1.0, -1.0)
    beliefs, spreads = np.array([1.0, 0.0]), np.array([STEEPNESS_SPREAD, SHIFT_SPREAD])

    def loss(at: Doubles) -> float:
        missed = np.logaddexp(0, -sign * (at[0] * x + at[1])).sum()
        return float(missed + 0.5 * (((at - beliefs) / spreads) ** 2).sum())

    at = beliefs
    for _ in range(50):
        p = 0.5 * (1 + np.tanh((at[0] * x + at[1]) / 2))
        off, weight = p - (sign > 0), p * (1 - p)
        slope = np.array([off @ x, off.sum()]) + (at - beliefs) / spreads**2
        bend = np.array([[weight @ x**2, weight @ x], [weight @ x, weight.sum()]])
        step = np.linalg.solve(bend + np.diag(1 / spreads**2), slope)
        while loss(at - step) > loss(at) and np.abs(step).max() > 1e-9:
            step = step / 2
        at = at - step
        if np.abs(step).max() < 1e-9:
            break
    return float(1 / max(at[0], 1 / HOTTEST)), float(at[1])


def thresholds(p: NDArray[Any], yes: Bools, precision: float | None = None) -> list[float]:
    """(n, k) scores and truths → a threshold a label: for the best F1, or for a precision.

    A label with few pictures, or whose pictures cannot show that precision, takes the threshold of
    all labels together; where these cannot either, it is 1.
    """
    common = _threshold(p.ravel(), yes.ravel(), precision)
    fallback = 1.0 if common is None else common
    found = []
    for scores, truth in zip(p.T, yes.T, strict=True):
        own = _threshold(scores, truth, precision) if truth.sum() >= FEWEST_YES else None
        found.append(fallback if own is None else own)
    return found


def _threshold(p: NDArray[Any], yes: Bools, precision: float | None) -> float | None:
    """Between two scores where F1 is best, or where the precision is first kept; None: nowhere.

    One more wrong yes is counted than was seen, as the threshold is chosen on what it is judged by.
    """
    order = np.argsort(-p, kind="stable")
    sorted_p = p[order].astype(np.float64)
    last = np.flatnonzero(np.append(sorted_p[1:] != sorted_p[:-1], True))  # of each score
    values = sorted_p[last]
    right = np.cumsum(yes[order])[last]
    said = last + 1
    if precision is None:
        if not yes.any():
            return None
        place = int(np.argmax(2 * right / (said + yes.sum())))
    else:
        kept = np.flatnonzero((said - right + 1) <= (1 - precision) * (said + 1) + 1e-12)
        if not len(kept):
            return None
        place = int(kept[-1])
    below = values[place + 1] if place + 1 < len(values) else 0.0
    return float((values[place] + below) / 2)


# without labels


def em_prior(logits: NDArray[Any]) -> Doubles:
    """Saerens, Latinne & Decaestecker 2002: how frequent the labels are here → log of k · that.

    With `PSEUDO_PICTURES` of each label beforehand, so that none is ruled out.
    """
    p = np.asarray(score.softmax(np.asarray(logits, np.float32)), dtype=np.float64)
    n, k = p.shape
    part = np.full(k, 1 / k)
    for _ in range(PASSES):
        joint = p * part
        count = (joint / np.maximum(joint.sum(1, keepdims=True), 1e-300)).sum(0)
        part = (count + PSEUDO_PICTURES) / (n + PSEUDO_PICTURES * k)
    return np.asarray(np.log(part * k))


def mean_prior(logits: NDArray[Any]) -> Doubles:
    """What takes from each label the mean logit that it has over the collection, above the others'.

    Shrunk by n / (n + k): as few pictures as labels say half. It assumes that no label is much more
    frequent than others.
    """
    exact = np.asarray(logits, dtype=np.float64)
    n, k = exact.shape
    mean = exact.mean(0)
    return np.asarray((mean.mean() - mean) * n / (n + k))


PRIORS = {"mean": mean_prior, "em": em_prior}


# labelled pictures


def _read(pictures: str | Path | Labelled, *, several: bool) -> tuple[list[Any], list[Example]]:
    """The sources, and what is known of each."""
    if isinstance(pictures, (str, Path)):
        examples = read(Path(pictures), several=several)
        return [example.path for example in examples], examples
    sources: list[Any] = []
    examples = []
    for source, own in pictures:
        name, owns = name_of(source, len(sources)), (own,) if isinstance(own, str) else (*own,)
        if len(set(owns)) > 1 and not several:
            raise LabelError(f"{name} has several labels: calibrate with multi_label (--multi).")
        sources.append(source)
        examples.append(Example(Path(name), owns))
    return sources, examples


def _enough(pictures: int) -> None:
    if pictures < FEWEST:
        raise LabelError(f"{pictures} pictures are too few to learn from: give at least {FEWEST}.")


def _columns(truth: Bools, compiled: CompiledLabels) -> Bools:
    """(n, answers) → (n, labels): `unknown` is right where any background label would be."""
    background = compiled.background_mask
    right = np.zeros((len(truth), len(background)), dtype=bool)
    right[:, ~background] = truth[:, : (~background).sum()]
    if background.any():
        right[:, background] = truth[:, -1:]
    return right
