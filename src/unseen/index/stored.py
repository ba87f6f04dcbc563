"""Embeddings of a folder's pictures: from an index above it where there is one, else computed."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from unseen.datasets.annotation import Annotation
from unseen.encoder import Encoded, Encoder
from unseen.errors import UnseenWarning
from unseen.index.exchange.annotations import annotations_of
from unseen.index.index import Index
from unseen.index.location import ELSEWHERE, index_above, is_index, one_folder, root_of
from unseen.index.model_rows import ModelRow, name_and_revision, preferred, select
from unseen.index.update import Progress
from unseen.load_options import LoadOptions
from unseen.sources.containers.container_file import is_elsewhere
from unseen.sources.expand import expand

ROW_FIELDS = ("revision", "precision", "exact")  # of LoadOptions: what tells rows of a model apart


def embeddings_of(
    sources: Any,
    encoder: Encoder,
    *,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Encoded]:
    """The embedding of each picture, from an index where there is one.

    Parameters
    ----------
    sources : path, glob, picture or iterable of them
        Of one folder with an index in or above it that this encoder has filled, the stored
        embeddings are taken, after the index was brought up to date; of all else the files.
    encoder : Encoder
        The model.
    batch_size : int, optional
        Pictures that the network takes at once. None: as many as suit the model.
    progress : callable, optional
        Called with the new pictures done, and how many there are, while an index is updated.

    Yields
    ------
    Encoded
        An embedding or an error for each picture, under the names that the files have themselves.
    """
    root = index_of(sources, encoder)
    if root is None:
        return encoder.stream_images(expand(sources), batch_size=batch_size)
    return stored_embeddings(
        root, one_folder(sources), encoder, batch_size=batch_size, progress=progress
    )


def index_of(sources: Any, encoder: Encoder, tiles: str | None = None) -> Path | None:
    """The folder of the index that has the embeddings of `sources`, or None.

    That is where `sources` is one folder, and this encoder has filled an index in or above it,
    which is up to date, or can be brought there. With `tiles`: one that keeps these.
    """
    root = index_above(sources)
    if root is None:
        return None
    folder = one_folder(sources) or root
    with Index(root, create=False) as index:
        has = covers(index, encoder, [folder])
        if has and tiles is not None:
            has = index.view(encoder).has_tiles(tiles, _below(index, folder))
        return root if has else None


def covers(index: Index, encoder: Encoder, sources: Sequence[Path]) -> bool:
    """Whether the embeddings of files can be had from an index, after `refresh`.

    With a warning where they could, if the index could be written.
    """
    if not index.has(encoder):
        return False
    if index.writable or index.is_current(encoder, sources):
        return True
    warnings.warn(
        f"{index.file} is read-only and not up to date, so the pictures themselves are read; "
        f"{ELSEWHERE}.",
        UnseenWarning,
        stacklevel=3,
    )
    return False


def refresh(
    index: Index,
    encoder: Encoder,
    sources: Sequence[Path],
    *,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Update an index that covers `sources`; one that is read-only is up to date already."""
    if index.writable:
        index.update(encoder, sources, batch_size=batch_size, progress=progress)


def stored_embeddings(
    root: Path,
    folder: Path | None,
    encoder: Encoder,
    *,
    tiles: str | None = None,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Encoded]:
    """The embeddings below `folder` from the index of `root`, which is brought up to date now.

    They come under the names that the files have when they are read themselves. With `tiles`: also
    those of the tiles.
    """
    folder = folder or root
    with Index(root, create=False) as index:
        refresh(index, encoder, [folder], batch_size=batch_size, progress=progress)
        if tiles is not None and index.writable:
            index.keep_tiles(
                encoder,
                tiles,
                below=_below(index, folder),
                batch_size=batch_size,
                progress=progress,
            )
    return _read(root, folder, encoder, tiles is not None)


def labelled_pictures(file: str | Path) -> list[Annotation] | None:
    """The pictures of an index with their labels, by its .sqlite file; None of any other file.

    Raises SourceError where no picture has a label.
    """
    path = Path(file)
    if not path.is_file() or not is_index(path):
        return None
    with Index(root_of(path), create=False, file=path) as index:
        return annotations_of(index.root, index.files())


def _below(index: Index, folder: Path) -> str:
    """How the names of the files in a folder begin in an index."""
    name = index.name(folder)
    return "" if name == "." else f"{name}/"


def _read(root: Path, folder: Path, encoder: Encoder, tiles: bool) -> Iterator[Encoded]:
    with Index(root, create=False) as index:
        below = _below(index, folder)
        before = str(folder / "x")[:-1]  # by text: a path a row takes as long as its answer
        for one in index.view(encoder).encoded(below=below, tiles=tiles):
            name = _name_of(one.name.removeprefix(below), before)
            yield Encoded(name, one.embedding, one.error, one.meta, one.tiles)


def _name_of(stored: str, before: str) -> str:
    """What opens a picture of the index: its path below a folder, which ends in a separator, or an
    address as it is."""
    if is_elsewhere(stored):
        return stored
    name = stored.replace("/", os.sep)
    return str(Path(name)) if os.path.isabs(name) else before + name  # noqa: PTH117


def recorded_options(
    sources: Any, options: LoadOptions, given: Collection[str] = ()
) -> tuple[LoadOptions, list[ModelRow]]:
    """The options that an index of `sources` was made with, where no others are demanded.

    Parameters
    ----------
    sources : path, glob, picture or iterable of them
        Only one folder can have an index, in or above it.
    options : LoadOptions
        The model, and what a row of the index is to be loaded with.
    given : collection of str
        Fields of `options` that a row must have: revision, precision or exact. The model always.

    Returns
    -------
    options : LoadOptions
        As they were where no row of the index fits, or one fits them as they are.
    rows : list of ModelRow
        The rows that fit where the options are changed, the one that is taken last; else empty.
    """
    root = index_above(sources)
    if root is None:
        return options, []
    demanded = {"model": options.model, "commercial": options.commercial}
    demanded |= {name: getattr(options, name) for name in given if name in ROW_FIELDS}
    with Index(root, create=False) as index:
        rows = select(index.models(), demanded)
    _, revision = name_and_revision(options.model, options.revision)
    requested = (revision, options.precision, options.exact)
    fits = any((row.revision, row.precision, row.exact) == requested for row in rows)
    if fits or not rows or options.precision == "auto":
        return options, []
    row = preferred(rows)
    changed = replace(options, **{name: getattr(row.options, name) for name in ROW_FIELDS})
    return changed, [*(other for other in rows if other != row), row]
