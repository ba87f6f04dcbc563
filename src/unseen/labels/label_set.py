"""Label sets: labels × templates → prompts, for any model.

A label may bring its own prompts, which are used as they are (a `{}` in them is the label); every
other label goes through the templates. Several prompts of a label are averaged after they were
normalised, and normalised again (Radford et al. 2021, §3.1.4).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from unseen.errors import LabelError, UnseenWarning
from unseen.labels import label_file
from unseen.labels.label_file import LabelRow
from unseen.labels.templates import TemplateLike, fill, templates

# What `LabelSet.of` takes.
LabelsLike: TypeAlias = "LabelSet | str | Path | Mapping[str, Any] | Iterable[str]"

UNKNOWN = "unknown"  # the answer under which background labels are reported

FIELDS = {"prompts", "threshold", "background"}  # of one label in a JSON or YAML file
DOCUMENT_KEYS = {"labels", "templates", "background", "name"}  # of a whole file


@dataclass(frozen=True)
class Label:
    """One label: its name, its own prompts (if any), and how it is treated.

    Parameters
    ----------
    name : str
        What a prediction says.
    prompts : tuple of str
        Prompts that take the place of the templates; a `{}` in them is the name.
    threshold : float, optional
        The probability from which multi-label mode says yes, 0…1.
    background : bool
        The label may win, and is then reported as `unknown`.
    """

    name: str
    prompts: tuple[str, ...] = ()
    threshold: float | None = None
    background: bool = False


@dataclass(frozen=True)
class LabelSet:
    """Labels and templates, ready for any model.

    Parameters
    ----------
    labels : tuple of Label
        The labels, in the order of their probabilities.
    templates : tuple of str, optional
        Each holds `{}`; None leaves them to the model.
    name : str
        The name of the set in messages; it does not count in comparisons.

    Examples
    --------
    >>> LabelSet.of("cat, dog").names
    ('cat', 'dog')
    >>> LabelSet.of({"cat": "a photo of a kitten"}).prompts("a photo of {}.")
    [('a photo of a kitten',)]
    """

    labels: tuple[Label, ...]
    templates: tuple[str, ...] | None = None
    name: str = field(default="labels", compare=False)

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
    label_set = _from_data(label_file.read(path), str(path))
    if not label_set.labels:
        raise LabelError(f"{path}: the file has no labels.")
    return replace(label_set, name=path.stem)


def _from_data(data: Any, where: str) -> LabelSet:
    """A list or a dict, from a call or from a file."""
    if isinstance(data, Mapping):
        if isinstance(data.get("labels"), (list, dict)):
            return _from_document(data, where)
        return LabelSet(_merged(_from_pairs(data.items(), where)))
    if isinstance(data, Iterable) and not isinstance(data, (bytes, str)):
        return LabelSet(_merged(_from_rows(data, where)))
    raise LabelError(f"{where}: labels are a list or a dict, not a {type(data).__name__}.")


def _from_document(data: Mapping[str, Any], where: str) -> LabelSet:
    """{"labels": …, "templates": …, "background": […]}."""
    unknown = set(data) - DOCUMENT_KEYS
    if unknown:
        raise LabelError(
            f"{where}: unknown keys {sorted(unknown)}; beside labels there may be templates, "
            "background and name."
        )
    label_set = LabelSet.of(
        data["labels"], template=data.get("templates"), background=data.get("background") or ()
    )
    return replace(label_set, name=str(data.get("name", label_set.name)))


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
                f"{where}: {name!r} has unknown keys {sorted(unknown)}; known: {sorted(FIELDS)}."
            )
        threshold = details.get("threshold")
        if threshold is not None and not 0 <= float(threshold) <= 1:
            raise LabelError(f"{where}: the threshold of {name!r} is {threshold}, not in 0…1.")
        yield Label(
            _clean(name),
            _prompts_of(details.get("prompts"), name),
            None if threshold is None else float(threshold),
            bool(details.get("background", False)),
        )


def _prompts_of(value: Any, name: Any) -> tuple[str, ...]:
    prompts = [] if value is None else [value] if isinstance(value, str) else list(value)
    for prompt in prompts:
        if not isinstance(prompt, str) or not prompt.strip():
            raise LabelError(f"the label {name!r} has a prompt that is empty or not text.")
    return tuple(prompts)


def _clean(name: Any) -> str:
    if not isinstance(name, str):
        raise LabelError(f"a label must be text; {name!r} is a {type(name).__name__}.")
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
