"""Label sets: labels × templates → prompts, for any model.

A label may bring its own prompts, which are used as they are (a `{}` in them is the label); every
other label goes through the templates. Several prompts of a label are averaged after they were
normalised, and normalised again (Radford et al. 2021, §3.1.4).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from unseen.errors import LabelError, LabelWarning, UnseenWarning
from unseen.labels import descriptions, label_file
from unseen.labels.label_file import LabelRow
from unseen.labels.templates import concept_word, fill, of_concept, templates
from unseen.system.printable import shown
from unseen.types import LabelsLike, TemplateLike

UNKNOWN = "unknown"  # the answer under which background labels are reported

LINES = ".txt"  # the suffix of files with a label a line
LISTS = 3  # lines with commas that are taken for lists of labels
SHOWN_NAMES = 3  # in a repr
MAX_EXAMPLES = 1_000  # of a label
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)  # a drive letter is one alone
SHOWN_CHARS = 80  # of a wrong value, in a message
FIELDS = {
    "prompts",
    "descriptions",
    "examples",
    "threshold",
    "background",
}  # of one label in a JSON or YAML file
DOCUMENT_KEYS = {"labels", "templates", "background", "concept", "name"}  # of a whole file


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
    examples : tuple of str
        The paths of pictures that show it: they count beside its words.

    Examples
    --------
    >>> Label("cat", threshold=0.7)
    Label('cat', threshold=0.7)
    """

    name: str
    prompts: tuple[str, ...] = ()
    threshold: float | None = None
    background: bool = False
    examples: tuple[str, ...] = ()

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
    concept : str, optional
        What all labels are a kind of: it goes into the prompts of those that have none of their
        own, and are not background.

    Examples
    --------
    >>> LabelSet.of("cat, dog").names
    ('cat', 'dog')
    >>> LabelSet.of({"cat": "a photo of a kitten"}).prompts("a photo of {}.")
    [('a photo of a kitten',)]
    >>> LabelSet.of("crane, kite", concept="bird").prompts("a photo of a {}.")[0]
    ('a photo of a bird: a crane.', 'a photo of a crane, a type of bird.')
    >>> LabelSet.of(["cat", "dog", "owl", "fox"], template=["a photo of a {}", "a {}"])
    LabelSet('labels', 4 labels: 'cat', 'dog', 'owl', …; 2 templates)
    """

    labels: tuple[Label, ...]
    templates: tuple[str, ...] | None = None
    name: str = field(default="labels", compare=False)
    concept: str | None = None

    def __repr__(self) -> str:
        names = [repr(name) for name in self.names[:SHOWN_NAMES]]
        shown = ", ".join([*names, "…"] if len(self.labels) > SHOWN_NAMES else names)
        templates = "" if self.templates is None else f"; {len(self.templates)} templates"
        concept = "" if self.concept is None else f"; {self.concept}"
        return f"LabelSet({self.name!r}, {len(self.labels)} labels: {shown}{templates}{concept})"

    @classmethod
    def of(
        cls,
        labels: LabelsLike,
        *,
        template: TemplateLike = None,
        background: Iterable[str] = (),
        concept: str | None = None,
    ) -> LabelSet:
        """Labels from whatever holds them. Duplicates are merged, with a warning.

        Parameters
        ----------
        labels : list, dict, str, Path or LabelSet
            A list of names; a dict from a label to its prompt, its prompts, or a dict with
            `prompts`, `descriptions`, `examples`, `threshold` and `background`; the path of a .txt
            file (one label a line), .csv file (label, prompt, …), .json or .yaml file; or a string
            with commas between the labels.
        template : str or list of str, optional
            A string with `{}`, several, or the name of a set of templates.
        background : iterable of str
            Labels that mean *none of these*.
        concept : str, optional
            What all labels are a kind of, in a word or two: ``bird``.

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
        return label_set.extended(template, background, concept)

    @classmethod
    def from_data(cls, data: Iterable[str] | Mapping[str, Any]) -> LabelSet:
        """As `of`, from a list or a dict of labels alone: no file is ever opened.

        Labels with `examples`, which are files, are refused.

        Parameters
        ----------
        data : list of str, or dict
            The labels, as `of` takes them.

        Returns
        -------
        LabelSet
        """
        if isinstance(data, Mapping):
            return cls(_merged(_from_pairs(data.items(), "labels", None)))
        return cls(_merged(Label(_clean(name)) for name in data))

    def extended(
        self,
        template: TemplateLike = None,
        background: Iterable[str] = (),
        concept: str | None = None,
    ) -> LabelSet:
        """The set with other templates or another concept, and with more background labels.

        Parameters
        ----------
        template : str or list of str, optional
            In place of the templates of the set; None keeps them.
        background : iterable of str
            Names of background labels to add.
        concept : str, optional
            In place of the concept of the set; None keeps it.

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
        if concept is not None:
            label_set = replace(label_set, concept=concept_word(concept))
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
        return [
            tuple(fill(pattern, label.name) for pattern in self.patterns(label, default_template))
            for label in self.labels
        ]

    def count_prompts(self) -> int:
        """How many prompts there are, without making them.

        Returns
        -------
        int
        """
        templates = len(self.templates or ("",))
        with_concept = templates + (self.templates is None)
        return sum(
            len(label.prompts)
            or (templates if self.concept is None or label.background else with_concept)
            for label in self.labels
        )

    def patterns(self, label: Label, default_template: str) -> tuple[str, ...]:
        """The prompts of a label before its name is put in the place of ``{}``.

        Parameters
        ----------
        label : Label
            One of the set.
        default_template : str
            Used where the set has no templates.

        Returns
        -------
        tuple of str
        """
        if label.prompts:
            return label.prompts
        if self.concept is None or label.background:
            return self.templates or (default_template,)
        return of_concept(self.templates, default_template, self.concept)


def _read(labels: Any) -> LabelSet:
    if isinstance(labels, Path):
        return _read_file(labels)
    if isinstance(labels, str):
        path = Path(labels)
        if path.suffix.lower() in label_file.READERS:
            return _read_file(path)
        return LabelSet(_merged(Label(_clean(name)) for name in labels.split(",")))
    return _from_data(labels, "labels", Path())


def _read_file(path: Path) -> LabelSet:
    try:
        label_set = _from_data(label_file.read(path), str(path), path.parent)
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


def _from_data(data: Any, where: str, folder: Path) -> LabelSet:
    """A list or a dict, from a call or from a file. Examples are looked for from `folder` on."""
    if isinstance(data, Mapping):
        if isinstance(data.get("labels"), (list, dict)):
            return _from_document(data, where, folder)
        return LabelSet(_merged(_from_pairs(data.items(), where, folder)))
    if isinstance(data, Iterable) and not isinstance(data, (bytes, str)):
        return LabelSet(_merged(_from_rows(data, where, folder)))
    raise LabelError(f"{where}: labels are a list or a dict, not {type(data).__name__}.")


def _from_document(data: Mapping[str, Any], where: str, folder: Path) -> LabelSet:
    """{"labels": …, "templates": …, "background": […], "concept": …}."""
    unknown = set(data) - DOCUMENT_KEYS
    if unknown:
        raise LabelError(
            f"{where}: unknown keys {_sorted(unknown)}; beside labels there may be templates, "
            "background, concept and name."
        )
    template, background = data.get("templates"), data.get("background") or ()
    if not isinstance(template, (str, list, tuple, type(None))):
        raise LabelError(f"{where}: templates are a text or a list, not {_shown(template)}.")
    if not isinstance(background, (list, tuple)):
        raise LabelError(f"{where}: background is a list of labels, not {_shown(background)}.")
    label_set = _from_data(data["labels"], where, folder)
    label_set = label_set.extended(template, background, data.get("concept"))
    name = data.get("name", label_set.name)
    return replace(label_set, name=name if isinstance(name, str) else _shown(name))


def _from_rows(rows: Iterable[Any], where: str, folder: Path) -> Iterator[Label]:
    """Names, and rows of a CSV file."""
    for row in rows:
        if isinstance(row, LabelRow):
            yield from _from_pairs([row], where, folder)
        else:
            yield Label(_clean(row))


def _from_pairs(
    pairs: Iterable[tuple[Any, Any]], where: str, folder: Path | None
) -> Iterator[Label]:
    """Labels and what is said of them. `folder`: None where no file may be named."""
    for name, value in pairs:
        details = value if isinstance(value, Mapping) else {"prompts": value}
        unknown = set(details) - FIELDS
        if unknown:
            raise LabelError(
                f"{where}: {_shown(name)} has unknown keys {_sorted(unknown)}; known: "
                f"{sorted(FIELDS)}."
            )
        described = _prompts_of(details.get("descriptions"), name)
        yield Label(
            _clean(name),
            (
                *_prompts_of(details.get("prompts"), name),
                *(descriptions.prompt(_clean(name), text) for text in described),
            ),
            _threshold_of(details.get("threshold"), name, where),
            bool(details.get("background", False)),
            _examples_of(details.get("examples"), name, where, folder),
        )


def _examples_of(value: Any, name: Any, where: str, folder: Path | None) -> tuple[str, ...]:
    """The paths of example pictures, from `folder` on."""
    if value is None:
        return ()
    if folder is None:
        raise LabelError(
            f"the label {_shown(name)} has examples, which are files, and no file may be named "
            "here: compile the label file (unseen labels compile), or take unseen adapt."
        )
    paths = [value] if isinstance(value, str) else value
    if not isinstance(paths, (list, tuple)):
        raise LabelError(
            f"{where}: the examples of {_shown(name)} are a path or a list, not {_shown(value)}."
        )
    if len(paths) > MAX_EXAMPLES:
        raise LabelError(
            f"{where}: {_shown(name)} has {len(paths):,} examples; at most {MAX_EXAMPLES:,} are "
            "allowed."
        )
    for number, path in enumerate(paths, 1):
        if not isinstance(path, str) or not path.strip() or "\0" in path:
            raise LabelError(f"{where}: example {number} of {_shown(name)} is no path.")
        if ADDRESS.match(path):
            raise LabelError(
                f"{where}: example {number} of {_shown(name)} is an address, {_shown(path)}; "
                "examples are files of this machine: save the picture, and give its path."
            )
    return tuple(str(folder / path) for path in paths)


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
    for number, prompt in enumerate(prompts, 1):
        if not isinstance(prompt, str) or not prompt.strip():
            raise LabelError(
                f"the label {_shown(name)} has a prompt that is empty or not text: number {number}."
            )
    return tuple(prompts)


def _shown(value: Any) -> str:
    """The start of a value of a file, for messages."""
    return shown(value, SHOWN_CHARS)


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
        examples = tuple(dict.fromkeys(first.examples + label.examples))
        merged[label.name] = replace(first, prompts=prompts, examples=examples)
    if duplicates:
        names = ", ".join(repr(name) for name in dict.fromkeys(duplicates))
        warnings.warn(f"labels given twice were merged: {names}", UnseenWarning, stacklevel=2)
    return tuple(merged.values())
