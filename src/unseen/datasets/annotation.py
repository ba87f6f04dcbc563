"""What pictures show, as people said: a folder a class, CSV or JSON lines → labelled pictures."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.errors import SourceError
from unseen.results.spreadsheet import plain
from unseen.sources.files import image_files

BETWEEN = ";"  # labels of one picture in a CSV file
NOT_WORDS = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Example:
    """A picture and what it shows: its labels, and the other columns of its row."""

    path: Path
    labels: tuple[str, ...]
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Match:
    """Examples held against the names of a label set.

    `places`: for each example the places of its labels among the names; None where it has some and
    no name stands for any. `unnamed`: the labels that no name stands for, and how many pictures
    have them; `idle`: the names that no picture has.
    """

    places: list[tuple[int, ...] | None]
    unnamed: dict[str, int]
    idle: list[str]

    def judged(self, several: bool) -> NDArray[np.bool_]:
        """Which examples can be judged (n,). Where there may be several, having none is a truth."""
        return np.array([bool(p) or (several and p is not None) for p in self.places], dtype=bool)

    def truth(self, rows: Sequence[int], several: bool, k: int) -> NDArray[Any]:
        """Of these examples: int (n,), or bool (n, k)."""
        places = [self.places[row] or () for row in rows]
        if not several:
            return np.array([one for one, *_ in places], dtype=np.intp)
        table = np.zeros((len(rows), k), dtype=bool)
        for i, own in enumerate(places):
            table[i, list(own)] = True
        return table


def read(source: Path, *, several: bool = False) -> list[Example]:
    """The labelled pictures of a folder, or of a .csv or .jsonl file with path and label.

    In a folder each folder is a class, its underscores read as spaces, and what lies in it at any
    depth belongs to it; a picture that lies in none has no label. Paths in a CSV file are relative
    to it, and every other column is kept. A path on several rows is one picture; with `several` it
    may have several labels, on rows of their own or with `;` between them. SourceError.
    """
    if source.is_dir():
        return _read_folder(source)
    found: dict[Path, Example] = {}
    for path, label, columns in read_table(source, "label"):
        before = found.get(path, Example(path, (), columns))
        labels = tuple(dict.fromkeys([*before.labels, *_split(label)]))
        found[path] = Example(path, labels, before.columns)
    doubled = next((e for e in found.values() if len(e.labels) > 1), None)
    if doubled is not None and not several:
        raise SourceError(
            f"{source}: {doubled.path.name} has the labels {', '.join(doubled.labels)}; several "
            "labels a picture need --multi (multi_label in Python)."
        )
    return [*found.values()]


def classes(examples: Iterable[Example]) -> list[str]:
    """Every label that a picture has, sorted."""
    return sorted({label for example in examples for label in example.labels})


def match(examples: Sequence[Example], names: Sequence[str]) -> Match:
    """Which name of a label set stands for which label: the same, or the same but for case,
    spaces and signs (`T_Shirt` is `t-shirt`) where that leaves one."""
    place = {name: i for i, name in enumerate(names)}
    alike: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        alike.setdefault(_key(name), []).append(i)
    unnamed: Counter[str] = Counter()
    found: list[tuple[int, ...] | None] = []
    seen: set[int] = set()
    for example in examples:
        places = []
        for label in example.labels:
            near = alike.get(_key(label), [])
            one = place.get(label, near[0] if len(near) == 1 else None)
            if one is None:
                unnamed[label] += 1
            else:
                places.append(one)
        seen.update(places)
        found.append(tuple(places) if places or not example.labels else None)
    idle = [name for i, name in enumerate(names) if i not in seen]
    return Match(found, dict(unnamed), idle)


def read_table(path: Path, second: str) -> list[tuple[Path, str, dict[str, str]]]:
    """The rows of a file (.jsonl: JSON lines; any other: CSV) with the columns path and `second`:
    path, its value, all columns. A cell made harmless for spreadsheets is read as it was."""
    kind = "JSON lines" if path.suffix.lower() == ".jsonl" else "CSV"
    try:
        # Spreadsheets write a byte-order mark. Line ends stay: one may be part of a file's name.
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise SourceError(f"{path}: there is no such folder or file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: it cannot be read as a {kind} file: {error}.") from None
    rows = []
    for line, columns in (_json_lines if kind == "JSON lines" else _csv)(path, text, second):
        if not columns["path"]:
            raise SourceError(f"{path}: line {line} has no path.")
        rows.append((path.parent / columns["path"], columns[second], columns))
    if not rows:
        raise SourceError(f"{path}: there are no rows in it.")
    return rows


def _csv(path: Path, text: str, second: str) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    header = [name.strip() for name in reader.fieldnames or []]
    if not {"path", second} <= set(header):
        raise SourceError(
            f"{path}: its first line is {','.join(header)[:80]!r}; it must name the columns path "
            f"and {second}."
        )
    reader.fieldnames = header
    for row in reader:
        cells = {name: (row[name] or "").strip() for name in header}
        yield (
            reader.line_num,
            {name: cell if name == "path" else plain(cell) for name, cell in cells.items()},
        )


def _json_lines(path: Path, text: str, second: str) -> Iterator[tuple[int, dict[str, str]]]:
    for line, one in enumerate(text.split("\n"), 1):
        if not one.strip():
            continue
        try:
            row = json.loads(one)
            columns = {name: _said(value) for name, value in row.items()}
            if not {"path", second} <= set(columns):
                raise ValueError(f"it must have path and {second}")
        except (ValueError, AttributeError) as error:
            raise SourceError(f"{path}: line {line} is no row: {error}.") from None
        yield line, columns


def _said(value: object) -> str:
    """A value as the cell of a CSV file says it."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value)


def _read_folder(folder: Path) -> list[Example]:
    examples = []
    for path in image_files(folder):
        first, *rest = path.relative_to(folder).parts
        examples.append(Example(path, (_spaced(first),) if rest else ()))
    if not any(example.labels for example in examples):
        raise SourceError(f"{folder}: no picture lies in a folder of it; each folder is a class.")
    return examples


def _spaced(name: str) -> str:
    return " ".join(name.replace("_", " ").split())


def _split(labels: str) -> Iterable[str]:
    return dict.fromkeys(part.strip() for part in labels.split(BETWEEN) if part.strip())


def _key(name: str) -> str:
    return " ".join(NOT_WORDS.split(name.casefold())).strip()
