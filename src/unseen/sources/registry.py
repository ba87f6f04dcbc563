"""Which reader opens what: by the suffix of a file, or by the scheme of an address.

A reader is one file of this package and one row here. It is a function that takes the path or
address as it was given, and yields a `Source` for each image, lazily and in order. What it must
refuse is a `Source` whose content is `Unreadable`: one broken item never ends a stream.
"""

from __future__ import annotations

import os.path
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from unseen.sources.files import PATH_LENGTH, holds
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
    """

    function: str
    suffixes: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    names: str = ""
    columns: str = ""
    counts: bool = True
    lists: bool = False

    def read(self, source: str | Path) -> Iterator[Source]:
        """The items of one source."""
        return cast("Iterator[Source]", _called(self.function, source))

    def keys(self, source: str | Path) -> tuple[str, ...]:
        """The keys of the metadata of its items."""
        return self.fields + (_called(self.columns, source) if self.columns else ())

    def all_names(self, source: str | Path) -> Iterator[str]:
        """The names of all files in one source."""
        return cast("Iterator[str]", _called(self.names, source)) if self.names else iter(())


def _called(name: str, source: str | Path) -> Any:
    file, _, function = name.rpartition(".")
    return getattr(import_module(f"unseen.sources.{file}"), function)(source)


READERS = (
    Reader(
        "containers.archives.read_zip",
        suffixes=(".zip",),
        fields=("member",),
        names="containers.archives.zip_names",
    ),
    Reader(
        "video.read_video",
        suffixes=next(row.suffixes for row in FORMATS if row.kind == VIDEO),
        fields=("video", "time", "until"),
        counts=False,
    ),
    Reader(
        "containers.tar_archive.read_tar",
        suffixes=(".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz"),
        fields=("member", "cls", "txt"),
        names="containers.tar_archive.tar_names",
        counts=False,
    ),
    Reader(
        "containers.tables.read_csv",
        suffixes=(".csv", ".tsv"),
        columns="containers.tables.csv_fields",
        lists=True,
    ),
    Reader(
        "containers.tables.read_json_lines",
        suffixes=(".jsonl", ".ndjson"),
        fields=("row",),
        lists=True,
    ),
    Reader(
        "containers.tables.read_parquet",
        suffixes=(".parquet",),
        columns="containers.tables.parquet_fields",
        counts=False,
    ),
    Reader(
        "containers.tables.read_arrow",
        suffixes=(".arrow", ".feather"),
        fields=("row",),
        counts=False,
    ),
    Reader("containers.pdf.read_pdf", suffixes=(".pdf",), fields=("page",)),
    Reader(
        "containers.object_store.read_store",
        schemes=("s3", "gs", "gcs", "az", "abfs", "abfss"),
        names="containers.object_store.store_names",
        counts=False,
        lists=True,
    ),
)

_BY_SUFFIX = {suffix: reader for reader in READERS for suffix in reader.suffixes}
_BY_SCHEME = {scheme: reader for reader in READERS for scheme in reader.schemes}


def reader_of(source: object) -> Reader | None:
    """The reader of a source; None when it is a single image, or a folder or glob."""
    if not isinstance(source, (str, Path)) or len(str(source)) > PATH_LENGTH:
        return None  # a long string is base64
    scheme, separator, _ = str(source).partition("://")
    if separator:
        return _BY_SCHEME.get(scheme.lower())
    suffixes = [suffix.lower() for suffix in Path(source).suffixes[-2:]]
    reader = _BY_SUFFIX.get("".join(suffixes)) or _BY_SUFFIX.get("".join(suffixes[-1:]))
    return reader if reader is not None and holds(os.path.isfile, source) else None
