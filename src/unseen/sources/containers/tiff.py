"""A TIFF file → its pages, each taken out as a TIFF file of its own; none is decoded here.

The directories of a TIFF are a chain: https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf,
section 2; those of BigTIFF have wider numbers (https://www.awaresystems.be/imaging/tiff/bigtiff.html).
Small versions of a page (NewSubfileType) are no pages.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from unseen.errors import SourceError
from unseen.sources.containers.container_file import container_file
from unseen.sources.item import Source, Unreadable, name_of

PAGE = "page"
MAX_PAGES = 10_000
MAX_ENTRIES = 1_000  # of a directory
MAX_PAGE_BYTES = 64 * 1024 * 1024
SUBFILE_TYPE, REDUCED = 254, 1
# Where its pixels are, in strips or in tiles, each with the tag that says how many bytes these are.
PIXELS = {273: 279, 324: 325}
# Directories of their own (sub-images, EXIF, GPS), and the tables of JPEG in TIFF as it was first.
POINTERS = frozenset({330, 34665, 34853, 40965, 513, 514})
SIZES = {
    1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8,
    18: 8,
}  # fmt: skip
INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}


@dataclass(frozen=True)
class _Form:
    """How numbers are written in a file: their order, and whether they are those of BigTIFF."""

    order: str
    big: bool

    @property
    def offset(self) -> str:
        return self.order + ("Q" if self.big else "I")

    @property
    def count(self) -> str:
        return self.order + ("Q" if self.big else "H")

    @property
    def entry(self) -> int:
        return 20 if self.big else 12

    @property
    def inline(self) -> int:
        return 8 if self.big else 4

    @property
    def head(self) -> bytes:
        """What stands before the offset of the first directory."""
        name = b"II" if self.order == "<" else b"MM"
        rest = (43, 8, 0) if self.big else (42,)
        return name + struct.pack(f"{self.order}{len(rest)}H", *rest)


@dataclass(frozen=True)
class _Entry:
    tag: int
    kind: int
    count: int
    value: bytes  # as it stands in the directory: the value, or where it is


def read_tiff(path: str | Path) -> Iterator[Source]:
    """The pages of a TIFF file; a file of one page is that picture itself.

    Parameters
    ----------
    path : str or Path
        Of the file.

    Yields
    ------
    Source
        `scan.tif#page=1` with the metadata `page`, from 1.
    """
    name = name_of(path, 0)
    pages = _pages(path)
    if len(pages) < 2:
        yield Source(name, path)
        return
    for number, offset in pages[:MAX_PAGES]:
        item = f"{name}#{PAGE}={number}"
        yield Source(item, _Page(path, offset, item), {PAGE: number})
    if len(pages) > MAX_PAGES:
        problem = f"{name}: it has more than {MAX_PAGES:,} pages; the first {MAX_PAGES:,} are read."
        yield Source(name, Unreadable(SourceError(problem)))


def tiff_fields(path: str | Path) -> tuple[str, ...]:
    """The keys of the metadata of its pages; none of a file of one page."""
    return (PAGE,) if len(_pages(path)) > 1 else ()


def tiff_page(path: str | Path, number: str) -> Any:
    """The content of one page.

    Parameters
    ----------
    path : str or Path
        Of the file.
    number : str
        Of the page, from 1.

    Raises
    ------
    SourceError
        If there is no such page.
    """
    name = f"{name_of(path, 0)}#{PAGE}={number}"
    offset = next((offset for one, offset in _pages(path) if str(one) == number), None)
    if offset is None:
        raise SourceError(f"{name}: there is no such page.")
    return _Page(path, offset, name)


@dataclass(frozen=True, eq=False)
class _Page:
    """A page as a binary file; each `read` begins at its start, in any thread."""

    path: str | Path
    offset: int
    name: str

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes."""
        try:
            with container_file(self.path) as file:
                content = _alone(file, self.offset)
        except (OSError, ValueError, struct.error) as error:
            raise SourceError(f"{self.name}: the page cannot be read: {error}.") from None
        return content[: None if size < 0 else size]


def _pages(path: str | Path) -> list[tuple[int, int]]:
    """The number and the offset of each page, one more than are read at most; none where the file
    cannot be read."""
    pages: list[tuple[int, int]] = []
    seen: set[int] = set()
    try:
        with container_file(path) as file:
            form, offset = _form(file)
            while offset and offset not in seen and len(pages) <= MAX_PAGES:
                seen.add(offset)
                if len(seen) > 2 * MAX_PAGES:
                    break
                entries, following = _directory(file, form, offset)
                if not any(_is_reduced(form, entry) for entry in entries):
                    pages.append((len(seen), offset))
                offset = following
    except (OSError, ValueError, struct.error):
        return pages  # what it has; a page that is cut off fails when it is opened
    return pages


def _is_reduced(form: _Form, entry: _Entry) -> bool:
    if entry.tag != SUBFILE_TYPE or entry.kind not in INTEGERS or entry.count != 1:
        return False
    (value,) = struct.unpack_from(form.order + INTEGERS[entry.kind], entry.value)
    return bool(value & REDUCED)


def _form(file: BinaryIO) -> tuple[_Form, int]:
    """How the file is written, and where its first directory is. ValueError for no TIFF."""
    head = file.read(16)
    orders = {b"II": "<", b"MM": ">"}
    if head[:2] not in orders or len(head) < 8:
        raise ValueError("this is no TIFF file")
    order = orders[head[:2]]
    (version,) = struct.unpack_from(order + "H", head, 2)
    if version == 43 and len(head) == 16:
        return _Form(order, True), struct.unpack_from(order + "Q", head, 8)[0]
    if version != 42:
        raise ValueError("this is no TIFF file")
    return _Form(order, False), struct.unpack_from(order + "I", head, 4)[0]


def _directory(file: BinaryIO, form: _Form, offset: int) -> tuple[list[_Entry], int]:
    """The entries of a directory, and where the next is; 0 after the last."""
    file.seek(offset)
    (count,) = struct.unpack(form.count, _exactly(file, struct.calcsize(form.count)))
    if not 0 < count <= MAX_ENTRIES:
        raise ValueError(f"a directory of {count:,} entries")
    table = _exactly(file, count * form.entry)
    entries = []
    for start in range(0, len(table), form.entry):
        layout = f"{form.order}HH{'Q' if form.big else 'I'}"
        tag, kind, number = struct.unpack_from(layout, table, start)
        entries.append(
            _Entry(tag, kind, number, table[start + form.entry - form.inline : start + form.entry])
        )
    rest = file.read(form.inline)
    following = struct.unpack(form.offset, rest)[0] if len(rest) == form.inline else 0
    return entries, following


def _exactly(file: BinaryIO, size: int) -> bytes:
    content = file.read(size)
    if len(content) != size:
        raise ValueError("it is cut off")
    return content


def _alone(file: BinaryIO, offset: int) -> bytes:
    """A TIFF file of one page: its directory, the values that this names, and its pixels."""
    form, _ = _form(file)
    entries, _ = _directory(file, form, offset)
    entries = [entry for entry in entries if entry.tag not in POINTERS]
    values = {entry.tag: (entry, _value(file, form, entry)) for entry in entries}
    start = len(form.head) + form.inline
    body = bytearray()
    for places, lengths in PIXELS.items():
        if places in values and lengths in values:
            entry, _ = values[places]
            moved = []
            for place, length in zip(
                _integers(form, *values[places]), _integers(form, *values[lengths]), strict=True
            ):
                if length > MAX_PAGE_BYTES - len(body):
                    raise ValueError(f"it has more than {MAX_PAGE_BYTES:,} bytes")
                file.seek(place)
                moved.append(start + len(body))
                body += file.read(length)
                body += b"\0" * (len(body) % 2)
            kind = 16 if form.big else 4
            packed = struct.pack(f"{form.order}{len(moved)}{INTEGERS[kind]}", *moved)
            values[places] = _Entry(places, kind, len(moved), b""), packed
    table = bytearray(struct.pack(form.count, len(values)))
    for tag, (entry, value) in sorted(values.items()):
        layout = f"{form.order}HH{'Q' if form.big else 'I'}"
        table += struct.pack(layout, tag, entry.kind, entry.count)
        if len(value) > form.inline:
            table += struct.pack(form.offset, start + len(body))
            body += value + b"\0" * (len(value) % 2)
        else:
            table += value.ljust(form.inline, b"\0")
    table += struct.pack(form.offset, 0)
    return form.head + struct.pack(form.offset, start + len(body)) + bytes(body) + bytes(table)


def _value(file: BinaryIO, form: _Form, entry: _Entry) -> bytes:
    """The bytes of a value, wherever they stand."""
    size = SIZES.get(entry.kind, 1) * entry.count
    if size <= form.inline:
        return entry.value[:size]
    if size > MAX_PAGE_BYTES:
        raise ValueError(f"it has more than {MAX_PAGE_BYTES:,} bytes")
    file.seek(struct.unpack(form.offset, entry.value)[0])
    return _exactly(file, size)


def _integers(form: _Form, entry: _Entry, value: bytes) -> tuple[int, ...]:
    if entry.kind not in INTEGERS:
        raise ValueError("its pixels are at no place")
    return struct.unpack(f"{form.order}{entry.count}{INTEGERS[entry.kind]}", value)
