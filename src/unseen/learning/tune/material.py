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
from unseen.datasets.annotation import classes, match
from unseen.datasets.content import content_digest
from unseen.datasets.read_summary import ReadSummary
from unseen.datasets.readers import TABLES, read_annotations, read_table
from unseen.errors import LabelError, SourceError
from unseen.index.encoding import StageProgress
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

CAPTION = "caption"  # the column of a table of pairs
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
    sources : list
        What `open_image` takes, n of them.
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


def annotated(classifier: Classifier, source: Labelled, template: TemplateLike) -> Annotated:
    """The labelled pictures, or the pairs of pictures and captions, of a source.

    Raises SourceError and LabelError where there are none.
    """
    pairs = _pairs(source)
    if pairs is not None:
        names = tuple(dict.fromkeys(caption for _, caption in pairs))
        index = {name: i for i, name in enumerate(names)}
        ids: list[tuple[int, ...]] = [(index[caption],) for _, caption in pairs]
        texts = classifier.encode_texts(list(names))
        return Annotated([path for path, _ in pairs], ids, names, texts, None, {}, 0)
    annotations = read_annotations(source, multi_label=True)
    compiled = classifier.compile(classes(annotations), template=template)
    matched = match(annotations, [label.name for label in compiled.labels])
    rows = [row for row, ids in enumerate(matched.label_ids) if ids]
    return Annotated(
        [_content(annotations[row]) for row in rows],
        [matched.label_ids[row] or () for row in rows],
        tuple(label.name for label in compiled.labels),
        compiled.matrix,
        compiled,
        matched.unmatched,
        sum(not annotation.labels for annotation in annotations),
    )


def _content(annotation: Any) -> Any:
    return annotation.source.content


def _pairs(source: Any) -> list[tuple[Path, str]] | None:
    """The rows of a table that has captions and no labels; None of any other source."""
    if not isinstance(source, (str, Path)) or Path(source).suffix.lower() not in TABLES:
        return None
    try:
        rows = read_table(Path(source), CAPTION)
    except SourceError:
        return None
    if "label" in rows[0][2]:
        return None
    return [(path, caption) for path, caption, _ in rows if caption]


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
    words : float32 array
        Texts among which ordinary pictures are answered.
    own_leash : bool
        Whether the ordinary pictures are the user's.
    digest : str
        Of the labelled pictures and their labels.
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
    words: Floats
    own_leash: bool
    digest: str

    def exam(self, name: str) -> Exam:
        """The pictures that "choose" α, or those that "judge" what was chosen."""
        positive = np.zeros((len(self.data.label_ids), len(self.data.names)), dtype=bool)
        for row, ids in zip(positive, self.data.label_ids, strict=True):
            row[list(ids)] = True
        chooses = name == "choose"
        return Exam(
            self.labelled.pixels,
            self.ordinary.pixels,
            self.split.choose if chooses else self.split.judge,
            self.choose_ordinary if chooses else self.judge_ordinary,
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
        {Path(str(data.sources[row])): error for row, error in labelled.errors.items()},
        data.unlabelled,
        data.unmatched,
    )
    (on_read or ReadSummary.warn)(summary)
    rows = labelled.readable
    if len(rows) < LEAST:
        raise SourceError(
            f"{len(rows)} labelled pictures could be read; a tuning needs {LEAST} or more."
        )
    digests = [content_digest(data.sources[row]) or f"row {row}" for row in rows]
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
        _sure(choose, sureness),
        _sure(judge, sureness),
        in_chunks(embed, labelled.pixels, np.arange(len(labelled.pixels))),
        anchors,
        words,
        options.leash is not None,
        _digest(digests, [[data.names[i] for i in data.label_ids[row]] for row in rows]),
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


def _sure(rows: NDArray[np.intp], sureness: Floats) -> NDArray[np.intp]:
    """The ordinary pictures about which the original is sure; the surer half, if that is more."""
    surest = rows[np.argsort(-sureness[rows], kind="stable")]
    count = max(int((sureness[rows] >= SURE).sum()), len(rows) // 2)
    return np.sort(surest[:count])


def _ordinary(options: TuneOptions) -> list[Any]:
    """The pictures of the leash, or drawn ones."""
    if options.leash is None:
        return [drawn(number) for number in range(DRAWN)]
    items: Iterable[Any] = expand(str(Path(options.leash).expanduser()))
    return [item.content for item in islice(items, MOST_ORDINARY)]


def _digest(digests: Sequence[str], labels: Sequence[Sequence[str]]) -> str:
    rows = sorted(zip(digests, map(list, labels), strict=True))
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()
