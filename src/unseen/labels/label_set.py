"""Label sets: labels × templates → prompts, for any model.

A label may bring its own prompts, which are used as they are (a `{}` in them is the label); every
other label goes through the templates. Several prompts of a label are averaged after they were
normalised, and normalised again (Radford et al. 2021, §3.1.4).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from unseen.errors import LabelError, LabelWarning, UnseenWarning
from unseen.labels import label_file
from unseen.labels.label_file import LabelRow
from unseen.labels.templates import fill, templates
from unseen.types import LabelsLike, TemplateLike

UNKNOWN = "unknown"  # the answer under which background labels are reported

LINES = ".txt"  # the suffix of files with a label a line
LISTS = 3  # lines with commas that are taken for lists of labels
SHOWN_NAMES = 3  # in a repr
SHOWN_CHARS = 80  # of a wrong value, in a message
FIELDS = {"prompts", "threshold", "background"}  # of one label in a JSON or YAML file
DOCUMENT_KEYS = {"labels", "templates", "background", "name"}  # of a whole file


@dataclass(frozen=True)
class Label:
    """One label: its name, its own prompts (if any), and how it is treated.

    Parameters
    ----------
    name : str
        What a prediction calls it.
    prompts : tuple of str
        Texts in place of the templates; a ``{}`` in one is the name. Empty: the templates count.
    threshold : float, optional
        In multi-label mode it is a yes from this probability on. None: from ``min_score``, or 0.5.
    background : bool
        Whether it means *none of these*: where it wins, the answer is unknown.

    Examples
    --------
    >>> Label("cat", threshold=0.7)
    Label('cat', threshold=0.7)
    """

    name: str
    prompts: tuple[str, ...] = ()
    threshold: float | None = None
    background: bool = False

    def __repr__(self) -> str:
        given = "".join(
            f", {option.name}={value!r}"
            for option in fields(self)[1:]
            if (value := getattr(self, option.name)) != option.default
        )
        return f"Label({self.name!r}{given})"


@dataclass(frozen=True)
class LabelSet:
    """Labels and templates, ready for any model.

    Parameters
    ----------
    labels : tuple of Label
        The labels, in order.
    templates : tuple of str, optional
        Texts with a ``{}`` for the label. None: the model's own template.
    name : str
        The name of the set in messages; it does not count in comparisons.

    Examples
    --------
    >>> LabelSet.of("cat, dog").names
    ('cat', 'dog')
    >>> LabelSet.of({"cat": "a photo of a kitten"}).prompts("a photo of {}.")
    [('a photo of a kitten',)]
    >>> LabelSet.of(["cat", "dog", "owl", "fox"], template=["a photo of a {}", "a {}"])
    LabelSet('labels', 4 labels: 'cat', 'dog', 'owl', …; 2 templates)
    """

    labels: tuple[Label, ...]
    templates: tuple[str, ...] | None = None
    name: str = field(default="labels", compare=False)

    def __repr__(self) -> str:
        names = [repr(name) for name in self.names[:SHOWN_NAMES]]
        shown = ", ".join([*names, "…"] if len(self.labels) > SHOWN_NAMES else names)
        templates = "" if self.templates is None else f"; {len(self.templates)} templates"
        return f"LabelSet({self.name!r}, {len(self.labels)} labels: {shown}{templates})"

    @classmethod
    def of(
        cls,
        labels: LabelsLike,
        *,
        template: TemplateLike = None,
        background: Iterable[str] = (),
    ) -> LabelSet:
        """Labels from whatever holds them. Duplicates are merged, with a warning.

        Parameters
        ----------
        labels : list, dict, str, Path or LabelSet
            A list of names; a dict from a label to its prompt, its prompts, or a dict with
            `prompts`, `threshold` and `background`; the path of a .txt file (one label a line),
            .csv file (label, prompt, …), .json or .yaml file; or a string with commas between
            the labels.
        template : str or list of str, optional
            A string with `{}`, several, or the name of a set of templates.
        background : iterable of str
            Labels that mean *none of these*.

        Returns
        -------
        LabelSet

        Raises
        ------
        LabelError
            If there are no labels, a label is empty, a template has no `{}`, or the file cannot
            be read.
        """
        label_set = labels if isinstance(labels, LabelSet) else _read(labels)
        return label_set.extended(template, background)

    @classmethod
    def from_data(cls, data: Iterable[str] | Mapping[str, Any]) -> LabelSet:
        """As `of`, from a list or a dict of labels alone: no file is ever opened.

        Parameters
        ----------
        data : list of str, or dict
            The labels, as `of` takes them.

        Returns
        -------
        LabelSet
        """
        if isinstance(data, Mapping):
            return cls(_merged(_from_pairs(data.items(), "labels")))
        return cls(_merged(Label(_clean(name)) for name in data))

    def extended(self, template: TemplateLike = None, background: Iterable[str] = ()) -> LabelSet:
        """The set with other templates, and with more background labels.

        Parameters
        ----------
        template : str or list of str, optional
            In place of the templates of the set; None keeps them.
        background : iterable of str
            Names of background labels to add.

        Returns
        -------
        LabelSet

        Raises
        ------
        LabelError
            If no label is left that is not background.
        """
        label_set = self
        extra = tuple(Label(_clean(name), background=True) for name in background)
        if extra:
            label_set = replace(label_set, labels=_merged(label_set.labels + extra))
        if template is not None:
            label_set = replace(label_set, templates=templates(template))
        if not any(not label.background for label in label_set.labels):
            raise LabelError("no labels were given: at least one is needed, for example cat,dog.")
        return label_set

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the labels, background labels too."""
        return tuple(label.name for label in self.labels)

    def prompts(self, default_template: str) -> list[tuple[str, ...]]:
        """The prompts of each label, in order.

        Parameters
        ----------
        default_template : str
            Used where the set has no templates.

        Returns
        -------
        list of tuple of str
            One tuple a label.
        """
        patterns = self.templates or (default_template,)
        return [
            tuple(fill(pattern, label.name) for pattern in label.prompts or patterns)
            for label in self.labels
        ]


def _read(labels: Any) -> LabelSet:
    if isinstance(labels, Path):
        return _read_file(labels)
    if isinstance(labels, str):
        path = Path(labels)
        if path.suffix.lower() in label_file.READERS:
            return _read_file(path)
        return LabelSet(_merged(Label(_clean(name)) for name in labels.split(",")))
    return _from_data(labels, "labels")


def _read_file(path: Path) -> LabelSet:
    try:
        label_set = _from_data(label_file.read(path), str(path))
    except LabelError as error:
        if str(error).startswith(str(path)):
            raise
        raise LabelError(f"{path}: {error}") from None
    if not label_set.labels:
        raise LabelError(f"{path}: the file has no labels.")
    if path.suffix.lower() == LINES and _has_lists(label_set.names):
        warnings.warn(
            f"{path}: each line is one label, commas and all: {_shown(label_set.names[0])}; put "
            "each label on a line of its own.",
            LabelWarning,
            stacklevel=2,
        )
    return replace(label_set, name=path.stem)


def _has_lists(lines: Sequence[str]) -> bool:
    """Whether a few lines all look like lists; long ones are names with their synonyms."""
    return len(lines) <= LISTS and all("," in line.strip(",") for line in lines)


def _from_data(data: Any, where: str) -> LabelSet:
    """A list or a dict, from a call or from a file."""
    if isinstance(data, Mapping):
        if isinstance(data.get("labels"), (list, dict)):
            return _from_document(data, where)
        return LabelSet(_merged(_from_pairs(data.items(), where)))
    if isinstance(data, Iterable) and not isinstance(data, (bytes, str)):
        return LabelSet(_merged(_from_rows(data, where)))
    raise LabelError(f"{where}: labels are a list or a dict, not {type(data).__name__}.")


def _from_document(data: Mapping[str, Any], where: str) -> LabelSet:
    """{"labels": …, "templates": …, "background": […]}."""
    unknown = set(data) - DOCUMENT_KEYS
    if unknown:
        raise LabelError(
            f"{where}: unknown keys {_sorted(unknown)}; beside labels there may be templates, "
            "background and name."
        )
    template, background = data.get("templates"), data.get("background") or ()
    if not isinstance(template, (str, list, tuple, type(None))):
        raise LabelError(f"{where}: templates are a text or a list, not {_shown(template)}.")
    if not isinstance(background, (list, tuple)):
        raise LabelError(f"{where}: background is a list of labels, not {_shown(background)}.")
    label_set = LabelSet.of(data["labels"], template=template, background=background)
    name = data.get("name", label_set.name)
    return replace(label_set, name=name if isinstance(name, str) else _shown(name))


def _from_rows(rows: Iterable[Any], where: str) -> Iterator[Label]:
    """Names, and rows of a CSV file."""
    for row in rows:
        if isinstance(row, LabelRow):
            yield from _from_pairs([row], where)
        else:
            yield Label(_clean(row))


def _from_pairs(pairs: Iterable[tuple[Any, Any]], where: str) -> Iterator[Label]:
    for name, value in pairs:
        details = value if isinstance(value, Mapping) else {"prompts": value}
        unknown = set(details) - FIELDS
        if unknown:
            raise LabelError(
                f"{where}: {_shown(name)} has unknown keys {_sorted(unknown)}; known: "
                f"{sorted(FIELDS)}."
            )
        yield Label(
            _clean(name),
            _prompts_of(details.get("prompts"), name),
            _threshold_of(details.get("threshold"), name, where),
            bool(details.get("background", False)),
        )


def _threshold_of(value: Any, name: Any, where: str) -> float | None:
    if value is None:
        return None
    try:
        threshold = float(value)
    except (TypeError, ValueError, OverflowError):
        raise LabelError(
            f"{where}: the threshold of {_shown(name)} is {_shown(value)}, which is not a number."
        ) from None
    if not 0 <= threshold <= 1:
        raise LabelError(
            f"{where}: the threshold of {_shown(name)} is {_shown(value)}, not in 0…1."
        )
    return threshold


def _prompts_of(value: Any, name: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, Mapping) or not isinstance(value, Iterable):
        raise LabelError(
            f"the prompts of the label {_shown(name)} are a text or a list of texts, not "
            f"{_shown(value)}."
        )
    prompts = [value] if isinstance(value, str) else list(value)
    for prompt in prompts:
        if not isinstance(prompt, str) or not prompt.strip():
            raise LabelError(f"the label {_shown(name)} has a prompt that is empty or not text.")
    return tuple(prompts)


def _shown(value: Any) -> str:
    """The start of a value of a file, for messages."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits; a list in itself
        return f"a value of the type {type(value).__name__}"
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"


def _sorted(keys: Iterable[Any]) -> str:
    return "[" + ", ".join(sorted(map(_shown, keys))) + "]"


def _clean(name: Any) -> str:
    if not isinstance(name, str):
        kind = type(name).__name__
        raise LabelError(f"a label must be text; {_shown(name)} is of the type {kind}.")
    if not name.strip():
        raise LabelError("an empty label was given; remove it, or the doubled comma.")
    return " ".join(name.split())


def _merged(labels: Iterable[Label]) -> tuple[Label, ...]:
    """Labels of one name become one, with the prompts of all."""
    merged: dict[str, Label] = {}
    duplicates = []
    for label in labels:
        first = merged.get(label.name)
        if first is None:
            merged[label.name] = label
            continue
        if first.background != label.background:
            raise LabelError(f"{label.name!r} is both a label and a background label.")
        duplicates.append(label.name)
        prompts = tuple(dict.fromkeys(first.prompts + label.prompts))
        merged[label.name] = replace(first, prompts=prompts)
    if duplicates:
        names = ", ".join(repr(name) for name in dict.fromkeys(duplicates))
        warnings.warn(f"labels given twice were merged: {names}", UnseenWarning, stacklevel=2)
    return tuple(merged.values())
