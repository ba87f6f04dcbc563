"""The words of a label set, before any picture."""

from __future__ import annotations

import warnings
from pathlib import Path

from unseen.classifier import Classifier
from unseen.encoder import Progress
from unseen.errors import LabelError, UnseenWarning
from unseen.label_lint import lexical, semantic
from unseen.label_lint.context import Subject
from unseen.label_lint.findings import WARNING, Finding, by_severity
from unseen.labels.compiled import CompiledLabels
from unseen.labels.label_set import LabelSet, LabelsLike
from unseen.labels.templates import TemplateLike
from unseen.system.safetensors_file import SUFFIX

# Labels that are told to be something else: whether they are like others is no matter.
NO_WORDS = ("unreadable", "file-name", "number", "catch-all")


def examine(
    classifier: Classifier,
    labels: LabelsLike | CompiledLabels,
    *,
    template: TemplateLike = None,
    background: tuple[str, ...] = (),
    progress: Progress | None = None,
) -> tuple[list[Finding], Subject]:
    """Everything found in a label set, the worst first, and the subject, for `look_at`.

    `labels`, `template`, `background`: as `Classifier.compile` takes them. Raises LabelError.
    """
    if classifier.model.labels:
        raise LabelError(
            f"{classifier.model.name} was taught its labels by pictures, and words say nothing to "
            "it: look them over with the model that taught it."
        )
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UnseenWarning)
        if isinstance(labels, (str, Path)) and Path(labels).suffix == SUFFIX:
            labels = CompiledLabels.load(labels)
        if isinstance(labels, CompiledLabels):
            labels = classifier.compile(labels, template=template, background=background)
            labels = LabelSet(labels.labels, name=labels.name)
        label_set = LabelSet.of(labels, template=template, background=background)
    subject = Subject(classifier, label_set, progress)
    findings = [
        Finding("given-twice", WARNING, (), str(warning.message), "keep one of each.")
        for warning in said
        if issubclass(warning.category, UnseenWarning)
    ]
    findings += lexical.checked(subject)
    told = [frozenset(f.labels) for f in findings if len(f.labels) > 1]
    no_words = frozenset(name for f in findings if f.kind in NO_WORDS for name in f.labels)
    findings += [
        finding
        for finding in semantic.checked(subject, no_words)
        if len(finding.labels) < 2 or not any(told_of >= {*finding.labels} for told_of in told)
    ]
    return by_severity(findings), subject
