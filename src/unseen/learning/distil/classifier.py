"""Pictures with labels → one ONNX file that tells them apart, and its card."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.encoder import Encoder, Progress
from unseen.errors import LabelError, UnseenError
from unseen.learning.distil import features, heads, latency, training
from unseen.learning.distil import model_card as cards
from unseen.learning.distil.training import Choice, Class, Teaching
from unseen.models.families import distilled
from unseen.models.families.distilled import Student
from unseen.models.model import SMALL_BATCH
from unseen.results.manifest import now, versions
from unseen.runtimes import onnx_file

SIDE = 224  # as right as the 260 that the image net was trained with, and quicker
LARGEST = 25_000_000  # bytes of a file
HEADROOM = 1.25  # of the radius over the longest logits that were met
IMAGE_NET = "EfficientNet-Lite2 (Apache-2.0), trained on ImageNet"


@dataclass(frozen=True)
class Lesson:
    """A picture to learn from. `teacher` (k,): its probabilities of the labels; `label`: the place
    of what a person said. One of them at least. `group`: near-duplicates have the same; None is a
    group of its own. `drawn`: at random, of those that the teacher was sure of, for review."""

    source: Any
    teacher: NDArray[np.float32] | None = None
    label: int | None = None
    group: int | None = None
    drawn: bool = False


@dataclass(frozen=True)
class Distilled:
    """`content`: the file; `card`: what is known of it; `failed`: pictures that could not be read,
    and why."""

    content: bytes
    card: dict[str, Any]
    failed: list[tuple[Any, UnseenError]] = field(default_factory=list)


def distil(
    lessons: Sequence[Lesson],
    names: Sequence[str],
    teacher: cards.Teacher,
    *,
    background: Sequence[str] = (),
    side: int = SIDE,
    head: str = "auto",
    teaching: Teaching | None = None,
    left_out: Mapping[str, int] | None = None,
    measure: Encoder | None = None,
    seed: int = 0,
    threads: int | None = None,
    batch_size: int | None = None,
    each: Callable[[UnseenError | None], None] | None = None,
    progress: Progress | None = None,
    made: str | None = None,
) -> Distilled:
    """A small classifier of the labels `names` that have pictures.

    `background`: labels among them that mean none of the others. `head`: auto, linear or mlp.
    `left_out`: how many pictures are none of the lessons, by why, for the card. `measure`: the
    teacher, for the latency of both. `each` is called with the error of each picture, or None;
    `progress` with how many folds are done, and of how many. `made`: the time in the card, now
    unless given. The same arguments give the same bytes, but for that and the latency.

    LabelError for fewer than two labels with pictures, and for more than fit into the file.
    """
    if head not in training.HEADS:
        raise LabelError(f"{head!r} is no head; {', '.join(training.HEADS)} are.")
    if not distilled.SIDES[0] <= side <= distilled.SIDES[1]:
        raise LabelError(
            f"the side of pictures is {side} pixels; it must be from {distilled.SIDES[0]} to "
            f"{distilled.SIDES[1]}."
        )
    net = features.ImageNet.builtin()
    taught = _taught(lessons, names)
    sources = [lesson.source for lesson in lessons]
    rows, errors = features.features(
        net, side, sources, threads=threads, batch_size=batch_size or SMALL_BATCH, each=each
    )
    good = [place for place, error in enumerate(errors) if error is None]
    taught = _taught([lessons[place] for place in good], names)
    learnt = _class([lessons[place] for place in good], rows[good], taught, teaching or Teaching())
    own_names = tuple(names[place] for place in taught)
    choice = training.choose(learnt, head, seed=seed)
    trial = training.tried(learnt, head, seed=seed, progress=progress)
    fitted = training.fit(learnt, choice, seed=seed)
    longest = float(np.linalg.norm(heads.logits(fitted, learnt.features), axis=1).max())
    drawn = np.array([lessons[place].drawn for place in good])
    failed = [(sources[place], error) for place, error in enumerate(errors) if error is not None]
    told = learnt.truth >= 0
    facts: dict[str, Any] = {
        "made": made or now(),
        "teacher": cards.teacher_facts(teacher),
        "image_net": IMAGE_NET,
        "side": side,
        "head": _head(choice, learnt.teaching),
        "seed": seed,
        "versions": versions(),
        "figures": cards.figures(learnt, trial, drawn),
        "labels": cards.counts(own_names, learnt),
        "untaught": [name for place, name in enumerate(names) if place not in taught],
        "pictures": {
            "reviewed": int(told.sum()),
            "proposed": int((~told).sum()),
            "left_out": {**(left_out or {}), "could not be read": len(failed)},
        },
        "latency": None,
    }
    made_of = Student(
        own_names,
        tuple(name for name in background if name in own_names),
        side,
        math.ceil(10 * max(HEADROOM * longest, 1.0)) / 10,
        facts,
    )
    parameters = _parameters(net, fitted)
    content = distilled.to_bytes(made_of, parameters)
    if len(content) > LARGEST:
        raise LabelError(
            f"{len(own_names)} labels make a file of {len(content) / 1e6:.0f} MB, and "
            f"{LARGEST / 1e6:.0f} are allowed: take fewer labels."
        )
    if measure is not None:
        facts["latency"] = _measured(content, made_of, measure, sources, threads)
        content = distilled.to_bytes(replace(made_of, card=facts), parameters)
    return Distilled(content, facts | {"bytes": len(content)}, failed)


def _taught(lessons: Sequence[Lesson], names: Sequence[str]) -> list[int]:
    """The places of the labels that have pictures."""
    owners: Counter[int] = Counter()
    for lesson in lessons:
        if lesson.label is None and lesson.teacher is None:
            raise LabelError(f"{lesson.source}: neither a teacher nor a person said what it is.")
        owners[_owner(lesson)] += 1
    if len(owners) < 2:
        only = f"all are of {names[next(iter(owners))]!r}" if owners else "there are none"
        raise LabelError(
            f"a classifier tells at least two labels apart, and of the pictures to learn from "
            f"{only}: review some, or include those that the teacher was unsure of."
        )
    return sorted(owners)


def _owner(lesson: Lesson) -> int:
    if lesson.label is not None:
        return lesson.label
    assert lesson.teacher is not None
    return int(lesson.teacher.argmax())


def _class(
    lessons: Sequence[Lesson], rows: NDArray[np.float32], taught: list[int], teaching: Teaching
) -> Class:
    """The lessons as arrays, of the labels that are taught alone."""
    nobody = np.zeros(len(taught), dtype=np.float32)
    said = [nobody if one.teacher is None else one.teacher[taught] for one in lessons]
    teacher = np.stack(said)
    total = teacher.sum(1, keepdims=True)
    teacher = np.divide(teacher, total, out=np.zeros_like(teacher), where=total > 0)
    places = {label: place for place, label in enumerate(taught)}
    truth = [-1 if one.label is None else places[one.label] for one in lessons]
    apart = [(0, one.group) if one.group is not None else (1, i) for i, one in enumerate(lessons)]
    numbers = {group: number for number, group in enumerate(dict.fromkeys(apart))}
    groups = np.array([numbers[group] for group in apart], dtype=np.int64)
    return Class(rows, teacher, np.array(truth, dtype=np.int64), groups, teaching)


def _head(choice: Choice, teaching: Teaching) -> dict[str, Any]:
    return {
        "hidden": choice.hidden,
        "penalty": choice.penalty,
        "temperature": teaching.temperature,
        "reviewed_weight": teaching.reviewed,
        "smoothing": teaching.smoothing,
        "tried": list(choice.tried),
    }


def _parameters(net: features.ImageNet, fitted: heads.Parameters) -> dict[str, NDArray[Any]]:
    """All of them, with the precision that they have in the file."""
    every = {**net.parameters, "looks": net.looks, **fitted}
    return {
        name: onnx_file.as_stored(np.asarray(value, dtype=np.float32)).astype(np.float32)
        for name, value in every.items()
    }


def _measured(
    content: bytes,
    made_of: Student,
    teacher: Encoder,
    sources: Sequence[Any],
    threads: int | None,
) -> dict[str, Any] | None:
    with tempfile.TemporaryDirectory(prefix="unseen-") as folder:
        file = Path(folder) / "classifier.onnx"
        file.write_bytes(content)
        prepare = distilled.preprocess(made_of.side)
        return latency.compare(file, prepare, teacher, sources, threads=threads)
