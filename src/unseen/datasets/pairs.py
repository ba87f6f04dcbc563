"""Pictures with captions, or with labels, of tables: CSV, JSON lines and Parquet → annotations."""

from __future__ import annotations

from pathlib import Path

from unseen.datasets.annotation import Annotation
from unseen.datasets.readers import SEPARATOR, TABLES, read_table
from unseen.errors import SourceError
from unseen.sources.containers.tables import read_parquet

CAPTIONS = ("caption", "text")  # columns of a table of pairs; of CSV and JSON lines the first alone
LABEL = "label"
PARQUET = (".parquet", ".pq")
MOST_BYTES = 2 * 1024**3  # of the pictures in a Parquet file, which are held in memory


def read_captions(path: Path) -> list[Annotation] | None:
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


def read_labelled_parquet(path: Path) -> tuple[list[Annotation], bool]:
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
    parts = text.split(SEPARATOR) if column == LABEL else [text]
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
