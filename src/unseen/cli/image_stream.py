"""The pictures of a command, from the index where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import unseen
from unseen.cli import progress
from unseen.index.location import find
from unseen.sources.expand import expand

if TYPE_CHECKING:
    from unseen.encoder import Encoded
    from unseen.prediction.decision import Decision


def predictions_of(
    classifier: unseen.Classifier,
    sources: list[str],
    labels: unseen.CompiledLabels,
    decision: Decision,
    *,
    batch_size: int | None,
    quiet: bool,
) -> Iterator[unseen.Prediction]:
    """A prediction for each picture, from the index where there is one."""
    stream = encoded(classifier, sources, batch_size=batch_size, quiet=quiet)
    return classifier.predictions(stream, labels, decision, batch_size=batch_size)


def encoded(
    classifier: unseen.Classifier,
    sources: list[str],
    *,
    batch_size: int | None = None,
    quiet: bool,
) -> Iterator[Encoded]:
    """The embedding of each picture, from the index where there is one."""
    indexed = indexed_of(sources, classifier)
    if indexed is None:
        return classifier.encoder.stream_images(expand(sources), batch_size=batch_size)
    return from_index(indexed, Path(sources[0]), classifier, quiet)


def indexed_of(sources: list[str], classifier: unseen.Classifier) -> unseen.Index | None:
    """The index that knows these pictures: of one folder, and of just this model."""
    if len(sources) != 1 or not Path(sources[0]).is_dir():
        return None
    root = find(sources[0])
    if root is None:
        return None
    index = unseen.Index(root, create=False)
    return index if index.has(classifier.encoder) else None


def from_index(
    index: unseen.Index,
    folder: Path,
    classifier: unseen.Classifier,
    quiet: bool,
) -> Iterator[Encoded]:
    """The embeddings under the names that the files have when they are looked at themselves."""
    with progress.pictures(quiet) as show:
        index.update(classifier.encoder, [folder], progress=show)
    key = index.name(folder)
    below = "" if key == "." else f"{key}/"
    for encoded in index.encoded(classifier.encoder, below=below):
        yield replace(encoded, name=str(folder / encoded.name.removeprefix(below)))
