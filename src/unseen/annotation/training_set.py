"""A labelling → a training set: reviewed pictures, and the scores of the model that proposed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from unseen.annotation.labelling import Labelling
from unseen.annotation.originals import is_file, is_item
from unseen.annotation.pictures import ERROR, NOTHING, NOTHING_FROM, SURE, UNSURE, Picture
from unseen.annotation.retrain import Retraining
from unseen.classifier import Classifier, load
from unseen.datasets.splits import NEAR, near_duplicates
from unseen.errors import ModelError, UnseenError
from unseen.labels.label_set import UNKNOWN
from unseen.learning.distil.training_set import TrainingPicture, TrainingSet
from unseen.load_options import LoadOptions
from unseen.models import hub
from unseen.sources.containers.container_file import resolve
from unseen.types import Floats, Progress

LEFT_OUT = ("unsure and not reviewed", "none of these", "skipped", "could not be read before")


def training_set_of(
    labelling: Labelling, *, unsure: bool = False, progress: Progress | None = None
) -> TrainingSet:
    """The reviewed pictures of a labelling, and those that the model was sure of.

    Parameters
    ----------
    labelling : Labelling
        What `unseen label` made of a folder.
    unsure : bool
        Learn from unsure pictures that nobody reviewed, too.
    progress : callable, optional
        Of the search for near-duplicates: how many are done, and of how many.

    Returns
    -------
    TrainingSet
        Pictures that were reviewed as none of these are a background label, if there are enough.
    """
    pictures = list(labelling.pictures())
    nothing = sum(p.verdict == "none" and p.pile != ERROR for p in pictures) >= NOTHING_FROM
    left_out: Counter[str] = Counter(dict.fromkeys(LEFT_OUT, 0))
    used: list[Picture] = []
    for picture in pictures:
        reason = _reason_to_leave_out(picture, unsure, nothing)
        if reason is None:
            used.append(picture)
        else:
            left_out[reason] += 1
    names = (*labelling.names, NOTHING) if nothing else labelling.names
    ids = [picture.id for picture in used]
    groups = near_duplicates(labelling.vectors(ids), NEAR, progress=progress)
    drawn = labelling.audit_sample()
    label_ids = {name: label_id for label_id, name in enumerate(names)}
    training_pictures = []
    for picture, scores, group in zip(used, _scores(labelling, ids, names), groups, strict=True):
        label = NOTHING if picture.verdict == "none" else picture.chosen
        training_pictures.append(
            TrainingPicture(
                _file(labelling.root, picture),
                scores if scores.any() else None,
                None if picture.verdict is None or label is None else label_ids[label],
                int(group),
                picture.id in drawn,
                picture.seen,
                picture.id,
            )
        )
    retrained = labelling.retrained
    learnt = sum(picture.seen for picture in used)
    if retrained is not None and Retraining(**retrained).helps:
        learnt = retrained["answers"]
    background = (NOTHING,) if nothing else ()
    return TrainingSet(training_pictures, names, background, dict(left_out), learnt)


def teacher_of(manifest: Mapping[str, Any], overrides: Mapping[str, Any]) -> Classifier:
    """The model that proposed the labels of a labelling, loaded.

    Parameters
    ----------
    manifest : mapping
        `Labelling.manifest`.
    overrides : mapping
        Fields of `LoadOptions` that are not to be as recorded.

    Returns
    -------
    Classifier

    Raises
    ------
    ModelError
        When it is not on this machine, or is not the same model any more.
    """
    recorded = LoadOptions(
        manifest["model"],
        manifest["revision"],
        precision=manifest["options"].get("precision", "fp32"),
        exact=manifest["options"].get("exact", False),
    )
    load_options = replace(recorded, **overrides)
    model = load_options.model
    if not (Path(model).exists() or hub.is_here(model)):
        raise ModelError(f"{model} is not here.")
    try:
        teacher = load(load_options)
    except UnseenError as error:
        raise ModelError(f"{model} {error}") from None
    if teacher.model.fingerprint != manifest["fingerprint"]:
        raise ModelError(f"{model} is another than the one that proposed the labels.")
    return teacher


def _reason_to_leave_out(picture: Picture, unsure: bool, nothing: bool) -> str | None:
    if picture.pile == ERROR:
        return LEFT_OUT[3]
    if picture.verdict == "skip":
        return LEFT_OUT[2]
    if picture.verdict == "label":
        return None
    if picture.verdict == "none":
        return None if nothing else LEFT_OUT[1]
    if picture.pile in ((SURE, UNSURE) if unsure else (SURE,)):
        return None
    return LEFT_OUT[0] if picture.pile == UNSURE else LEFT_OUT[1]


def _scores(labelling: Labelling, ids: list[str], names: tuple[str, ...]) -> Floats:
    """(n, k): what the model gave each of the names; those that it does not know have nothing."""
    scores = labelling.scores(ids)
    rows = np.zeros((len(ids), len(names)), dtype=np.float32)
    for column, name in enumerate(labelling.answers):
        name = NOTHING if name == UNKNOWN else name
        if name in names:
            rows[:, names.index(name)] = scores[:, column]
    return rows


def _file(root: Path, picture: Picture) -> str | Path:
    """Where it lies, of the places where it lay."""
    paths = [resolve(path, root) for path in picture.paths]
    return next((path for path in paths if is_file(path) or is_item(path)), paths[0])
