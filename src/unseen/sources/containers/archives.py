"""A zip archive → its images, read one by one and never unpacked to disk.

Archives are taken to be hostile: what can be told from the directory is checked before any member
is decompressed. An archive that cannot be read is one item with an error.
"""

from __future__ import annotations

import io
import posixpath
import struct
import weakref
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from unseen.errors import SourceError
from unseen.sources.containers.container_file import container_version, is_elsewhere, open_container
from unseen.sources.files import is_image_member, leads_out
from unseen.sources.item import Source, Unreadable, name_of, shortened

MAX_MEMBERS = 250_000  # each costs about 0.5 kB of memory
MAX_DIRECTORY_BYTES = 64 * 1024 * 1024
ENTRY_SIGNATURE = b"PK\1\2"  # before each entry of the directory

# Images hardly shrink, but for plain areas in BMP, TIFF and PPM, which may while they are small.
# Deflate itself ends at 1032.
MAX_RATIO = 200
SMALL_BYTES = 1024 * 1024

BROKEN = (OSError, ValueError, EOFError, NotImplementedError, struct.error, zipfile.BadZipFile)

# Others (bzip2, LZMA) cannot be decompressed in pieces of a bounded size.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 0x1  # bit of the flags of a member


def read_zip(path: str | Path) -> Iterator[Source]:
    """The images of a zip archive, in its order.

    Parameters
    ----------
    path : str or Path
        The archive. As in folders, what is hidden and what has no suffix of an image is left out;
        an archive in the archive is not opened.

    Yields
    ------
    Source
        `archive.zip!/folder/image.jpg`, its name in the archive as the metadata `member`. A member
        that is encrypted, that has an unsafe name or one that occurred before, or that would grow
        beyond all measure, has an error as its content.
    """
    name = name_of(path, 0)
    try:
        archive = _open(path)
    except SourceError as error:
        yield Source(name, Unreadable(SourceError(f"{name}: {error}")))
        return
    seen: set[str] = set()
    for info in archive.infolist():
        if not is_image_member(info.filename):
            continue
        member = f"{name}!/{info.filename}"
        problem = _problem(info, seen)
        seen.add(info.filename)
        content = (
            _Member(archive, info)
            if problem is None
            else Unreadable(SourceError(f"{shortened(member)}: {problem}"))
        )
        yield Source(member, content, {"member": info.filename})


def zip_member(path: str | Path, member: str) -> Any:
    """The content of one member, by its name in the archive.

    Parameters
    ----------
    path : str or Path
        The archive.
    member : str
        As in the metadata of its `Source`.

    Raises
    ------
    SourceError
        If there is no such member, or it is not read.
    """
    name = f"{name_of(path, 0)}!/{member}"
    try:
        archive, members = _members(path, container_version(path))
    except OSError as error:
        raise SourceError(f"{name}: it cannot be read: {error.strerror or error}.") from None
    except SourceError as error:
        raise SourceError(f"{name}: {error}") from None
    info = members.get(posixpath.normpath(member))
    problem = "there is no such member." if info is None else _problem(info, set())
    if info is None or problem is not None:
        raise SourceError(f"{shortened(name)}: {problem}")
    return _Member(archive, info)


@lru_cache(maxsize=4)  # a page asks for many pictures of one archive
def _members(path: str | Path, version: str) -> tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]:
    """An archive of this version, and its images by their names."""
    archive = _open(path)
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        if is_image_member(info.filename):
            members.setdefault(posixpath.normpath(info.filename), info)
    return archive, members


def zip_names(path: str | Path) -> Iterator[str]:
    """The names of all files in a zip archive; none of one that cannot be read."""
    try:
        archive = _open(path)
    except SourceError:
        return iter(())
    return (info.filename for info in archive.infolist() if not info.is_dir())


@dataclass(frozen=True, eq=False)
class _Member:
    """A member as a binary file; each `read` begins at its start, in any thread."""

    archive: zipfile.ZipFile
    info: zipfile.ZipInfo

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes; no more than these are decompressed."""
        with self.archive.open(self.info) as file:
            return file.read(size)


class _ArchiveFile(io.RawIOBase):
    """A file whose directory is checked as `ZipFile` reads it: before it makes entries of it."""

    is_open = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int | None = -1, /) -> bytes:
        if self.is_open:
            return self._file.read(-1 if size is None else size)
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise SourceError(f"its directory has more than {MAX_DIRECTORY_BYTES:,} bytes.")
        content = self._file.read(-1 if size is None else size)
        if content.count(ENTRY_SIGNATURE) > MAX_MEMBERS:
            raise SourceError(f"it has more than {MAX_MEMBERS:,} members; split it.")
        return content

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()


def _open(path: str | Path) -> zipfile.ZipFile:
    """Raises SourceError for what is not a zip archive, or one that is made to do harm."""
    try:
        file = _ArchiveFile(open_container(path))
    except OSError as error:
        raise SourceError(f"it cannot be read: {error.strerror or error}.") from None
    try:
        archive = zipfile.ZipFile(file)
        _check_overlap(archive, file)
    except SourceError:
        file.close()
        raise
    except BROKEN as error:
        file.close()
        if is_elsewhere(path) and isinstance(error, OSError):
            raise SourceError(
                f"it cannot be read in parts, as a zip must be ({error.strerror}); download it."
            ) from None
        raise SourceError("this is not a zip archive, or it is damaged.") from None
    file.is_open = True
    # Members outlive this generator: they are read later, in other threads.
    weakref.finalize(archive, file.close)
    return archive


def _check_overlap(archive: zipfile.ZipFile, file: io.RawIOBase) -> None:
    """Members that share their bytes make a bomb of a small file (Fifield, 2019)."""
    if sum(info.compress_size for info in archive.infolist()) > file.seek(0, io.SEEK_END):
        raise SourceError("its members overlap; it is damaged, or made to do harm.")


def _problem(info: zipfile.ZipInfo, seen: set[str]) -> str | None:
    """Why a member is not read, by what the directory tells of it."""
    if leads_out(info.orig_filename):
        return "its name in the archive leads out of it; pack it under another name."
    if info.filename in seen:
        return "the archive has this name twice; only the first is read."
    if info.flag_bits & ENCRYPTED:
        return "it is encrypted; unpack the archive with its password first."
    if info.compress_type not in METHODS:
        return "its compression is not supported; pack it with deflate, or without compression."
    if info.file_size > max(SMALL_BYTES, MAX_RATIO * info.compress_size):
        return f"it would grow to more than {MAX_RATIO} times its size; it is not decompressed."
    return None
