"""Whatever was given → named items to open, lazily and in order."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from unseen.errors import SourceError
from unseen.sources import files
from unseen.sources.containers.container_file import is_elsewhere
from unseen.sources.containers.rows import picture_column, row_source
from unseen.sources.files import image_names, is_folder_or_glob, no_images
from unseen.sources.formats import by_count
from unseen.sources.item import Source, name_of
from unseen.sources.local import local_path
from unseen.sources.registry import Reader, reader_of

if TYPE_CHECKING:
    from unseen.types import Sources


def expand(sources: Sources) -> Iterator[Source]:
    """Every image of `sources`, lazily and in order.

    Parameters
    ----------
    sources : Sources
        An image in any form, a folder (walked to its end, sorted, without hidden files), a glob, an
        archive, an array of the shape (n, height, width, channels), or an iterable of all these and
        of `Source`.

    Yields
    ------
    Source
        An item to open. A missing path in an iterable is passed on, so that it fails alone, when it
        is opened.

    Raises
    ------
    SourceError
        If a folder, glob or archive has no images.

    Examples
    --------
    >>> [source.name for source in expand(["examples/cat.jpg", b"..."])]
    ['examples/cat.jpg', 'image 1']
    """
    if _is_iterable_of_sources(sources):
        return _expand_each(sources)
    return _expand_source(sources, 0)


def keyed(sources: Sources) -> Iterator[Source]:
    """As `expand`; each item is named by what opens it again.

    Parameters
    ----------
    sources : Sources
        As of `expand`.
    """
    return (replace(item, name=item.key) if item.key else item for item in expand(sources))


def reopenable(source: object) -> str | Path:
    """A source as a path or an address, for those that open its pictures again later.

    Parameters
    ----------
    source : str or Path
        As it was given.

    Returns
    -------
    str or Path
        A str is an address.

    Raises
    ------
    SourceError
        For pictures in memory.

    Examples
    --------
    >>> reopenable("file:///photos/a.zip").name
    'a.zip'
    """
    if isinstance(source, os.PathLike):
        return Path(source)
    if isinstance(source, str):
        return source if is_elsewhere(source) else Path(local_path(source))
    raise SourceError(
        f"{type(source).__name__}: pictures in memory cannot be opened again later; write them to "
        "files, an archive or a table, and give its path. A data set of Hugging Face: "
        'dataset.to_parquet("pictures.parquet").'
    )


def count(sources: Sources) -> int | None:
    """How many images `expand` gives; None when only iterating can tell."""
    each = sources if isinstance(sources, (list, tuple)) else [sources]
    if any(reader is not None and not reader.counts for reader in map(_reader_of, each)):
        return None
    if not isinstance(sources, (str, Path, list, tuple)):
        return None
    return sum(_count(source) for source in each)


def _count(source: Any) -> int:
    if not isinstance(source, (str, Path)):
        return 1
    path = local_path(source) if isinstance(source, str) else source
    if reader_of(path) is None and is_folder_or_glob(path):
        return sum(1 for _ in image_names(path))
    return sum(1 for _ in expand(source))


def left_out(sources: Sources) -> dict[str, int]:
    """The files in folders, globs and archives that `expand` gives nothing for.

    Parameters
    ----------
    sources : Sources
        As of `expand`. An iterator is not consumed, and has none.

    Returns
    -------
    dict of str to int
        Kind → how many, the most first; "other" are those of no known kind, hidden files, and those
        without a suffix.

    Examples
    --------
    >>> left_out("tests/fixtures/pictures").get("video", 0)
    0
    """
    each = sources if isinstance(sources, (list, tuple)) else [sources]
    kinds: Counter[str] = Counter()
    for source in each:
        if isinstance(source, (str, Path)):
            path = local_path(source) if isinstance(source, str) else source
            reader = reader_of(path)
            kinds.update(
                files.left_out(path)
                if reader is None
                else files.kinds_left_out(reader.all_names(path))
            )
    return by_count(kinds)


def fields_of(sources: Sources) -> tuple[str, ...]:
    """The keys of metadata that the readers of these sources declare; () for an iterator."""
    each = sources if isinstance(sources, (list, tuple)) else [sources]
    pairs = ((_reader_of(source), source) for source in each)
    keys = (reader.keys(local_path(str(source))) for reader, source in pairs if reader is not None)
    return tuple(dict.fromkeys(key for some in keys for key in some))


def _reader_of(source: Any) -> Reader | None:
    return reader_of(local_path(source) if isinstance(source, str) else source)


def _is_iterable_of_sources(sources: Any) -> TypeGuard[Iterable[Any]]:
    numpy = sys.modules.get("numpy")  # imported by now, where there is an array
    if numpy is not None and isinstance(sources, numpy.ndarray):
        return bool(sources.ndim == 4)  # a batch of images
    return (
        isinstance(sources, Iterable)
        and not isinstance(sources, (str, bytes, bytearray, memoryview))
        and not hasattr(sources, "read")  # a file
        and not hasattr(sources, "getbands")  # a Pillow image
    )


def _expand_source(source: Any, index: int) -> Iterator[Source]:
    if isinstance(source, Source):
        return iter([source])
    if isinstance(source, Mapping):  # a row of a data set of Hugging Face
        table = f"row {index}"
        return iter([row_source(source, picture_column(source, table), index, "data set")])
    if isinstance(source, str):
        source = local_path(source)
    reader = reader_of(source)
    if reader is not None:  # first: an address with a scheme may look like a glob
        return _nonempty(reader.read(source), source)
    if is_folder_or_glob(source):
        return (Source(name, Path(name)) for name in image_names(source))
    return iter([Source(name_of(source, index), source)])


def _expand_each(sources: Iterable[Any]) -> Iterator[Source]:
    for index, source in enumerate(sources):
        yield from _expand_source(source, index)


def _nonempty(items: Iterator[Source], source: str | Path) -> Iterator[Source]:
    first = next(items, None)
    if first is None:
        raise no_images(source, left_out(source))
    yield first
    yield from items
