"""A labelling → what a small classifier is taught: reviewed pictures, and what the teacher says."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unseen.annotation.labelling import Labelling
from unseen.annotation.pictures import ERROR, SURE, UNSURE, Picture
from unseen.datasets.splits import NEAR, near_duplicates
from unseen.encoder import Progress
from unseen.labels.label_set import UNKNOWN
from unseen.learning.distil.classifier import Lesson

Floats = NDArray[np.float32]

NOTHING = "none of these"  # the label of pictures that a person gave none
NOTHING_FROM = 5  # so many of them make it one

LEFT_OUT = ("unsure and not reviewed", "none of these", "skipped", "could not be read before")


@dataclass(frozen=True)
class Lessons:
    """What `distil` takes: lessons, names, background labels among them, and how many pictures were
    left out, by why."""

    lessons: list[Lesson]
    names: tuple[str, ...]
    background: tuple[str, ...]
    left_out: dict[str, int]


def lessons_of(
    labelling: Labelling, *, unsure: bool = False, progress: Progress | None = None
) -> Lessons:
    """The reviewed pictures of a labelling, and the sure ones; with `unsure` those as well.

    Pictures that were reviewed as none of these are a background label, when there are enough.
    `progress`: of the search for near-duplicates.
    """
    pictures = list(labelling.pictures())
    nothing = sum(p.verdict == "none" and p.pile != ERROR for p in pictures) >= NOTHING_FROM
    left_out: Counter[str] = Counter(dict.fromkeys(LEFT_OUT, 0))
    chosen: list[Picture] = []
    for picture in pictures:
        why = _why_not(picture, unsure, nothing)
        if why is None:
            chosen.append(picture)
        else:
            left_out[why] += 1
    names = (*labelling.names, NOTHING) if nothing else labelling.names
    ids = [picture.id for picture in chosen]
    groups = near_duplicates(labelling.vectors(ids), NEAR, progress=progress)
    drawn = labelling.audit_sample()
    teacher = _by_name(labelling, ids, names)
    places = {name: place for place, name in enumerate(names)}
    lessons = []
    for picture, row, group in zip(chosen, teacher, groups, strict=True):
        label = NOTHING if picture.verdict == "none" else picture.chosen
        lessons.append(
            Lesson(
                _file(labelling.root, picture),
                row if row.any() else None,
                None if picture.verdict is None or label is None else places[label],
                int(group),
                picture.id in drawn,
            )
        )
    return Lessons(lessons, names, (NOTHING,) if nothing else (), dict(left_out))


def _why_not(picture: Picture, unsure: bool, nothing: bool) -> str | None:
    if picture.pile == ERROR:
        return LEFT_OUT[3]
    if picture.verdict == "skip":
        return LEFT_OUT[2]
    if picture.verdict == "label":
        return None
    if picture.verdict == "none":
        return None if nothing else LEFT_OUT[1]
    wanted = (SURE, UNSURE) if unsure else (SURE,)
    if picture.pile in wanted:
        return None
    return LEFT_OUT[0] if picture.pile == UNSURE else LEFT_OUT[1]


def _by_name(labelling: Labelling, ids: list[str], names: tuple[str, ...]) -> Floats:
    """(n, k): what the teacher gave each of the names; those that it does not know have nothing."""
    scores = labelling.scores(ids)
    rows = np.zeros((len(ids), len(names)), dtype=np.float32)
    for column, name in enumerate(labelling.answers):
        name = NOTHING if name == UNKNOWN else name
        if name in names:
            rows[:, names.index(name)] = scores[:, column]
    return rows


def _file(root: Path, picture: Picture) -> Path:
    """Where it lies, of the places where it lay."""
    paths = [root / path for path in picture.paths]
    return next((path for path in paths if path.is_file()), paths[0])
