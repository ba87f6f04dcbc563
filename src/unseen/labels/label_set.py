"""Label sets: labels × templates → prompts → a (k, d) matrix, made once and kept in one file.

A label may bring its own prompts, which are used as they are (a `{}` in them is the label); every
other label goes through the templates. Several prompts of a label are averaged after they were
normalised, and normalised again (Radford et al. 2021, §3.1.4).
"""

from __future__ import annotations

import csv
import io
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias

from unseen.errors import LabelError, UnseenWarning

# What `LabelSet.of` takes.
LabelsLike: TypeAlias = "LabelSet | str | Path | Mapping[str, Any] | Iterable[str]"
TemplateLike: TypeAlias = "str | Sequence[str] | None"

FIELDS = {"prompts", "threshold", "background"}  # of one label in a JSON or YAML file


@dataclass(frozen=True)
class Label:
    """One label: its name, prompts of its own (if any), and how it is treated."""

    name: str
    prompts: tuple[str, ...] = ()
    threshold: float | None = None  # for a yes in multi-label mode
    background: bool = False  # may win, and is then reported as unknown


@dataclass(frozen=True)
class LabelSet:
    """Labels and templates, ready for any model. `templates` None leaves it to the model."""

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
        """Labels from whatever holds them.

        `labels`: a list; a dict label → prompt, prompts or {"prompts", "threshold", "background"};
        a path to a .txt (one a line), .csv (label, prompt, …), .json or .yaml file; or a string
        with commas between the labels. `template`: a string with `{}`, several, or the name of a
        set (`template_names()`). `background`: labels that mean *none of these*.

        Raises LabelError for no labels, an empty one, a template without `{}`, an unreadable file.
        Duplicates are merged, with a warning.
        """
        label_set = labels if isinstance(labels, LabelSet) else _read(labels)
        return label_set.extended(template, background)

    @classmethod
    def from_data(cls, data: Iterable[str] | Mapping[str, Any]) -> LabelSet:
        """As `of`, from a list or a dict of labels alone: no file is opened, whatever it says."""
        if isinstance(data, Mapping):
            return cls(_merged(_from_pairs(data.items(), "labels")))
        return cls(_merged(_from_names(data)))

    def extended(self, template: TemplateLike = None, background: Iterable[str] = ()) -> LabelSet:
        """With other templates, and more background labels; LabelError when no label is left."""
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
        return tuple(label.name for label in self.labels)

    def prompts(self, default_template: str) -> list[tuple[str, ...]]:
        """The prompts of each label, in order; `default_template` where the set has none."""
        patterns = self.templates or (default_template,)
        return [
            tuple(fill(pattern, label.name) for pattern in label.prompts or patterns)
            for label in self.labels
        ]


def fill(template: str, label: str) -> str:
    """Every `{}` replaced by the label, and nothing else: `str.format` would obey the template."""
    return template.replace("{}", label)


# templates


@cache
def _template_sets() -> dict[str, list[str]]:
    text = resources.files("unseen").joinpath("data/templates.json").read_text("utf-8")
    sets: dict[str, list[str]] = json.loads(text)
    return sets


def template_names() -> list[str]:
    """The named template sets that are shipped."""
    return sorted(_template_sets())


def templates(template: str | Sequence[str]) -> tuple[str, ...]:
    """A template, several, or the name of a set → templates, each holding `{}`."""
    if isinstance(template, str):
        named = _template_sets().get(template)
        if named is None and "{}" not in template:
            raise LabelError(
                f"the template {template!r} has no {{}} for the label, and is none of the named "
                f"sets: {', '.join(template_names())}."
            )
        return tuple(named or [template])
    if not template:
        raise LabelError("an empty list of templates was given.")
    for one in template:
        if not isinstance(one, str) or "{}" not in one:
            raise LabelError(f"the template {one!r} has no {{}} for the label.")
    return tuple(template)


# reading


def _read(labels: Any) -> LabelSet:
    if isinstance(labels, Path):
        return _read_file(labels)
    if isinstance(labels, str):
        path = Path(labels)
        if path.suffix.lower() in _READERS:
            return _read_file(path)
        return LabelSet(_merged(_from_names(labels.split(","))))
    return _from_data(labels, "labels")


def _from_data(data: Any, where: str) -> LabelSet:
    """A list or a dict, from a call or from a file."""
    if isinstance(data, Mapping):
        if isinstance(data.get("labels"), (list, dict)):
            return _from_document(data, where)
        return LabelSet(_merged(_from_pairs(data.items(), where)))
    if isinstance(data, Iterable) and not isinstance(data, (bytes, str)):
        return LabelSet(_merged(_from_names(data)))
    raise LabelError(f"{where}: labels are a list or a dict, not a {type(data).__name__}.")


def _from_document(data: Mapping[str, Any], where: str) -> LabelSet:
    """{"labels": …, "templates": …, "background": […]}."""
    unknown = set(data) - {"labels", "templates", "background", "name"}
    if unknown:
        raise LabelError(
            f"{where}: unknown keys {sorted(unknown)}; beside labels there may be templates, "
            "background and name."
        )
    label_set = LabelSet.of(
        data["labels"], template=data.get("templates"), background=data.get("background") or ()
    )
    return replace(label_set, name=str(data.get("name", label_set.name)))


def _from_names(names: Iterable[Any]) -> Iterable[Label]:
    return (Label(_clean(name)) for name in names)


def _from_pairs(pairs: Iterable[tuple[Any, Any]], where: str) -> Iterable[Label]:
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
            _own_prompts(details.get("prompts"), name),
            None if threshold is None else float(threshold),
            bool(details.get("background", False)),
        )


def _own_prompts(value: Any, name: Any) -> tuple[str, ...]:
    prompts = [] if value is None else [value] if isinstance(value, str) else list(value)
    for prompt in prompts:
        if not isinstance(prompt, str) or not prompt.strip():
            raise LabelError(f"the label {name!r} has an empty prompt or one that is no text.")
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
    doubled = []
    for label in labels:
        first = merged.get(label.name)
        if first is None:
            merged[label.name] = label
            continue
        if first.background != label.background:
            raise LabelError(f"{label.name!r} is both a label and a background label.")
        doubled.append(label.name)
        prompts = tuple(dict.fromkeys(first.prompts + label.prompts))
        merged[label.name] = replace(first, prompts=prompts)
    if doubled:
        names = ", ".join(repr(name) for name in dict.fromkeys(doubled))
        warnings.warn(f"labels given twice were merged: {names}", UnseenWarning, stacklevel=2)
    return tuple(merged.values())


# files


def _read_file(path: Path) -> LabelSet:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise LabelError(
            f"{path}: label files end in {', '.join(_READERS)}, not {path.suffix or 'nothing'}."
        )
    try:
        text = path.read_text("utf-8-sig")  # spreadsheets write a byte-order mark
    except FileNotFoundError:
        raise LabelError(f"{path}: there is no such label file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"{path}: the label file cannot be read: {error}.") from None
    label_set = reader(text, str(path))
    if not label_set.labels:
        raise LabelError(f"{path}: no labels were found in it.")
    return replace(label_set, name=path.stem)


def _read_txt(text: str, where: str) -> LabelSet:
    lines = (line.strip() for line in text.splitlines())
    return LabelSet(_merged(Label(_clean(li)) for li in lines if li and not li.startswith("#")))


def _read_csv(text: str, where: str) -> LabelSet:
    rows = [row for row in csv.reader(io.StringIO(text)) if any(cell.strip() for cell in row)]
    if rows and rows[0][0].strip().lower() == "label":
        rows = rows[1:]  # a header
    pairs = ((row[0], [cell for cell in row[1:] if cell.strip()]) for row in rows)
    return LabelSet(_merged(_from_pairs(pairs, where)))


def _read_json(text: str, where: str) -> LabelSet:
    try:
        return _from_data(json.loads(text), where)
    except json.JSONDecodeError as error:
        raise LabelError(f"{where}: this is no JSON: {error}.") from None


def _read_yaml(text: str, where: str) -> LabelSet:
    import yaml  # noqa: PLC0415 - 15 ms of a start, and most labels are in no such file

    try:
        return _from_data(yaml.safe_load(text), where)
    except yaml.YAMLError as error:
        raise LabelError(f"{where}: this is no YAML: {' '.join(str(error).split())}.") from None


_READERS = {
    ".txt": _read_txt,
    ".csv": _read_csv,
    ".json": _read_json,
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
}
