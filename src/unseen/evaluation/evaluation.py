"""Labelled pictures → how often a classifier is right: `evaluate`, and `compare` for several."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.classifier import Classifier, load
from unseen.datasets.annotation import Annotation, Match, match
from unseen.datasets.read_summary import ReadSummary
from unseen.datasets.readers import read_annotations
from unseen.errors import ModelError, SourceError, UnseenError, UnseenWarning
from unseen.evaluation import metrics, retrieval
from unseen.evaluation.bootstrap import SMALL_GROUP
from unseen.evaluation.combinations import (
    Choice as Choice,
)
from unseen.evaluation.combinations import (
    Comparison as Comparison,
)
from unseen.evaluation.combinations import Trial, check_trials, fitting_trials
from unseen.evaluation.combinations import choices as choices
from unseen.evaluation.document import TOP_K, Answers, Candidate, document, letter
from unseen.evaluation.metrics import Metric
from unseen.evaluation.mistakes import explain_mistakes
from unseen.evaluation.report import EvaluationReport
from unseen.index.encoding import (
    EncodedPictures,
    StageProgress,
    content_digests,
    encode_annotations,
)
from unseen.labels.compiled import CompiledLabels
from unseen.load_options import LoadOptions
from unseen.prediction.calibration import Calibration
from unseen.prediction.calibration_file import AUTO
from unseen.prediction.conformal import Promises
from unseen.prediction.predict import label_probabilities, promises
from unseen.prediction.seen import example_digests
from unseen.results.manifest import manifest
from unseen.sources.expand import left_out
from unseen.types import LabelsLike, TemplateLike

if TYPE_CHECKING:
    from unseen.datasets.readers import Labelled

NO_GROUP = "(none)"  # of a picture whose column is empty


def evaluate(
    classifier: Classifier,
    source: Labelled,
    labels: LabelsLike | CompiledLabels | None = None,
    *,
    template: TemplateLike = None,
    background: Sequence[str] = (),
    multi_label: bool = False,
    calibration: Calibration | str | Path | None = AUTO,
    top_k: Sequence[int] | None = None,
    group: str | None = None,
    min_group: int = SMALL_GROUP,
    use_index: bool = True,
    batch_size: int | None = None,
    explain: bool = False,
    progress: StageProgress | None = None,
    on_read: Callable[[ReadSummary], None] | None = None,
) -> EvaluationReport:
    """How often a classifier is right on pictures whose labels are known.

    Parameters
    ----------
    classifier : Classifier
        What `unseen.load` gives, with its adapter where it has one.
    source : str, Path, or iterable
        A folder in which each folder is a class, a .csv or .jsonl file with the columns `path` and
        `label`, or pairs of a picture and its label or labels.
    labels : LabelsLike or CompiledLabels, optional
        The labels among which it chooses. By default those of the model where it has its own, and
        otherwise the labels of the pictures.
    template : str or sequence of str, optional
        Prompts with ``{}`` for the label, or the name of a set of them.
    background : sequence of str
        Labels that mean none of the others.
    multi_label : bool
        Whether a picture may have several labels.
    calibration : Calibration, str or Path, optional
        What `unseen.calibrate` gave for these labels, or its file; None: none. By default
        (``"auto"``) the one beside the label file, as `Classifier.classify` takes it.
    top_k : sequence of int, optional
        Within how many labels the right one counts; 1 and 5 by default.
    group : str, optional
        A column of the table: the figures of each group of pictures are compared with the rest.
    min_group : int
        Pictures that a group needs for figures of its own.
    use_index : bool
        Take embeddings from an index where there is one.
    batch_size : int, optional
        Pictures that the network takes at once.
    explain : bool
        Draw a map of each of the worst mistakes: what spoke for the wrong label. They are in the
        page of `EvaluationReport.to_html`.
    progress : callable, optional
        Called with ``"pictures"``, ``"prompts"`` or ``"mistakes"``, how many are done, and of how
        many.
    on_read : callable, optional
        Called with the `ReadSummary`: which pictures take no part. By default that is a warning.

    Returns
    -------
    EvaluationReport
        Figures with 95 % intervals, and what they are made of.

    Raises
    ------
    SourceError
        There are no such pictures, or none of them can be judged.
    LabelError
        The labels, the calibration and the mode do not fit together.

    Examples
    --------
    >>> import unseen
    >>> pictures = [("examples/cat.jpg", "cat"), ("examples/dog.jpg", "dog")]
    >>> report = unseen.evaluate(unseen.load(), pictures)
    >>> report.figures["top1"].value
    1.0
    """
    if isinstance(calibration, (str, Path)) and calibration != AUTO:
        calibration = Calibration.load(calibration)
    name = str(labels) if isinstance(labels, (str, Path)) else None
    comparison = Comparison(
        labels=[Choice(name, labels)],
        templates=[Choice(_template_name(template), template)],
        calibrations=[Choice("in memory", calibration)],
        background=background,
        multi_label=multi_label,
        top_k=top_k,
        group=group,
        min_group=min_group,
        use_index=use_index,
        batch_size=batch_size,
        explain=explain,
    )
    return compare([classifier], source, comparison, progress=progress, on_read=on_read)


def compare(
    classifiers: Iterable[Classifier | LoadOptions],
    source: Labelled,
    comparison: Comparison | None = None,
    *,
    progress: StageProgress | None = None,
    on_read: Callable[[ReadSummary], None] | None = None,
    on_error: Callable[[UnseenError], None] | None = None,
) -> EvaluationReport:
    """Several models, label sets, templates, adapters and calibrations on the same pictures.

    What cannot be used is refused before a picture is encoded. An adapter or calibration that fits
    some of the others is left out, with a warning, where it does not fit.

    Parameters
    ----------
    classifiers : iterable of Classifier or LoadOptions
        One after another: those that are given as options, or by a generator that loads them, are
        in memory one at a time.
    source : str, Path, or iterable
        As `evaluate` takes it.
    comparison : Comparison, optional
        What each model is combined with.
    progress, on_read : callable, optional
        As `evaluate` takes them.
    on_error : callable, optional
        Called with what stops a model when others have answered; the report is then of those. By
        default it is raised.

    Returns
    -------
    EvaluationReport
        A candidate for each combination, compared with the first by a paired bootstrap.

    Raises
    ------
    SourceError, LabelError
        As `evaluate` does.
    """
    comparison = comparison or Comparison()
    annotations = read_annotations(source, multi_label=comparison.multi_label)
    where = str(source) if isinstance(source, (str, Path)) else "pictures in memory"
    groups = None if comparison.group is None else _groups(where, comparison.group, annotations)
    combinations: list[_Combination] = []
    explained: list[tuple[Classifier | LoadOptions, CompiledLabels]] = []
    errors: dict[int, str] = {}
    index = None
    digests: list[str | None] | None = None  # of the pictures, where a candidate has examples
    if isinstance(classifiers, Sequence):
        check_trials(map(_loaded, classifiers), annotations, comparison, progress)
    for source_of_model in classifiers:
        classifier = _loaded(source_of_model)
        try:
            trials = fitting_trials(classifier, annotations, comparison, progress)
            if not trials:  # said above; check_trials knows that others fit
                continue
            encoded = encode_annotations(
                classifier.encoder,
                annotations,
                source,
                use_index=comparison.use_index,
                batch_size=comparison.batch_size,
                progress=progress,
            )
        except UnseenError as error:
            if on_error is None or not combinations:
                raise
            on_error(error)
            continue
        errors |= encoded.errors
        index = index or encoded.index
        new = [_answers(trial, classifier, encoded, comparison) for trial in trials]
        if comparison.explain:
            explained += [(source_of_model, trial.compiled) for trial in trials]
        if digests is None and any(combination.examples for combination in new):
            digests = content_digests(classifier.encoder, annotations, encoded.index)
        combinations += new
    matches = [match(annotations, combination.names) for combination in combinations]
    usable = np.array([row not in errors for row in range(len(annotations))])
    for matched in matches:
        usable &= matched.usable(comparison.multi_label)
    summary = _summary(annotations, matches, errors, comparison.multi_label, index)
    files = left_out(str(source)) if isinstance(source, (str, Path)) else {}
    (on_read or ReadSummary.warn)(summary)
    if not usable.any():
        raise SourceError(f"{where}: no picture is left to judge.")
    rows, seen = _held_out(np.flatnonzero(usable), combinations, digests or [])
    paths = [annotations[row].path for row in rows]
    groups_of_rows = None if groups is None else [groups[row] for row in rows]
    candidates = []
    for combination, matched in zip(combinations, matches, strict=True):
        answers = combination.answers(matched, rows, comparison)
        answers.about["seen_in_training"] = len(combination.seen(rows, digests or []))
        candidates.append(Candidate.of(answers, paths, groups_of_rows, comparison.min_group))
    drawings: dict[str, dict[str, bytes]] = {}
    if comparison.explain:
        candidates, drawings = _explained(candidates, explained, progress)
    return EvaluationReport(
        document(
            comparison.kind,
            where,
            len(rows),
            summary.to_dict() | {"seen_in_training": seen, "files": files},
            candidates,
            None if groups is None else _group_facts(comparison, candidates[0]),
        ),
        drawings=drawings,
    )


def _explained(
    candidates: Sequence[Candidate],
    models: Sequence[tuple[Classifier | LoadOptions, CompiledLabels]],
    progress: StageProgress | None,
) -> tuple[list[Candidate], dict[str, dict[str, bytes]]]:
    """The candidates, their mistakes with a reason, and the drawings by letter and path.

    A model that was given as options is loaded again: only one is in memory at a time.
    """
    result, drawings = [], {}
    for number, (candidate, (model, compiled)) in enumerate(zip(candidates, models, strict=True)):
        try:
            mistakes, drawn = explain_mistakes(
                _loaded(model), compiled, candidate.mistakes, progress
            )
        except ModelError as error:
            warnings.warn(f"{error}", UnseenWarning, stacklevel=3)
            result.append(candidate)
            continue
        result.append(replace(candidate, mistakes=mistakes))
        drawings[letter(number)] = drawn
    return result, drawings


def known_metrics(kind: str, top_k: Sequence[int] | None = None) -> Mapping[str, Metric]:
    """The metrics of a kind of evaluation, by name; their values mean nothing.

    >>> from unseen.evaluation.evaluation import known_metrics
    >>> [*known_metrics("retrieval", [1])]
    ['image_to_text_1', 'text_to_image_1']
    """
    p = np.full((1, 2), 0.5)
    if kind == "retrieval":
        return metrics.retrieval(p, p, np.zeros((1, 2), np.intp), top_k or retrieval.TOP_K)
    if kind == "multi":
        return metrics.multi(p, p > 1, p > 1)
    return metrics.single(p, np.zeros(1, dtype=np.intp), top_k or TOP_K, p > 0, p[:, 0] > 0)


@dataclass(frozen=True)
class _Combination:
    """A candidate, and its answers about all pictures, of which some are not judged."""

    about: dict[str, Any]
    names: list[str]
    probabilities: Any  # (n, k)
    thresholds: Any  # (k,)
    examples: frozenset[str]  # the pictures that it has learnt from
    promises: Promises

    def seen(self, rows: Sequence[int], digests: Sequence[str | None]) -> list[int]:
        """Of these pictures the ones that it has learnt from."""
        return [row for row in rows if self.examples and digests[row] in self.examples]

    def answers(self, matched: Match, rows: Any, comparison: Comparison) -> Answers:
        """About the pictures that are judged."""
        probabilities = self.probabilities[rows]
        return Answers(
            self.about,
            self.names,
            matched.unused,
            probabilities,
            matched.y_true(rows.tolist(), comparison.multi_label),
            probabilities >= self.thresholds if comparison.multi_label else None,
            comparison.top_k,
            self.promises.of(rows),
        )


def _loaded(classifier: Classifier | LoadOptions) -> Classifier:
    return load(classifier) if isinstance(classifier, LoadOptions) else classifier


def _answers(
    trial: Trial, classifier: Classifier, encoded: EncodedPictures, comparison: Comparison
) -> _Combination:
    names, probabilities, thresholds = label_probabilities(
        encoded.embeddings, trial.compiled, trial.decision
    )
    adapter, calibration = trial.adapter, trial.calibration
    about = {
        **retrieval.model_facts(classifier),
        "template": trial.template.name,
        "labels_from": trial.labels.name,
        "adapter": None if adapter.value is None else adapter.name,
        "calibration": None if calibration.value is None else calibration.name,
        "label_count": len(names),
        "run": _manifest(classifier, trial.compiled, comparison.kind, calibration.value),
    }
    taught = adapter.value or classifier.adapter
    held_out = None if taught is None else taught.held_out
    examples = example_digests(classifier.model, taught, calibration.value)
    about |= {} if held_out is None else {"held_out": held_out}
    about |= {} if calibration.value is None else _promised(calibration.value)
    promised = promises(encoded.embeddings, trial.compiled, trial.decision)
    return _Combination(about, names, probabilities, thresholds, examples, promised)


def _promised(calibration: Calibration) -> dict[str, Any]:
    """What the figures of sets and of answers are to be held against."""
    likely, selective = calibration.likely, calibration.selective
    facts: dict[str, Any] = {}
    if likely is not None:
        own = sorted(likely.reach_by_label or ())
        facts["sets"] = {"coverage": likely.coverage, "method": likely.method, "own_reach": own}
    if selective is not None:
        facts["answers"] = {
            "max_wrong": selective.max_wrong,
            "confidence": selective.confidence,
            "threshold": selective.threshold,
        }
    return facts


def _held_out(
    rows: Any, combinations: Sequence[_Combination], digests: Sequence[str | None]
) -> tuple[Any, int]:
    """The rows that no candidate has learnt from, and how many the others are.

    Candidates are compared on the same pictures. Where each picture has taught one of them, all
    are judged, and the candidates say what they have seen.
    """
    seen = {row for combination in combinations for row in combination.seen(rows, digests)}
    new = np.array([row for row in rows if row not in seen], dtype=np.intp)
    return (new, len(seen)) if len(new) else (rows, 0)


def _manifest(
    classifier: Classifier, compiled: CompiledLabels, kind: str, calibration: Calibration | None
) -> dict[str, Any]:
    data = None if calibration is None else calibration.to_data()
    facts = retrieval.run_options(classifier, kind)
    return manifest(classifier.model, compiled, {**facts, "calibration": data})


def _template_name(template: TemplateLike) -> str | None:
    if template is None or isinstance(template, str):
        return template
    return ", ".join(template)


def _groups(source: str, column: str, annotations: Sequence[Annotation]) -> list[str]:
    """The group of each picture."""
    columns = annotations[0].columns
    if column not in columns:
        known = ", ".join(columns) or "none: groups are columns of a CSV file"
        raise SourceError(f"{source}: there is no column {column!r}; there are {known}.")
    groups = [annotation.columns[column] or NO_GROUP for annotation in annotations]
    if len(set(groups)) < 2:
        raise SourceError(f"{source}: every {column!r} is {groups[0]!r}; groups need two or more.")
    return groups


def _group_facts(comparison: Comparison, first: Candidate) -> dict[str, Any]:
    """The column, and the figure that is shown by group."""
    metric = "exact" if comparison.multi_label else next(iter(first.metrics))
    return {"column": comparison.group, "least": comparison.min_group, "metric": metric}


def _summary(
    annotations: Sequence[Annotation],
    matches: Sequence[Match],
    errors: Mapping[int, str],
    multi_label: bool,
    index: Path | None,
) -> ReadSummary:
    unmatched: dict[str, int] = {}
    for matched in matches:
        unmatched |= matched.unmatched
    return ReadSummary(
        len(annotations),
        {annotations[row].path: error for row, error in errors.items()},
        sum(not annotation.labels for annotation in annotations),
        unmatched,
        multi_label,
        index,
        [*Counter(tuple(matched.unused) for matched in matches)],
    )
