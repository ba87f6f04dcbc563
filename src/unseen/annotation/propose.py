"""What a model proposes for the pictures of a folder, from the index: no file is opened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.annotation.labelling import Labelling, home_of
from unseen.annotation.pictures import ERROR, UNSURE, Proposal, pile_of
from unseen.classifier import Classifier
from unseen.encoder import Encoded
from unseen.errors import ImageError, LabelError, SourceError
from unseen.index.hits import Content
from unseen.index.index import Index
from unseen.index.location import find
from unseen.index.view import ROWS
from unseen.labels.compiled import CompiledLabels
from unseen.labels.label_set import UNKNOWN
from unseen.prediction.adapter import Adapter
from unseen.prediction.calibration import Calibration
from unseen.prediction.calibration_file import AUTO, calibration_for
from unseen.prediction.decision import Decision
from unseen.prediction.predict import label_probabilities, predict_encoded, warn_undecided
from unseen.prediction.prediction import Prediction
from unseen.prediction.seen import example_digests
from unseen.results.manifest import manifest
from unseen.sources.expand import reopenable
from unseen.sources.frame_names import frame_of, is_video

if TYPE_CHECKING:
    from unseen.types import LabelsLike, Progress, TemplateLike

SURE_FROM = 0.9  # the probability from which a proposal is sure, where its label says nothing else


def propose(
    labelling: Labelling,
    index: Index,
    classifier: Classifier,
    labels: CompiledLabels,
    decision: Decision,
    *,
    sure: float = SURE_FROM,
    options: dict[str, Any] | None = None,
) -> None:
    """Put each picture of the labelling's folder into a pile, with the probability of each label.

    *none*: a background label wins, or there is too little evidence of any label. *sure*: the best
    label has the probability `sure`, or the threshold that the label file gives it. *unsure*: the
    others.

    Parameters
    ----------
    labelling : Labelling
        Where the proposals go.
    index : Index
        It must have the embeddings of the folder by this model: see `Index.update`.
    classifier : Classifier
        The model.
    labels : CompiledLabels
        Compiled by `classifier`.
    decision : Decision
        Its calibration and `reference_set` count; with the latter, evidence is measured.
    sure : float
        The probability from which a proposal is sure, from 0 to 1.
    options : dict, optional
        More for the manifest, plain data for JSON.

    Raises
    ------
    LabelError
        If the decision is multi-label, does not fit the labels, or `sure` is out of range.
    SourceError
        If there is no picture in the folder.
    """
    if decision.multi_label:
        raise LabelError("a labelling has one label a picture; leave multi-label out.")
    if not 0 <= sure <= 1:
        raise LabelError(f"sure is {sure}; it must be a probability from 0 to 1.")
    name = index.name(labelling.root)
    prefix = "" if name == "." else f"{name}/"
    contents = _below(prefix, labelling.below, index.view(classifier).contents(below=prefix))
    first = next(contents, None)
    if first is None:
        raise SourceError(f"{labelling.root}: there are no pictures in it.")
    answers = [*labels.answers]
    run = manifest(classifier.model, labels, {"sure": sure, **(options or {})})
    run["asked"] = answers
    thresholds = {label.name: label.threshold for label in labels.labels}
    names = [name for name in answers if name != UNKNOWN]
    single = replace(decision, top_k=1, min_score=None)
    warn_undecided(labels, single)
    seen = example_digests(classifier.model, classifier.adapter)

    def proposals() -> Iterator[Proposal]:
        rest = chain([first], contents)
        while batch := list(islice(rest, ROWS)):
            stream = [Encoded(c.paths[0], c.embedding, _error(c)) for c in batch]
            predictions = predict_encoded(stream, labels, single)
            rows = [c.embedding for c in batch if c.embedding is not None]
            scores = iter(label_probabilities(np.stack(rows), labels, decision)[1] if rows else ())
            for content, prediction in zip(batch, predictions, strict=True):
                yield Proposal(
                    content.id,
                    content.paths,
                    content.width,
                    content.height,
                    content.embedding,
                    next(scores) if prediction.ok else None,
                    _pile(prediction, thresholds, sure),
                    content.error,
                    content.id.hex() in seen,
                )

    labelling.propose(run, names, proposals(), labels)


def _pile(prediction: Prediction, thresholds: dict[str, float | None], sure: float) -> str:
    if not prediction.ok:
        return ERROR
    if prediction.abstained:
        return UNSURE
    if prediction.unknown or prediction.label is None or prediction.score is None:
        return pile_of(None, 0.0, None, sure)
    return pile_of(prediction.label, prediction.score, thresholds[prediction.label], sure)


def _below(prefix: str, container: str, contents: Iterator[Content]) -> Iterator[Content]:
    """The contents of a folder, or of a container in it, with paths relative to the folder."""
    for content in contents:
        names = (
            p.removeprefix(prefix)
            for p in content.paths
            if (prefix or not Path(p).is_absolute()) and not _is_of_video(p)
        )
        paths = [name for name in names if name.startswith(container)]
        if paths:
            yield replace(content, paths=tuple(paths))


def _is_of_video(path: str) -> bool:
    """A video, or a frame of one in the index: what is labelled is a file of its own."""
    return is_video(path) or frame_of(path) is not None


def _held_out(adapter: Adapter) -> dict[str, int] | None:
    """How often an adapter was right on its own examples while it was made, each held out."""
    facts = adapter.facts
    of = facts.get("held_out")
    rows = [row for row in facts.get("tried") or () if row.get("method") == adapter.method]
    return {"right": rows[0]["right"], "of": of} if rows and of else None


def _error(content: Content) -> ImageError | None:
    return None if content.error is None else ImageError(content.error)


def label(
    classifier: Classifier,
    folder: str | Path,
    labels: LabelsLike | CompiledLabels | None = None,
    *,
    name: str = "labels",
    sure: float = SURE_FROM,
    template: TemplateLike = None,
    background: Iterable[str] = (),
    unknown: str | None = None,
    calibration: Calibration | str | Path | None = AUTO,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> Labelling:
    """Propose a label for each picture of a folder, to be looked over by a person.

    The index of the folder is brought up to date first, so each picture is read once; other labels
    or another threshold take no time, and keep what was reviewed.

    Parameters
    ----------
    classifier : Classifier
        What proposes.
    folder : str or Path
        The folder of the pictures; its index is made where there is none. Or an archive, a table of
        pictures or a document, whose pictures go into the index of its folder.
    labels : labels, CompiledLabels, or None
        As `Classifier.compile` takes them; None: those of the adapter, or of the model.
    name : str
        Of the labelling, where a folder has several.
    sure : float
        The probability from which a proposal is sure, from 0 to 1, where its label has no
        threshold.
    template, background, unknown, calibration
        As in `Classifier.classify_many`.
    batch_size : int, optional
        Pictures that the network takes at once; by default as many as suit the model.
    progress : callable, optional
        Called with how many pictures the index has looked at, and of how many.

    Returns
    -------
    Labelling
        Open; close it, or use it in a ``with`` block.

    Raises
    ------
    SourceError
        If there are no pictures in the folder.
    LabelError
        If labels or options are not valid.

    Examples
    --------
    >>> import shutil, tempfile
    >>> import unseen
    >>> folder = shutil.copytree("examples", tempfile.mkdtemp(), dirs_exist_ok=True)
    >>> with unseen.label(unseen.load(), folder, ["cat", "dog"]) as labelling:
    ...     labelling.status().reviewed
    0
    """
    folder = reopenable(folder)
    root, _, _ = home_of(folder, name)
    compiled = classifier.compile(labels, template=template, background=background)
    calibration = calibration_for(calibration, labels, compiled)
    decision = classifier.decision(unknown=unknown, calibration=calibration)
    options: dict[str, Any] = {**classifier.encoder.options.facts(), "unknown": unknown}
    if decision.calibration is not None:
        options["calibration"] = decision.calibration.to_data()
    if classifier.adapter is not None:
        options["adapter"] = classifier.adapter.id
        options["adapter_held_out"] = _held_out(classifier.adapter)
    with Index(find(root) or root) as index:
        index.update(classifier.encoder, [folder], batch_size=batch_size, progress=progress)
        labelling = Labelling(folder, name, create=True)
        try:
            propose(labelling, index, classifier, compiled, decision, sure=sure, options=options)
        except BaseException:
            labelling.close()
            raise
    return labelling
