"""A path, a folder, a glob, a URL, a picture, or any iterable of these → named things to open."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unseen.errors import SourceError

# What is looked for in folders and globs; a file that is named is opened whatever it is called.
SUFFIXES = frozenset(
    ".avif .bmp .gif .jfif .jpe .jpeg .jpg .jp2 .pbm .pgm .png .ppm .tif .tiff .webp".split()  # noqa: SIM905 - the list is the point
)
URL_SCHEMES = ("http://", "https://", "data:")
NAME_LENGTH = 60  # of a base64 string or a data URI, in names and messages


@dataclass(frozen=True)
class Source:
    """One thing to open, and what to call it."""

    name: str
    content: Any


def expand(sources: Any) -> Iterator[Source]:
    """Every picture of `sources`, lazily and in order.

    A folder is walked to its end, sorted, hidden files and folders left out; a glob may hold `**`.
    Raises SourceError for a folder or glob without pictures, and for a lone path that is missing;
    a missing path in an iterable is passed on, so that it fails alone, when it is opened.
    """
    if isinstance(sources, (str, Path)):
        return _expand_text(sources)
    if _is_many(sources):
        return _expand_many(sources)
    return iter([Source(name_of(sources, 0), sources)])


def count(sources: Any) -> int | None:
    """How many pictures `expand` will give; None when only iterating can tell."""
    if isinstance(sources, (str, Path)):
        return sum(1 for _ in expand(sources))
    if not isinstance(sources, (list, tuple)):
        return None
    total = 0
    for one in sources:
        more = 1 if not _is_folder_or_glob(one) else sum(1 for _ in expand(one))
        total += more
    return total


def name_of(source: Any, index: int) -> str:
    """What to call a source: its path or URL, or its place in the call."""
    if isinstance(source, (str, Path)):
        text = str(source)
        return text if len(text) <= 4 * NAME_LENGTH and "\n" not in text else shortened(text)
    named = getattr(source, "name", None) or getattr(source, "filename", None)
    return named if isinstance(named, str) else f"image {index}"


def shortened(text: str) -> str:
    """The start of a long string, for messages and names."""
    return text if len(text) <= NAME_LENGTH else f"{text[:NAME_LENGTH]}…"


def _is_many(sources: Any) -> bool:
    if isinstance(sources, np.ndarray):
        return sources.ndim == 4  # a batch of pictures
    return (
        isinstance(sources, Iterable)
        and not isinstance(sources, (bytes, bytearray, memoryview))
        and not hasattr(sources, "read")  # a file
        and not hasattr(sources, "getbands")  # a PIL image
    )


def _is_folder_or_glob(source: Any) -> bool:
    if not isinstance(source, (str, Path)) or str(source).startswith(URL_SCHEMES):
        return False
    return _exists(source, os.path.isdir) or (
        glob.has_magic(str(source)) and not _exists(source, os.path.exists)
    )


def _exists(source: str | Path, test: Any) -> bool:
    """`os.path.exists` and its like, also for strings that are no path at all."""
    try:
        return len(str(source)) < 4096 and bool(test(source))
    except (OSError, ValueError):
        return False


def _expand_text(source: str | Path) -> Iterator[Source]:
    if not _is_folder_or_glob(source):
        return iter([Source(name_of(source, 0), source)])
    is_folder = _exists(source, os.path.isdir)
    found = _walk(Path(source)) if is_folder else _matches(str(source))
    return _at_least_one(found, str(source))


def _expand_many(sources: Iterable[Any]) -> Iterator[Source]:
    for index, source in enumerate(sources):
        if isinstance(source, Source):
            yield source
        elif _is_folder_or_glob(source):
            yield from _expand_text(source)
        else:
            yield Source(name_of(source, index), source)


def _walk(folder: Path) -> Iterator[Source]:
    # os.walk does not follow links to folders, so that a loop of them has an end.
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for file in sorted(files):
            path = Path(parent, file)
            if not file.startswith(".") and path.suffix.lower() in SUFFIXES:
                yield Source(str(path), path)


def _matches(pattern: str) -> Iterator[Source]:
    for match in sorted(glob.iglob(pattern, recursive=True)):  # noqa: PTH207 - Path.glob takes no absolute pattern
        path = Path(match)
        if path.is_file() and path.suffix.lower() in SUFFIXES:
            yield Source(str(path), path)


def _at_least_one(found: Iterator[Source], where: str) -> Iterator[Source]:
    first = next(found, None)
    if first is None:
        raise SourceError(
            f"{where}: no pictures in it; looked for files ending in {', '.join(sorted(SUFFIXES))}."
        )
    yield first
    yield from found
