"""From 5 to 200 labelled pictures → a `Calibration`; from unlabelled ones, a prior of the labels.

What is learnt is little, as there is little to learn from: one temperature, or with several labels
a picture a temperature, a shift and a threshold a label; and one number for sets that hold the
right label with a given probability. docs/calibrate.md has what each is worth.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from unseen.classifier import Classifier
from unseen.datasets.annotation import Annotation, match
from unseen.datasets.read_summary import ReadSummary
from unseen.datasets.readers import read_annotations
from unseen.errors import LabelError, UnseenWarning
from unseen.index.encoding import StageProgress, content_digests, encode_annotations
from unseen.labels.compiled import CompiledLabels
from unseen.learning.calibration_fits import (
    PRIORS,
    fit_line,
    fit_temperature,
    fit_thresholds,
)
from unseen.learning.conformal_fits import fit_selective, fit_sets
from unseen.learning.remaining_error import remaining_error
from unseen.prediction import score
from unseen.prediction.calibration import Calibration, words_sha256
from unseen.prediction.conformal import METHODS, uncalibrated_probabilities
from unseen.prediction.predict import foreground_logits
from unseen.prediction.seen import example_digests
from unseen.sources.expand import expand
from unseen.types import Floats, LabelsLike, TemplateLike

if TYPE_CHECKING:
    from unseen.datasets.readers import Labelled
    from unseen.types import Sources

FEWEST = 5  # pictures: fewer say nothing

Bools = NDArray[np.bool_]


def calibrate(
    classifier: Classifier,
    source: Labelled | Sources,
    labels: LabelsLike | CompiledLabels | None = None,
    *,
    template: TemplateLike = None,
    background: Sequence[str] = (),
    multi_label: bool = False,
    precision: float | None = None,
    coverage: float | None = 0.9,
    method: str = "lac",
    class_conditional: bool = False,
    max_wrong: float | None = None,
    prior: str | None = None,
    use_index: bool = True,
    batch_size: int | None = None,
    progress: StageProgress | None = None,
    on_read: Callable[[ReadSummary], None] | None = None,
) -> Calibration:
    """Learn from pictures how far the scores of a label set can be trusted.

    Parameters
    ----------
    classifier : Classifier
        What `unseen.load` gives.
    source : str, Path, or iterable
        A folder in which each folder is a label, a .csv or .jsonl file with the columns `path` and
        `label`, or pairs of a picture and its label or labels. With `prior`: pictures alone, as
        `Classifier.classify_many` takes them.
    labels : LabelsLike or CompiledLabels, optional
        The label set. By default that of the adapter or of the model.
    template : str or sequence of str, optional
        Prompts with ``{}`` for the label, or the name of a set of them.
    background : sequence of str
        Labels that mean none of the others; `unknown` is the label of their pictures.
    multi_label : bool
        Whether pictures have all the labels that are true of them.
    precision : float, optional
        With `multi_label`, what the thresholds are to reach, between 0 and 1; the best F1 by
        default.
    coverage : float, optional
        How often the right label is in the set of likely labels, between 0 and 1; None: no sets.
    method : str
        How likely labels are chosen: ``lac`` or ``aps``.
    class_conditional : bool
        Sets whose coverage holds for the pictures of each label, and not on average alone. A label
        with too few pictures (9 for a coverage of 0.9) has the sets of all, with a warning.
    max_wrong : float, optional
        Give an answer only where at most this share of the answers is wrong, between 0 and 1: it
        is kept by 90 % of calibrations. Other pictures are *unknown*.
    prior : str, optional
        Learn from pictures without labels: ``mean`` or ``em``. ``unseen help calibrate`` says when
        each helps and when it harms.
    use_index : bool
        Take embeddings from an index where there is one.
    batch_size : int, optional
        Pictures that the network takes at once.
    progress : callable, optional
        Called with ``"pictures"``, how many are done, and of how many.
    on_read : callable, optional
        Called with the `ReadSummary`: which pictures take no part. By default that is a warning.

    Returns
    -------
    Calibration
        For just these labels: give it to `Classifier.classify`, or keep it with its `save`.

    Raises
    ------
    LabelError
        There are fewer than five pictures, too few to show `max_wrong`, or an option is not
        possible.
    SourceError
        The pictures are not there.

    Examples
    --------
    >>> import unseen
    >>> classifier = unseen.load("tests/fixtures/shapes-clip")
    >>> pairs = [("examples/cat.jpg", "a red circle")] * 3 + [("examples/cat.jpg", "a star")] * 3
    >>> calibration = unseen.calibrate(classifier, pairs, ["a red circle", "a star"], coverage=None)
    >>> calibration.pictures
    6
    """
    _check(precision, coverage, method, prior, max_wrong)
    if prior is not None and multi_label:
        raise LabelError("a prior is for one label a picture; leave multi_label out.")
    _check_mode(multi_label or prior is not None, coverage, class_conditional, max_wrong)
    compiled = classifier.compile(labels, template=template, background=background)
    if prior is None:
        annotations = read_annotations(cast("Labelled", source), multi_label=multi_label)
        matched = match(annotations, compiled.answers)
        unlabelled = sum(not annotation.labels for annotation in annotations)
        rows = np.flatnonzero(matched.usable(multi_label))
        annotations = [annotations[row] for row in rows]
    else:
        items = expand(cast("Sources", source))
        annotations = [Annotation(Path(item.name), (), content=item.content) for item in items]
    encoded = encode_annotations(
        classifier.encoder,
        annotations,
        source,
        use_index=use_index,
        batch_size=batch_size,
        progress=progress,
    )
    digests = content_digests(classifier.encoder, annotations, encoded.index)
    taught = example_digests(classifier.model, classifier.adapter)
    usable = [row for row in encoded.readable if digests[row] not in taught]
    seen = len(encoded.readable) - len(usable)
    summary = ReadSummary(
        len(annotations),
        {annotations[row].path: error for row, error in encoded.errors.items()},
        index=encoded.index,
        seen=seen,
    )
    if prior is None:
        summary = replace(
            summary,
            unlabelled=unlabelled,
            unmatched=matched.unmatched,
            multi_label=multi_label,
        )
    (on_read or ReadSummary.warn)(summary)
    if seen and len(usable) < FEWEST:
        raise LabelError(
            f"{len(usable)} pictures are new to the model and its adapter, which learnt from the "
            f"other {seen} and are surer of those than of others: give at least {FEWEST} new ones."
        )
    embeddings = encoded.embeddings[usable]
    if prior is not None:
        calibration = fit_prior(embeddings, compiled, prior)
    else:
        calibration = fit_calibration(
            embeddings,
            matched.y_true(rows[usable].tolist(), True),
            compiled,
            multi_label=multi_label,
            precision=precision,
            coverage=coverage,
            method=method,
            class_conditional=class_conditional,
            max_wrong=max_wrong,
        )
    examples = {digests[row] for row in usable} - {None}
    return replace(calibration, example_digests=tuple(sorted(map(str, examples))))


def fit_calibration(
    embeddings: Floats,
    y_true: Bools,
    compiled: CompiledLabels,
    *,
    multi_label: bool = False,
    precision: float | None = None,
    coverage: float | None = 0.9,
    method: str = "lac",
    class_conditional: bool = False,
    max_wrong: float | None = None,
) -> Calibration:
    """As `calibrate`, with embeddings that are there already.

    Parameters
    ----------
    embeddings : float32 array (n, d)
        Pictures, rows of length 1.
    y_true : bool array (n, a)
        Which of the answers of the label set are right of each picture.
    compiled : CompiledLabels
        The label set, for the model of the embeddings.
    multi_label, precision, coverage, method, class_conditional, max_wrong
        As `calibrate` takes them.

    Returns
    -------
    Calibration
        For just these labels.

    Raises
    ------
    LabelError
        There are too few pictures, or an option is not possible.
    """
    _check(precision, coverage, method, None, max_wrong)
    _check_mode(multi_label, coverage, class_conditional, max_wrong)
    _enough(len(embeddings))
    if multi_label:
        return _of_several_labels(embeddings, y_true, compiled, precision)
    cosines = compiled.similarities(embeddings)
    logits = score.logits(cosines, compiled.score)
    right = _of_labels(y_true, compiled)

    def fit(rows: Any) -> Any:
        temperature = fit_temperature(logits[rows], right[rows])
        return lambda others: uncalibrated_probabilities(logits[others] / temperature, compiled)

    before = compiled.of_answers(score.single_label(cosines, compiled.score))
    p, names = uncalibrated_probabilities(logits, compiled), compiled.answers
    return _calibration(
        compiled,
        len(embeddings),
        temperature=fit_temperature(logits, right),
        likely=None
        if coverage is None
        else fit_sets(p, y_true, names, coverage, method, class_conditional=class_conditional),
        selective=None if max_wrong is None else fit_selective(p, y_true, names, max_wrong),
        error=remaining_error(before, y_true.argmax(1), fit),
    )


def _of_several_labels(
    embeddings: Floats, y_true: Bools, compiled: CompiledLabels, precision: float | None
) -> Calibration:
    """In multi-label mode: a line for all labels, and a threshold for each."""
    right = y_true[:, : int((~compiled.background_mask).sum())]
    logits = foreground_logits(embeddings, compiled.similarities(embeddings), compiled)

    def fit(rows: Any) -> Any:
        temperature, shift = fit_line(logits[rows], right[rows])
        return lambda others: score.sigmoid(logits[others] / temperature + shift)

    temperature, shift = fit_line(logits, right)
    before = score.sigmoid(score.yes_no_logits(logits, compiled.score, compiled.competitors))
    calibration = _calibration(
        compiled,
        len(embeddings),
        multi_label=True,
        temperature=temperature,
        shift=shift,
        error=remaining_error(before, right, fit),
    )
    thresholds = fit_thresholds(calibration.multiple_labels(logits), right, precision)
    never = sum(threshold >= 1 for threshold in thresholds)
    if never:
        warnings.warn(
            f"these pictures cannot show that precision for {never} of {len(thresholds)} labels, "
            "which will never be given: give more pictures, or a lower precision.",
            UnseenWarning,
            stacklevel=3,
        )
    return replace(
        calibration,
        thresholds=dict(zip(compiled.answers, thresholds, strict=False)),
        threshold_goal="f1" if precision is None else f"precision {precision:g}",
    )


def fit_prior(embeddings: Floats, compiled: CompiledLabels, prior: str = "mean") -> Calibration:
    """As `calibrate` with a `prior`, of embeddings (n, d) that are there already. LabelError."""
    _check(None, None, "lac", prior, None)
    _enough(len(embeddings))
    logits = score.logits(compiled.similarities(embeddings), compiled.score)
    corrections = [float(x) for x in PRIORS[prior](logits)]
    names = [label.name for label in compiled.labels]
    by_name = dict(zip(names, corrections, strict=True))
    return _calibration(compiled, len(embeddings), prior=by_name)


def _check(
    precision: float | None,
    coverage: float | None,
    method: str,
    prior: str | None,
    max_wrong: float | None,
) -> None:
    shares = {"coverage": coverage, "precision": precision, "max_wrong": max_wrong}
    for name, value in shares.items():
        if value is not None and not 0 < value < 1:
            raise LabelError(f"{name} is {value}; give a number between 0 and 1.")
    if method not in METHODS:
        choices = ", ".join(METHODS)
        raise LabelError(f"unknown method {method!r} for sets; choose one of: {choices}.")
    if prior is not None and prior not in PRIORS:
        choices = ", ".join(PRIORS)
        raise LabelError(f"unknown prior {prior!r}; choose one of: {choices}.")


def _check_mode(
    other: bool, coverage: float | None, class_conditional: bool, max_wrong: float | None
) -> None:
    """`other`: several labels a picture, or a prior of pictures without labels."""
    if class_conditional and (other or coverage is None):
        raise LabelError(
            "class_conditional is for sets of likely labels, of labelled pictures with one label "
            "each; give a coverage, and leave multi_label and prior out."
        )
    if max_wrong is not None and other:
        raise LabelError(
            "max_wrong is for labelled pictures with one label each; leave multi_label and prior "
            "out. With several labels a precision is the like of it."
        )


def _enough(pictures: int) -> None:
    if pictures < FEWEST:
        raise LabelError(f"{pictures} pictures are too few to learn from: give at least {FEWEST}.")


def _calibration(compiled: CompiledLabels, pictures: int, **values: Any) -> Calibration:
    return Calibration(
        model=compiled.model,
        fingerprint=compiled.fingerprint,
        labels=tuple(label.name for label in compiled.labels),
        words_sha256=words_sha256(compiled),
        pictures=pictures,
        **{"multi_label": False, **values},
    )


def _of_labels(y_true: Bools, compiled: CompiledLabels) -> Bools:
    """(n, answers) → (n, labels): `unknown` is right where any background label would be."""
    background = compiled.background_mask
    right = np.zeros((len(y_true), len(background)), dtype=bool)
    right[:, ~background] = y_true[:, : (~background).sum()]
    if background.any():
        right[:, background] = y_true[:, -1:]
    return right
