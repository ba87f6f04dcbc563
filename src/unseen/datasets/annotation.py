"""Annotations: which labels a picture has, and how these match the names of a label set."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.sources.frame_names import is_video
from unseen.sources.item import Source

NOT_WORDS = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Annotation:
    """A picture and its labels.

    Parameters
    ----------
    path : Path
        Where the picture lies; of a picture in memory, what it is called.
    labels : tuple of str
        The labels that a person gave it: none, one or several.
    columns : mapping of str to str
        The columns of its row, where it comes from a table.
    content : Any, optional
        The picture itself, where it is not the file at `path`: anything that `classify` takes.

    Examples
    --------
    >>> from pathlib import Path
    >>> from unseen.datasets.annotation import Annotation
    >>> Annotation(Path("cat.jpg"), ("cat", "animal")).labels
    ('cat', 'animal')
    """

    path: Path
    labels: tuple[str, ...]
    columns: Mapping[str, str] = field(default_factory=dict)
    content: Any = field(default=None, compare=False)

    @property
    def source(self) -> Source:
        """What an encoder opens."""
        return Source(str(self.path), self.path if self.content is None else self.content)

    @property
    def is_video(self) -> bool:
        """Whether it is a video, which counts as one picture: the mean of its frames."""
        return self.content is None and is_video(self.path)


@dataclass(frozen=True)
class Match:
    """Annotations matched with the names of a label set.

    Parameters
    ----------
    label_ids : list of tuple of int or None
        For each annotation the indices of its labels among the names; None where it has labels and
        no name matches any.
    unmatched : dict of str to int
        Labels that no name matches → how many pictures have them.
    unused : list of str
        Names that no picture has.
    count : int
        How many names there are.
    """

    label_ids: list[tuple[int, ...] | None]
    unmatched: dict[str, int]
    unused: list[str]
    count: int

    def usable(self, multi_label: bool) -> NDArray[np.bool_]:
        """Which annotations say something about these names: bool (n,).

        In multi-label data an empty list of labels is a valid annotation.
        """
        usable = [bool(ids) or (multi_label and ids is not None) for ids in self.label_ids]
        return np.array(usable, dtype=bool)

    def y_true(self, rows: Sequence[int], multi_label: bool) -> NDArray[Any]:
        """The labels of some annotations as arrays.

        Parameters
        ----------
        rows : sequence of int
            Indices of annotations; with one label a picture, each must be usable.
        multi_label : bool
            Whether a picture may have several labels.

        Returns
        -------
        int array (n,) or bool array (n, k)
            The index of each one's first label; with `multi_label` which labels each has.
        """
        label_ids = [self.label_ids[row] or () for row in rows]
        if not multi_label:
            return np.array([first for first, *_ in label_ids], dtype=np.intp)
        table = np.zeros((len(rows), self.count), dtype=bool)
        for row, ids in zip(table, label_ids, strict=True):
            row[list(ids)] = True
        return table


def classes(annotations: Iterable[Annotation]) -> list[str]:
    """Every label that a picture has, sorted."""
    return sorted({label for annotation in annotations for label in annotation.labels})


def match(annotations: Sequence[Annotation], names: Sequence[str]) -> Match:
    """Find the name of a label set that each label of the annotations stands for.

    Parameters
    ----------
    annotations : sequence of Annotation
        Pictures and their labels.
    names : sequence of str
        The names of a label set. One matches a label when it is the same, or when it alone is the
        same but for case, spaces and punctuation (`T_Shirt` is `t-shirt`).

    Returns
    -------
    Match
        The indices of the names for each annotation, and what matches nothing.

    Examples
    --------
    >>> from pathlib import Path
    >>> from unseen.datasets.annotation import Annotation, match
    >>> annotations = [Annotation(Path("1.jpg"), ("T_Shirt",)), Annotation(Path("2.jpg"), ("hat",))]
    >>> matched = match(annotations, ["t-shirt", "shoe"])
    >>> matched.label_ids, matched.unmatched, matched.unused
    ([(0,), None], {'hat': 1}, ['shoe'])
    """
    index_of = {name: index for index, name in enumerate(names)}
    similar: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        similar.setdefault(_key(name), []).append(index)
    unmatched: Counter[str] = Counter()
    label_ids: list[tuple[int, ...] | None] = []
    used: set[int] = set()
    for annotation in annotations:
        ids = []
        for label in annotation.labels:
            indices = similar.get(_key(label), [])
            label_id = index_of.get(label, indices[0] if len(indices) == 1 else None)
            if label_id is None:
                unmatched[label] += 1
            else:
                ids.append(label_id)
        used.update(ids)
        label_ids.append(tuple(ids) if ids or not annotation.labels else None)
    unused = [name for index, name in enumerate(names) if index not in used]
    return Match(label_ids, dict(unmatched), unused, len(names))


def _key(name: str) -> str:
    return " ".join(NOT_WORDS.split(name.casefold())).strip()
