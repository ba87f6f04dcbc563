"""What a tuning works with: labelled pictures, ordinary pictures, texts, and the original's answers
about them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unseen.classifier import Classifier
from unseen.datasets.annotation import Annotation, classes, match
from unseen.datasets.content import content_digest
from unseen.datasets.pairs import PARQUET, read_captions, read_labelled_parquet
from unseen.datasets.read_summary import ReadSummary
from unseen.datasets.readers import read_annotations
from unseen.errors import LabelError, SourceError
from unseen.index.encoding import StageProgress
from unseen.index.exchange.annotations import annotations_of
from unseen.index.index import Index
from unseen.index.stored import labelled_pictures
from unseen.labels.compiled import CompiledLabels
from unseen.learning.tune.figures import Embed, Exam, in_chunks
from unseen.learning.tune.options import TuneOptions
from unseen.learning.tune.pictures import PictureFile, decode, drawn
from unseen.learning.tune.split import Split, split_labelled, split_leash, split_pairs
from unseen.prediction import everyday_words
from unseen.prediction.score import softmax
from unseen.sources.expand import expand
from unseen.types import Floats, TemplateLike

if TYPE_CHECKING:
    from unseen.datasets.readers import Labelled

MOST_ORDINARY = 4000  # pictures of a leash
DRAWN = 256  # pictures that are drawn where there is no leash
LEAST = 16  # pictures
LEAST_ORDINARY = 16
SURE = 0.5  # the probability of an answer that is no near-tie, which a breath would change


@dataclass(frozen=True, eq=False)
class Annotated:
    """Pictures, and which texts belong to each.

    Parameters
    ----------
    pictures : list of str
        What each is called, n of them.
    sources : list
        What `open_image` takes.
    label_ids : list of tuple of int
        The texts of each.
    names : tuple of str
        k labels, or captions.
    texts : float32 array (k, d)
        Their embeddings.
    compiled : CompiledLabels, optional
        The same as a label set; None of captions.
    unmatched, unlabelled
        As of `ReadSummary`.
    """

    pictures: list[str]
    sources: list[Any]
    label_ids: list[tuple[int, ...]]
    names: tuple[str, ...]
    texts: Floats
    compiled: CompiledLabels | None
    unmatched: dict[str, int]
    unlabelled: int

    @property
    def is_multi_label(self) -> bool:
        """Whether a picture has several labels."""
        return any(len(ids) > 1 for ids in self.label_ids)


def annotated(
    classifier: Classifier, source: Labelled | Index, template: TemplateLike
) -> Annotated:
    """The labelled pictures, or the pairs of pictures and captions, of a source.

    Raises SourceError and LabelError where there are none.
    """
    annotations, captions = _read(source)
    if captions:
        names = tuple(dict.fromkeys(a.labels[0] for a in annotations))
        index = {name: i for i, name in enumerate(names)}
        ids: list[tuple[int, ...]] = [(index[a.labels[0]],) for a in annotations]
        texts = classifier.encode_texts(list(names))
        return Annotated(*_named(annotations), ids, names, texts, None, {}, 0)
    compiled = classifier.compile(classes(annotations), template=template)
    matched = match(annotations, [label.name for label in compiled.labels])
    rows = [row for row, ids in enumerate(matched.label_ids) if ids]
    return Annotated(
        *_named([annotations[row] for row in rows]),
        [matched.label_ids[row] or () for row in rows],
        tuple(label.name for label in compiled.labels),
        compiled.matrix,
        compiled,
        matched.unmatched,
        sum(not annotation.labels for annotation in annotations),
    )


def _named(annotations: Sequence[Annotation]) -> tuple[list[str], list[Any]]:
    return [str(a.path) for a in annotations], [a.source.content for a in annotations]


def _read(source: Any) -> tuple[list[Annotation], bool]:
    """The pictures with their texts, and whether these are captions."""
    if isinstance(source, Index):
        return annotations_of(source.root, source.files()), False
    if not isinstance(source, (str, Path)):
        return read_annotations(source, multi_label=True), False
    path = Path(source)
    if path.suffix.lower() in PARQUET:
        return read_labelled_parquet(path)
    indexed = labelled_pictures(path)
    if indexed is not None:
        return indexed, False
    pairs = read_captions(path)
    if pairs is not None:
        return pairs, True
    return read_annotations(path, multi_label=True), False


@dataclass(frozen=True, eq=False)
class Material:
    """Everything that is read, and what the original says of it.

    Parameters
    ----------
    data : Annotated
        The labelled pictures as they were given.
    labelled, ordinary : PictureFile
        The pictures as arrays.
    split : Split
        Rows of the labelled pictures.
    leash, choose_ordinary, judge_ordinary : int array
        Rows of the ordinary ones.
    before, anchors : float32 array
        The original's embeddings of both.
    sure : bool array
        About which ordinary pictures the original is sure.
    words : float32 array
        Texts among which ordinary pictures are answered.
    own_leash : bool
        Whether the ordinary pictures are the user's.
    digest : str
        Of the labelled pictures and their labels.
    digests : list of str
        Of the content of each labelled picture that has one.
    """

    data: Annotated
    labelled: PictureFile
    ordinary: PictureFile
    split: Split
    leash: NDArray[np.intp]
    choose_ordinary: NDArray[np.intp]
    judge_ordinary: NDArray[np.intp]
    before: Floats
    anchors: Floats
    sure: NDArray[np.bool_]
    words: Floats
    own_leash: bool
    digest: str
    digests: list[str]

    def exam(self, name: str) -> Exam:
        """The pictures that "choose" α, or those that "judge" what was chosen."""
        positive = np.zeros((len(self.data.label_ids), len(self.data.names)), dtype=bool)
        for row, ids in zip(positive, self.data.label_ids, strict=True):
            row[list(ids)] = True
        chooses = name == "choose"
        ordinary = self.choose_ordinary if chooses else self.judge_ordinary
        return Exam(
            self.labelled.pixels,
            self.ordinary.pixels,
            self.split.choose if chooses else self.split.judge,
            ordinary,
            self.sure[ordinary],
            positive,
            self.data.texts,
            self.words,
            (self.anchors @ self.words.T).argmax(1),
            own_texts=self.data.compiled is None,
        )


def read_material(
    classifier: Classifier,
    data: Annotated,
    options: TuneOptions,
    folder: Path,
    embed: Embed,
    *,
    progress: StageProgress | None = None,
    on_read: Callable[[ReadSummary], None] | None = None,
) -> Material:
    """Read all pictures into files of a folder, divide them, and let the original answer.

    Raises SourceError and LabelError where there is too little to learn from.
    """
    encoder = classifier.encoder
    (shape,) = {i.shape[1:] for i in classifier.model.image_network().inputs}
    side = tuple(int(size or 0) for size in shape)

    def stage(name: str) -> Callable[[int, int], None] | None:
        return None if progress is None else lambda done, of: progress(name, done, of)

    labelled = decode(encoder, data.sources, folder / "labelled.npy", side, stage("pictures"))
    summary = ReadSummary(
        len(data.sources),
        {Path(data.pictures[row]): error for row, error in labelled.errors.items()},
        data.unlabelled,
        data.unmatched,
    )
    (on_read or ReadSummary.warn)(summary)
    rows = labelled.readable
    if len(rows) < LEAST:
        raise SourceError(
            f"{len(rows)} labelled pictures could be read; a tuning needs {LEAST} or more."
        )
    contents = [content_digest(data.sources[row]) for row in rows]
    digests = [content or f"row {row}" for row, content in zip(rows, contents, strict=True)]
    split = _split(data, rows, digests, options.seed)
    if not len(split.train) or not len(split.choose["seen"]) or not len(split.judge["seen"]):
        raise LabelError(
            "too few pictures of each label to hold some out: a tuning needs about eight a label; "
            "`unseen adapt` learns from fewer."
        )
    sources = _ordinary(options)
    ordinary = decode(encoder, sources, folder / "ordinary.npy", side, stage("leash"))
    if len(ordinary.readable) < LEAST_ORDINARY:
        raise SourceError(
            f"{options.leash}: {len(ordinary.readable)} pictures of it could be read; a leash "
            f"needs {LEAST_ORDINARY} or more."
        )
    leash, choose, judge = split_leash(ordinary.readable, options.seed)
    concepts = everyday_words.prompts(classifier.model)[: len(everyday_words.concepts())]
    words = np.concatenate([data.texts, encoder.encode_texts(concepts)])
    anchors = in_chunks(embed, ordinary.pixels, np.arange(len(ordinary.pixels)))
    sureness = softmax(np.float32(classifier.model.score.scale) * (anchors @ words.T)).max(1)
    return Material(
        data,
        labelled,
        ordinary,
        split,
        leash,
        choose,
        judge,
        in_chunks(embed, labelled.pixels, np.arange(len(labelled.pixels))),
        anchors,
        _sure(choose, sureness) | _sure(judge, sureness),
        words,
        options.leash is not None,
        _digest(digests, [[data.names[i] for i in data.label_ids[row]] for row in rows]),
        [content for content in contents if content is not None],
    )


def _split(data: Annotated, rows: NDArray[np.intp], digests: Sequence[str], seed: int) -> Split:
    """The split of the pictures that could be read, as rows of all; copies stay together."""
    numbers = {digest: number for number, digest in enumerate(dict.fromkeys(digests))}
    groups = [numbers[digest] for digest in digests]
    label_ids = [data.label_ids[row] for row in rows]
    if data.compiled is None:
        split = split_pairs(len(rows), groups, seed)
    else:
        split = split_labelled(label_ids, groups, len(data.names), seed)
    return Split(
        rows[split.train],
        {kind: rows[part] for kind, part in split.choose.items()},
        {kind: rows[part] for kind, part in split.judge.items()},
        split.novel_labels,
    )


def _sure(rows: NDArray[np.intp], sureness: Floats) -> NDArray[np.bool_]:
    """Which of all are ordinary pictures of these rows about which the original is sure; the surer
    half of them, if that is more."""
    surest = rows[np.argsort(-sureness[rows], kind="stable")]
    count = max(int((sureness[rows] >= SURE).sum()), len(rows) // 2)
    return np.isin(np.arange(len(sureness)), surest[:count])


def _ordinary(options: TuneOptions) -> list[Any]:
    """The pictures of the leash, or drawn ones."""
    if options.leash is None:
        return [drawn(number) for number in range(DRAWN)]
    items: Iterable[Any] = expand(str(Path(options.leash).expanduser()))
    return [item.content for item in islice(items, MOST_ORDINARY)]


def _digest(digests: Sequence[str], labels: Sequence[Sequence[str]]) -> str:
    rows = sorted(zip(digests, map(list, labels), strict=True))
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()
