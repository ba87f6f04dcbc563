"""Whatever was given → pictures, and the texts that belong to each: labels, or captions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unseen.classifier import Classifier
from unseen.datasets import labelling_file
from unseen.datasets.annotation import Annotation, classes, match
from unseen.datasets.content import content_digest
from unseen.datasets.readers import TABLES, read_annotations, read_table
from unseen.errors import SourceError
from unseen.index.index import Index
from unseen.index.location import is_index, root_of
from unseen.labels.compiled import CompiledLabels
from unseen.sources.containers.tables import read_parquet
from unseen.types import Floats, TemplateLike

if TYPE_CHECKING:
    from unseen.datasets.readers import Labelled

CAPTIONS = ("caption", "text")  # columns of a table of pairs; of CSV and JSON lines the first alone
LABEL = "label"
PARQUET = (".parquet", ".pq")
MOST_BYTES = 2 * 1024**3  # of the pictures in a Parquet file, which are held in memory


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
        return _of_index(source), False
    if not isinstance(source, (str, Path)):
        return read_annotations(source, multi_label=True), False
    path = Path(source)
    if path.suffix.lower() in PARQUET:
        return _of_parquet(path)
    if path.is_file() and is_index(path):
        with closing(Index(root_of(path), create=False, file=path)) as index:
            return _of_index(index), False
    pairs = _pairs(path)
    if pairs is not None:
        return pairs, True
    return read_annotations(path, multi_label=True), False


# tables


def _pairs(path: Path) -> list[Annotation] | None:
    """The rows of a table that has captions and no labels; None of any other source."""
    if path.suffix.lower() not in TABLES:
        return None
    try:
        rows = read_table(path, CAPTIONS[0])
    except SourceError:
        return None
    if LABEL in rows[0][2]:
        return None
    return [Annotation(path, (caption,)) for path, caption, _ in rows if caption]


def _of_parquet(path: Path) -> tuple[list[Annotation], bool]:
    """The rows of a Parquet file, and whether their texts are captions: it has no labels then."""
    annotations: list[Annotation] = []
    column, size = "", 0
    for item in read_parquet(path):
        column = column or next((name for name in (LABEL, *CAPTIONS) if name in item.meta), "")
        text = item.meta.get(column) if column else None
        if text is not None and not isinstance(text, str):
            raise SourceError(
                f"{path}: its column {column!r} has {text!r}; labels and captions are words: "
                "write their names into it."
            )
        size += len(item.content) if isinstance(item.content, bytes) else 0
        if size > MOST_BYTES:
            raise SourceError(
                f"{path}: its pictures take more than {MOST_BYTES / 1e9:.1f} GB, which are held in "
                "memory; write them to files, or take fewer rows."
            )
        texts = _texts(text or "", column)
        annotations.append(Annotation(Path(item.name), texts, content=item.content))
    if not column:
        raise SourceError(
            f"{path}: it has no column of words; name one of them {LABEL}, {' or '.join(CAPTIONS)}."
        )
    captions = column != LABEL
    return [a for a in annotations if a.labels or not captions], captions


def _texts(text: str, column: str) -> tuple[str, ...]:
    """Several labels have `;` between them; a caption is one text."""
    parts = text.split(";") if column == LABEL else [text]
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


# an index


def _of_index(index: Index) -> list[Annotation]:
    """The pictures of an index: with the labels that people gave in the review of its folder, or
    else of the folders that they lie in. Copies are one picture."""
    labelling = labelling_file.labelling_of(index.root)
    reviewed = (
        {} if labelling is None else {p.id: p.label for p in labelling_file.reviewed(labelling)}
    )
    annotations: dict[str, Annotation] = {}
    for path, content in index.files():
        labels = _of_folder(path, index.root)
        if reviewed:
            labels = (reviewed[content],) if content in reviewed else ()
        known = annotations.get(content, Annotation(path, ()))
        merged = tuple(dict.fromkeys([*known.labels, *labels]))
        annotations[content] = replace(known, labels=merged)
    if reviewed:  # a person decided about a content, and the file may have another by now
        annotations = {c: a for c, a in annotations.items() if not a.labels or _has(a.path, c)}
    if not any(annotation.labels for annotation in annotations.values()):
        raise SourceError(
            f"{index.root}: its index has {len(annotations)} pictures, and none of them has a "
            "label: nobody has reviewed one (unseen label), and none lies in a folder of its own."
        )
    return [*annotations.values()]


def _of_folder(path: Path, root: Path) -> Iterable[str]:
    """The label that its first folder below the index's stands for, as of `read_annotations`."""
    inside = path.relative_to(root).parts if path.is_relative_to(root) else ()
    return (" ".join(inside[0].replace("_", " ").split()),) if len(inside) > 1 else ()


def _has(path: Path, content: str) -> bool:
    return content_digest(path) == content
