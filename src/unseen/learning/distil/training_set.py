"""What a small classifier learns from: pictures with the labels of people, or of a teacher."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unseen.classifier import Classifier
from unseen.datasets.annotation import Annotation, classes, match
from unseen.datasets.content import content_digest
from unseen.datasets.read_summary import ReadSummary, listed
from unseen.datasets.readers import read_annotations
from unseen.datasets.splits import NEAR, near_duplicates
from unseen.errors import LabelError, SourceError
from unseen.index.encoding import StageProgress, encode_annotations
from unseen.index.stored import labelled_pictures
from unseen.prediction.decision import Decision
from unseen.prediction.predict import label_probabilities
from unseen.prediction.seen import example_digests
from unseen.types import Floats

if TYPE_CHECKING:
    from unseen.datasets.readers import Labelled

FEWEST = 3  # pictures of a label, if one was reviewed: docs/distil.md has what came of fewer
FEWEST_PROPOSED = 10  # where none was


@dataclass(frozen=True)
class TrainingPicture:
    """A picture to learn from, with a label or with the probabilities of a teacher, or both.

    Parameters
    ----------
    source : Any
        The picture, as `classify` takes it.
    probabilities : float32 array (k,), optional
        Those that the teacher gives to the labels of the set.
    label_id : int, optional
        The index of the label that a person gave it.
    group : int, optional
        Near-duplicates have the same, and are held out together; None is a group of its own.
    audited : bool
        Whether it was drawn at random for review, from those that the teacher was sure of.
    seen : bool
        Whether the teacher had learnt from it: then it says nothing of how good the teacher is.
    digest : str, optional
        The first 16 bytes of the SHA-256 of its file, in hex; by default it is computed.
    others : tuple of int
        The labels that a person gave it beside `label_id`, where it may have several.
    """

    source: Any
    probabilities: Floats | None = None
    label_id: int | None = None
    group: int | None = None
    audited: bool = False
    seen: bool = False
    digest: str | None = None
    others: tuple[int, ...] = ()

    @property
    def label_ids(self) -> tuple[int, ...]:
        """All the labels that a person gave it."""
        return () if self.label_id is None else (self.label_id, *self.others)


@dataclass(frozen=True)
class TrainingSet:
    """Pictures to learn from, and the labels that they have.

    Parameters
    ----------
    pictures : sequence of TrainingPicture
        The pictures.
    names : tuple of str
        The k labels.
    background : tuple of str
        Labels among them that mean none of the others.
    left_out : mapping of str to int
        How many pictures are not in the set, by the reason.
    learnt : int
        So many of the labels that people gave had been learnt from by what gave the probabilities.
    multi_label : bool
        Whether a picture may have several labels; `probabilities` are then a yes or no of each.
    """

    pictures: Sequence[TrainingPicture]
    names: tuple[str, ...]
    background: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    learnt: int = 0
    multi_label: bool = False

    def __repr__(self) -> str:
        return f"TrainingSet({len(self.pictures)} pictures, {len(self.names)} labels)"

    @property
    def counts(self) -> dict[str, int]:
        """The pictures of each label: as a person gave it, else as the teacher has it."""
        counts = dict.fromkeys(self.names, 0)
        for picture in self.pictures:
            if picture.label_id is not None:
                for label_id in picture.label_ids:
                    counts[self.names[label_id]] += 1
            elif picture.probabilities is not None:
                counts[self.names[int(picture.probabilities.argmax())]] += 1
        return counts

    def require_enough(self) -> None:
        """Raise unless each label has enough pictures to learn from.

        Raises
        ------
        LabelError
            A label has fewer than `FEWEST`, or, where a person gave it to no picture, fewer than
            `FEWEST_PROPOSED`: docs/distil.md has what came of such sets.
        """
        reviewed = {label_id for p in self.pictures for label_id in p.label_ids}
        few = {
            name: count
            for label_id, (name, count) in enumerate(self.counts.items())
            if count < (FEWEST if label_id in reviewed else FEWEST_PROPOSED)
        }
        if few:
            shown = listed(f"{name} ({count or 'none'})" for name, count in few.items())
            raise LabelError(
                f"{len(few)} of {len(self.names)} labels have too few pictures to learn from: "
                f"{shown}. It takes {FEWEST}, or {FEWEST_PROPOSED} where nobody reviewed one of "
                "them: with fewer a classifier is likely to be wrong far more often than its "
                "teacher, and a label without any is lost."
            )

    @classmethod
    def read(
        cls,
        source: Labelled,
        labels: Sequence[str] | None = None,
        *,
        teacher: Classifier | None = None,
        multi_label: bool = False,
        use_index: bool = True,
        batch_size: int | None = None,
        progress: StageProgress | None = None,
        on_read: Callable[[ReadSummary], None] | None = None,
    ) -> TrainingSet:
        """Labelled pictures, with what a teacher says of them.

        Parameters
        ----------
        source : str, Path, or iterable
            A folder in which each folder is a label, a .csv or .jsonl file with the columns `path`
            and `label`, the .sqlite file of an index, or pairs of a picture and its label.
        labels : sequence of str, optional
            The names of the labels; by default the labels of the pictures.
        teacher : Classifier, optional
            Its probabilities are learnt beside the labels, and pictures without a label are learnt
            from by these alone. Near-duplicates are found by its embeddings.
        multi_label : bool
            Whether a picture may have several labels, as `unseen.evaluate` reads them. One without
            any is learnt from by a teacher's probabilities alone.
        use_index : bool
            Take the teacher's embeddings from an index where there is one.
        batch_size : int, optional
            Pictures that the teacher's network takes at once.
        progress : callable, optional
            Called with ``"pictures"``, how many the teacher has seen, and of how many.
        on_read : callable, optional
            Called with the `ReadSummary`: which pictures take no part. By default that is a
            warning.

        Returns
        -------
        TrainingSet
            For `unseen.distil`.

        Raises
        ------
        SourceError
            The pictures are not there, are videos, or have several labels without `multi_label`.

        Examples
        --------
        >>> from unseen.learning.distil.training_set import TrainingSet
        >>> pairs = [("examples/cat.jpg", "cat"), ("examples/dog.jpg", "dog")]
        >>> TrainingSet.read(pairs)
        TrainingSet(2 pictures, 2 labels)
        """
        annotations = read_pictures(source, multi_label=multi_label)
        names = classes(annotations) if labels is None else [*labels]
        matched = match(annotations, names)
        usable = matched.usable(multi_label=teacher is not None)
        rows = [row for row in range(len(annotations)) if usable[row]]
        used = [annotations[row] for row in rows]
        unreadable: dict[Path, str] = {}  # without a label; others are tried again, and told then
        probabilities: list[Floats | None] = [None] * len(used)
        groups: list[int | None] = [None] * len(used)
        if teacher is not None:
            encoded = encode_annotations(
                teacher.encoder,
                used,
                source,
                use_index=use_index,
                batch_size=batch_size,
                progress=progress,
            )
            readable = encoded.readable
            unreadable = {
                used[row].path: error
                for row, error in encoded.errors.items()
                if not matched.label_ids[rows[row]]
            }
            embeddings = encoded.embeddings[readable]
            decision = Decision(multi_label=multi_label)
            by_row = label_probabilities(embeddings, teacher.compile(names), decision)[1]
            duplicates = near_duplicates(embeddings, NEAR)
            for row, scores, group in zip(readable, by_row, duplicates, strict=True):
                probabilities[row], groups[row] = scores, int(readable[group])
        summary = ReadSummary(
            len(used),
            unreadable,
            unlabelled=0 if teacher else sum(not a.labels for a in annotations),
            unmatched=matched.unmatched,
        )
        (on_read or ReadSummary.warn)(summary)
        taught = frozenset[str]()
        if teacher is not None:
            taught = example_digests(teacher.model, teacher.adapter)
        pictures = []
        for i, annotation in enumerate(used):
            content = annotation.source.content
            first, *others = matched.label_ids[rows[i]] or (None,)
            pictures.append(
                TrainingPicture(
                    content,
                    probabilities[i],
                    first,
                    groups[i],
                    seen=bool(taught) and content_digest(content) in taught,
                    others=tuple(other for other in others if other is not None),
                )
            )
        known = [p for p in pictures if p.label_id is not None or p.probabilities is not None]
        left_out = {
            "no label": summary.unlabelled,
            "another label": sum(summary.unmatched.values()),
            "could not be read before": len(pictures) - len(known),
        }
        reasons = {why: n for why, n in left_out.items() if n}
        return cls(known, tuple(names), (), reasons, multi_label=multi_label)


def read_pictures(source: Labelled, *, multi_label: bool = False) -> list[Annotation]:
    """As `read_annotations`, of an index's .sqlite file too. SourceError, also for videos."""
    indexed = labelled_pictures(source) if isinstance(source, (str, Path)) else None
    annotations = read_annotations(source if indexed is None else indexed, multi_label=multi_label)
    video = next((a for a in annotations if a.is_video), None)
    if video is not None:
        raise SourceError(
            f"{video.path}: a small classifier learns from pictures, and this is a video; take "
            f"its frames: unseen label {video.path} --labels …"
        )
    return annotations
