"""`examine`: the words of a label set, before any picture."""

from __future__ import annotations

import warnings
from pathlib import Path

from unseen.classifier import Classifier
from unseen.errors import LabelError, LabelWarning, UnseenWarning
from unseen.label_lint import kinds, lexical, semantic
from unseen.label_lint.context import Subject
from unseen.label_lint.findings import WARNING, Finding, by_severity
from unseen.labels.compiled import CompiledLabels
from unseen.labels.label_set import LabelSet
from unseen.system.safetensors_file import SUFFIX
from unseen.types import LabelsLike, Progress, TemplateLike

# Labels that are reported as something else: their vectors are not compared with others.
NOT_WORDS = ("unreadable", "file-name", "number", "catch-all")


def examine(
    classifier: Classifier,
    labels: LabelsLike | CompiledLabels,
    *,
    template: TemplateLike = None,
    background: tuple[str, ...] = (),
    concept: str | None = None,
    progress: Progress | None = None,
) -> tuple[list[Finding], Subject]:
    """All findings of a label set.

    Parameters
    ----------
    classifier : Classifier
        The model that the labels are for.
    labels : list, dict, str, Path, LabelSet or CompiledLabels
        As `Classifier.compile` takes them.
    template : str or list of str, optional
        As `Classifier.compile` takes it.
    background : tuple of str
        Labels that mean *none of these*.
    concept : str, optional
        What all labels are a kind of.
    progress : callable, optional
        Called with how many prompts are encoded, and of how many.

    Returns
    -------
    findings : list of Finding
        The worst first.
    subject : Subject
        The label set as the model has it, for `look_at`.

    Raises
    ------
    LabelError
        If the labels are invalid, or the model has no text network.
    """
    if classifier.model.labels:
        raise LabelError(
            f"{classifier.model.name} learnt its labels from pictures and has no text network; "
            "check the labels with the model that taught it."
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UnseenWarning)
        if isinstance(labels, (str, Path)) and Path(labels).suffix == SUFFIX:
            labels = CompiledLabels.load(labels)
        if isinstance(labels, CompiledLabels):
            labels = classifier.compile(
                labels, template=template, background=background, concept=concept
            )
            labels = LabelSet(labels.labels, name=labels.name)
        label_set = LabelSet.of(labels, template=template, background=background, concept=concept)
    subject = Subject(classifier, label_set, progress)
    findings = [
        Finding(
            "label-file", WARNING, (), str(warning.message), "write the file anew, and look again."
        )
        if issubclass(warning.category, LabelWarning)
        else Finding("given-twice", WARNING, (), str(warning.message), "keep one of each.")
        for warning in caught
        if issubclass(warning.category, UnseenWarning)
    ]
    findings += lexical.run_checks(subject)
    findings += kinds.run_checks(subject)
    reported = [frozenset(f.labels) for f in findings if len(f.labels) > 1]
    not_words = frozenset(name for f in findings if f.kind in NOT_WORDS for name in f.labels)
    findings += [
        finding
        for finding in semantic.run_checks(subject, not_words)
        if len(finding.labels) < 2 or not any(names >= {*finding.labels} for names in reported)
    ]
    return by_severity(findings), subject
