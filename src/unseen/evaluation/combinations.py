"""What is compared: models with label sets, templates, adapters, calibrations, where they fit."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from unseen.classifier import Classifier
from unseen.datasets.annotation import Annotation, classes, match
from unseen.errors import LabelError, SourceError, UnseenWarning
from unseen.evaluation.bootstrap import SMALL_GROUP
from unseen.index.encoding import StageProgress
from unseen.labels.compiled import CompiledLabels
from unseen.prediction.calibration_file import AUTO, find_beside
from unseen.prediction.decision import Decision
from unseen.prediction.predict import label_probabilities


@dataclass(frozen=True)
class Choice:
    """One of several things to compare, and what the report calls it; by default the model's own,
    or none."""

    name: str | None = None
    value: Any = None


DEFAULT_CHOICES = (Choice(),)


def choices(
    texts: Sequence[str] | None, read: Callable[[str], Any] = str, *, none: bool = False
) -> list[Choice]:
    """The things to compare of a repeatable option, and what the report calls them.

    `read` makes the thing of its text. `none`: the text "none" stands for the model without one.

    >>> from unseen.evaluation.evaluation import choices
    >>> [choice.value for choice in choices(["a {}", "none"], none=True)]
    ['a {}', None]
    >>> choices(None)
    [Choice(name=None, value=None)]
    """
    return [
        Choice(text, None if none and text == "none" else read(text)) for text in texts or ()
    ] or [Choice()]


@dataclass(frozen=True)
class Comparison:
    """What each classifier is combined with, and how the answers are judged.

    Parameters
    ----------
    labels, templates, adapters, calibrations : sequence of Choice
        Label sets and templates as `Classifier.compile` takes them, `Adapter`s and `Calibration`s;
        a calibration that is ``"auto"`` is the one beside the label file, where it fits. Every
        combination is a candidate.
    background : sequence of str
        Labels that mean none of the others.
    multi_label : bool
        Whether a picture may have several labels.
    top_k : sequence of int, optional
        Within how many labels the right one counts.
    group : str, optional
        A column of the table: the figures of each group of pictures are compared with the rest.
    min_group : int
        Pictures that a group needs for figures of its own.
    use_index : bool
        Take embeddings from an index where there is one.
    batch_size : int, optional
        Pictures that the network takes at once.
    explain : bool
        Draw a map of each of the worst mistakes.
    """

    labels: Sequence[Choice] = DEFAULT_CHOICES
    templates: Sequence[Choice] = DEFAULT_CHOICES
    adapters: Sequence[Choice] = DEFAULT_CHOICES
    calibrations: Sequence[Choice] = DEFAULT_CHOICES
    background: Sequence[str] = ()
    multi_label: bool = False
    top_k: Sequence[int] | None = None
    group: str | None = None
    min_group: int = SMALL_GROUP
    use_index: bool = True
    batch_size: int | None = None
    explain: bool = False

    @property
    def kind(self) -> str:
        """As the report has it."""
        return "multi" if self.multi_label else "single"


@dataclass(frozen=True)
class Trial:
    """One combination that fits: its labels are compiled, and its answers have these names."""

    labels: Choice
    template: Choice
    adapter: Choice
    calibration: Choice
    compiled: CompiledLabels
    decision: Decision
    names: list[str]
    unused_calibration: str | None = None  # beside the labels, and why it does not fit


class _Misfits:
    """Of each adapter and calibration why it does not fit; what fits once is no mistake."""

    def __init__(self) -> None:
        self._errors: dict[int, tuple[Choice, LabelError | None]] = {}

    def fits(self, choice: Choice) -> None:
        self._errors[id(choice)] = choice, None

    def fits_not(self, choice: Choice, error: LabelError) -> None:
        self._errors.setdefault(id(choice), (choice, error))

    @property
    def errors(self) -> list[tuple[Choice, LabelError]]:
        return [(choice, error) for choice, error in self._errors.values() if error is not None]


def check_trials(
    classifiers: Iterable[Classifier],
    annotations: Sequence[Annotation],
    comparison: Comparison,
    progress: StageProgress | None = None,
) -> None:
    """What would fail after pictures were encoded, raised before that.

    A model that is not there; an adapter or calibration that fits nothing; labels that no picture
    has.
    """
    misfits = _Misfits()
    names: set[tuple[str, ...]] = set()
    for classifier in classifiers:
        trials = _trials(classifier, annotations, comparison, progress, misfits)
        names |= {tuple(trial.names) for trial in trials}
    for _, error in misfits.errors:
        raise error
    for answers in names:
        if not match(annotations, list(answers)).usable(comparison.multi_label).any():
            shown = ", ".join(answers[:5]) + (", …" if len(answers) > 5 else "")
            raise SourceError(f"no picture has one of the labels {shown}: none is left to judge.")


def fitting_trials(
    classifier: Classifier,
    annotations: Sequence[Annotation],
    comparison: Comparison,
    progress: StageProgress | None = None,
) -> list[Trial]:
    """The combinations of one model; warnings say which adapters and calibrations fit none."""
    misfits = _Misfits()
    trials = _trials(classifier, annotations, comparison, progress, misfits)
    for choice, error in misfits.errors:
        warnings.warn(
            f"{classifier.model.name} without {choice.name}: {error}", UnseenWarning, stacklevel=3
        )
    for unused in dict.fromkeys(trial.unused_calibration for trial in trials):
        if unused is not None:
            warnings.warn(unused, UnseenWarning, stacklevel=3)
    return trials


def _trials(
    classifier: Classifier,
    annotations: Sequence[Annotation],
    comparison: Comparison,
    progress: StageProgress | None,
    misfits: _Misfits,
) -> list[Trial]:
    """The combinations that fit."""
    trials: list[Trial] = []
    own_labels = None if classifier.model.labels else classes(annotations)
    no_pictures = np.zeros((0, classifier.model.dimension), dtype=np.float32)
    for labels, template in product(comparison.labels, comparison.templates):
        compiled = classifier.compile(
            own_labels if labels.value is None else labels.value,
            template=template.value,
            background=comparison.background,
            progress=None if progress is None else lambda *done: progress("prompts", *done),
        )
        for adapter, choice in product(comparison.adapters, comparison.calibrations):
            part, calibration, unused = adapter, choice, None
            try:
                if adapter.value is not None:
                    adapter.value.check(classifier.model)
                adapted = compiled if adapter.value is None else adapter.value.apply(compiled)
                misfits.fits(adapter)
                if choice.value == AUTO:
                    calibration, unused = _beside(labels.value, adapted, comparison.multi_label)
                part = calibration
                decision = Decision(comparison.multi_label, calibration=calibration.value)
                names, _, _ = label_probabilities(no_pictures, adapted, decision)
            except LabelError as error:
                if part.value is None:
                    raise  # the mode and the labels: nothing can be left out
                misfits.fits_not(part, error)
                continue
            misfits.fits(calibration)
            trials.append(
                Trial(labels, template, adapter, calibration, adapted, decision, names, unused)
            )
    return trials


def _beside(
    labels: object, compiled: CompiledLabels, multi_label: bool
) -> tuple[Choice, str | None]:
    """The calibration beside a label file, where it fits; and else why it is not used."""
    neighbour = find_beside(labels, compiled, multi_label=multi_label)
    if neighbour is None:
        return Choice(), None
    if neighbour.misfit is not None:
        return Choice(), f"{neighbour.path} is not used: {neighbour.misfit}."
    return Choice(str(neighbour.path), neighbour.calibration), None
