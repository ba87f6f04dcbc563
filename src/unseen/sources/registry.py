"""Which reader opens what: by the suffix of a file, or by the scheme of an address.

A reader is one file of this package and one row here. It is a function that takes the path or
address as it was given, and yields a `Source` for each image, lazily and in order. What it must
refuse is a `Source` whose content is `Unreadable`: one broken item never ends a stream.
"""

from __future__ import annotations

import os.path
from collections.abc import Iterator
from dataclasses import dataclass
from glob import has_magic
from importlib import import_module
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any, cast

from unseen.sources.files import PATH_LENGTH, URL_SCHEMES, holds
from unseen.sources.formats import FORMATS, VIDEO

if TYPE_CHECKING:
    from unseen.sources.item import Source


@dataclass(frozen=True)
class Reader:
    """A kind of source that holds several images.

    Parameters
    ----------
    function : str
        "file.function" of this package; imported when it is first used, so that a reader may need
        what is slow to import or not installed.
    suffixes : tuple of str
        Of the files that it reads, in lower case: ".zip".
    schemes : tuple of str
        Of the addresses that it reads, in lower case: "s3".
    fields : tuple of str
        Keys of the metadata that each of its items has; they are columns of a CSV file.
    names : str
        "file.function" that gives the names of all files in a source, so that those that are no
        pictures can be counted; "" where it has no files.
    columns : str
        "file.function" that gives the keys of the metadata in one source, where these differ.
    counts : bool
        Whether its items can be counted at little cost, before they are read.
    lists : bool
        Whether its items are paths and addresses, each of which can be opened without it.
    mark : str
        What stands between the name of a source and that of an item in it: "!/", "#page=".
    part : str
        "file.function" that takes a source and what stands behind the mark, and gives the content
        of that item; "" where no item is asked for by name.
    elsewhere : bool
        Whether it reads files of stores and servers, too.
    """

    function: str
    suffixes: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    names: str = ""
    columns: str = ""
    counts: bool = True
    lists: bool = False
    mark: str = ""
    part: str = ""
    elsewhere: bool = True

    def read(self, source: str | Path) -> Iterator[Source]:
        """The items of one source."""
        return cast("Iterator[Source]", _called(self.function, source))

    def item(self, source: str | Path, part: str) -> Any:
        """The content of the item of this name, for `open_image`. Raises SourceError."""
        return _called(self.part, source, part)

    def keys(self, source: str | Path) -> tuple[str, ...]:
        """The keys of the metadata of its items."""
        return self.fields + (_called(self.columns, source) if self.columns else ())

    def all_names(self, source: str | Path) -> Iterator[str]:
        """The names of all files in one source."""
        return cast("Iterator[str]", _called(self.names, source)) if self.names else iter(())


def _called(name: str, *given: str | Path) -> Any:
    file, _, function = name.rpartition(".")
    return getattr(import_module(f"unseen.sources.{file}"), function)(*given)


MEMBER, ROW, PAGE = "!/", "#row=", "#page="
MARKS = (MEMBER, ROW, PAGE)


READERS = (
    Reader(
        "containers.archives.read_zip",
        suffixes=(".zip",),
        fields=("member",),
        names="containers.archives.zip_names",
        mark=MEMBER,
        part="containers.archives.zip_member",
    ),
    Reader(
        "video.read_video",
        suffixes=next(row.suffixes for row in FORMATS if row.kind == VIDEO),
        fields=("video", "time", "until"),
        counts=False,
        elsewhere=False,
    ),
    Reader(
        "containers.tar_archive.read_tar",
        suffixes=(".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz"),
        fields=("member", "cls", "txt"),
        names="containers.tar_archive.tar_names",
        counts=False,
        mark=MEMBER,
        part="containers.tar_archive.tar_member",
    ),
    Reader(
        "containers.tables.read_csv",
        suffixes=(".csv", ".tsv"),
        columns="containers.tables.csv_fields",
        lists=True,
        mark=ROW,
        part="containers.tables.row_picture",
    ),
    Reader(
        "containers.tables.read_json_lines",
        suffixes=(".jsonl", ".ndjson"),
        fields=("row",),
        lists=True,
        mark=ROW,
        part="containers.tables.row_picture",
    ),
    Reader(
        "containers.tables.read_parquet",
        suffixes=(".parquet",),
        columns="containers.tables.parquet_fields",
        counts=False,
        mark=ROW,
        part="containers.tables.row_picture",
    ),
    Reader(
        "containers.tables.read_arrow",
        suffixes=(".arrow", ".feather"),
        fields=("row",),
        counts=False,
        mark=ROW,
        part="containers.tables.row_picture",
    ),
    Reader(
        "containers.pdf.read_pdf",
        suffixes=(".pdf",),
        fields=("page",),
        mark=PAGE,
        part="containers.pdf.pdf_page",
    ),
    Reader(
        "containers.tiff.read_tiff",
        suffixes=(".tif", ".tiff"),
        columns="containers.tiff.tiff_fields",
        mark=PAGE,
        part="containers.tiff.tiff_page",
        elsewhere=False,  # there it is one picture
    ),
    Reader(
        "containers.object_store.read_store",
        schemes=("s3", "gs", "gcs", "az", "abfs", "abfss"),
        names="containers.object_store.store_names",
        counts=False,
        lists=True,
    ),
)
WEB_FOLDER = Reader("containers.web_folder.read_web_folder", counts=False, lists=True)

_BY_SUFFIX = {suffix: reader for reader in READERS for suffix in reader.suffixes}
_BY_SCHEME = {scheme: reader for reader in READERS for scheme in reader.schemes}


def reader_of(source: object) -> Reader | None:
    """The reader of a source; None when it is a single image, or a folder or glob.

    A file of a store or a server that holds several images is read as one of this machine, and what
    ends with a slash on a server is a listing.
    """
    if not isinstance(source, (str, Path)) or len(str(source)) > PATH_LENGTH:
        return None  # a long string is base64
    scheme, separator, rest = str(source).partition("://")
    if not separator or not isinstance(source, str):
        reader = _of_suffix(Path(source))
        return reader if reader is not None and holds(os.path.isfile, source) else None
    store = _BY_SCHEME.get(scheme.lower())
    on_server = source.lower().startswith(URL_SCHEMES[:2])
    if store is None and not on_server:
        return None
    reader = None if has_magic(rest) and store is not None else _of_suffix(PurePosixPath(rest))
    if reader is not None and reader.elsewhere:
        return reader
    if on_server:
        return WEB_FOLDER if source.endswith("/") and rest.count("/") > 0 else None
    return store


def _of_suffix(path: PurePath) -> Reader | None:
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    return _BY_SUFFIX.get("".join(suffixes)) or _BY_SUFFIX.get("".join(suffixes[-1:]))


def part_of(name: str | Path) -> tuple[Reader, str | Path, str] | None:
    """The reader, the source and the part in the name of an item of a source; None of any other.

    Parameters
    ----------
    name : str or Path
        Such as `photos.zip!/a.jpg`, `scan.pdf#page=2` or `s3://bucket/table.parquet#row=7`.
    """
    text = str(name)
    if len(text) > PATH_LENGTH or not any(mark in text for mark in MARKS):
        return None
    for mark in MARKS:
        start = text.find(mark)
        while start > 0:
            source: str | Path = text[:start] if isinstance(name, str) else Path(text[:start])
            reader, part = reader_of(source), text[start + len(mark) :]
            if reader is not None and reader.mark == mark and (mark == MEMBER or part.isdecimal()):
                return reader, source, part
            start = text.find(mark, start + 1)
    return None


def item_of(name: str | Path) -> Any:
    """The content of an item by its name, for `open_image`; None of a name that is no such one.

    Parameters
    ----------
    name : str or Path
        As a reader named it.

    Raises
    ------
    SourceError
        If its source has no such item, or cannot be read.
    """
    match = part_of(name)
    if match is None:
        return None
    reader, source, part = match
    return reader.item(source, part)
