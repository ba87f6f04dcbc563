"""A tar archive → its images, read once from its start to its end, packed or not.

In a webdataset the members of one sample follow one another and share the name up to the first
dot of the base name: `0001.jpg`, `0001.json`, `0001.cls`. What stands beside a picture becomes its
metadata. Archives are taken to be hostile: links, devices and sparse members are not followed, and
what a header may cost is bounded before it is read.
"""

from __future__ import annotations

import atexit
import json
import lzma
import posixpath
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from unseen.errors import SourceError, without_frames
from unseen.sources.containers.container_file import (
    container_file,
    container_size,
    container_version,
    is_elsewhere,
)
from unseen.sources.containers.cursor import Cursor
from unseen.sources.containers.rows import TEXT_LENGTH, scalar
from unseen.sources.files import is_image_member, leads_out
from unseen.sources.item import Source, Unreadable, name_of, shortened

MAX_IMAGE_BYTES = 64 * 1024 * 1024
MAX_FACTS_BYTES = 1024 * 1024  # of a .json, .cls or .txt
MAX_HEADER_BYTES = 1024 * 1024  # of a long name, or of the pax records of a member
USTAR = b"ustar"  # in the first header of an archive that is not packed
MAX_SAMPLE = 1_000  # members of one sample
MAX_PLACES = 1_000_000  # of members in an archive, remembered: about 150 bytes each
MAX_SAMPLE_BYTES = 64 * 1024 * 1024  # of these; what follows is a sample of its own
MAX_RATIO = 200  # bytes of an archive for each that is packed; pictures hardly shrink
SMALL_BYTES = 64 * 1024 * 1024  # less is read whatever the ratio
FACTS = (".json", ".cls", ".txt")
BROKEN = (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError, ValueError)

# Members that belong together, each with its content; None where that is too large.
Sample: TypeAlias = list[tuple[tarfile.TarInfo, "bytes | None"]]

_HEADERS = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)  # fmt: skip


class _Member(tarfile.TarInfo):
    """A member whose headers are bounded, and which says whether the archive came to its end."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> _Member:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            vars(archive)["whole"] = True
            raise

    def _proc_member(self, archive: tarfile.TarFile) -> _Member:
        if self.type in _HEADERS and self.size > MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header has more than {MAX_HEADER_BYTES:,} bytes")
        if self.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError("sparse members are not read")
        return super()._proc_member(archive)  # type: ignore[misc, no-any-return]

    def _proc_gnusparse_00(self, *given: Any) -> None:
        raise tarfile.ReadError("sparse members are not read")

    _proc_gnusparse_01 = _proc_gnusparse_10 = _proc_gnusparse_00


def read_tar(path: str | Path) -> Iterator[Source]:
    """The images of a tar archive, in its order.

    Parameters
    ----------
    path : str or Path
        `.tar`, `.tar.gz`, `.tgz`, `.tar.bz2` or `.tar.xz`. What is hidden and what has no suffix of
        an image is left out, as in a folder.

    Yields
    ------
    Source
        `shard.tar!/0001.jpg` with the metadata `member`; of a webdataset also `cls` and `txt`, and
        the strings, numbers and bools of its `.json`. An archive that is cut or damaged ends with
        an item that says so.
    """
    name = name_of(path, 0)
    count = 0
    try:
        for sample in _samples(path):
            count += len(sample)
            yield from _sources(name, sample)
    except BROKEN as error:
        reason = getattr(error, "strerror", None) or str(error) or "it is cut off"
        where = f"after {count:,} members" if count else "at its start"
        yield Source(
            name, Unreadable(SourceError(f"{name}: the archive cannot be read {where}: {reason}."))
        )


def tar_names(path: str | Path) -> Iterator[str]:
    """The names of all files in a tar archive, as far as it can be read.

    Opened to be sought in: contents that are not packed are stepped over, not read. None of one in
    a store, which would be fetched for it.
    """
    if is_elsewhere(path):
        return
    try:
        with tarfile.open(path, "r:*", tarinfo=_Member) as archive:
            for member in _members(archive, path):
                if not _is_facts(member.name):
                    yield member.name
    except BROKEN:
        return


def tar_member(path: str | Path, member: str) -> Any:
    """The content of one member, by its name in the archive.

    Where members lie in an archive that is not packed is looked up once; a packed one is read up to
    the member, and from there on for those that follow it.

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
    key = posixpath.normpath(member)
    try:
        version = container_version(path)
        places = _places(path, version)
        if places is None:
            item = _cursor(path, version).item(key)
            content = None if item is None else item.content
        else:
            content = _Slice(path, *places[key], name) if key in places else None
    except BROKEN as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"{name}: the archive cannot be read: {reason}.") from None
    if content is None:
        raise SourceError(f"{shortened(name)}: there is no such member.")
    return content


@dataclass(frozen=True, eq=False)
class _Slice:
    """A member as a binary file; each `read` begins at its start, in any thread."""

    path: str | Path
    offset: int
    size: int
    name: str

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes."""
        if self.size > MAX_IMAGE_BYTES:
            raise SourceError(
                f"{self.name}: it has {self.size:,} bytes; at most {MAX_IMAGE_BYTES:,} are read."
            )
        try:
            with container_file(self.path) as file:
                file.seek(self.offset)
                return file.read(self.size if size < 0 else min(size, self.size))
        except OSError as error:
            raise SourceError(f"{self.name}: it cannot be read: {error.strerror}.") from None


@lru_cache(maxsize=4)
def _places(path: str | Path, version: str) -> dict[str, tuple[int, int]] | None:
    """Where each image of an archive of this version lies, and its bytes; None of a packed one."""
    places: dict[str, tuple[int, int]] = {}
    with container_file(path) as file:
        head = file.read(tarfile.BLOCKSIZE)
        file.seek(0)
        if head[257:262] != USTAR:
            return None
        with tarfile.open(fileobj=file, mode="r:", tarinfo=_Member) as archive:
            for member in _members(archive, path):
                if is_image_member(member.name) and not leads_out(member.name):
                    place = member.offset_data, member.size
                    places.setdefault(posixpath.normpath(member.name), place)
                if len(places) > MAX_PLACES:
                    raise tarfile.ReadError(f"it has more than {MAX_PLACES:,} images; split it")
    return places


@lru_cache(maxsize=2)
def _cursor(path: str | Path, version: str) -> Cursor:
    return Cursor(lambda _: read_tar(path), _member_of)


atexit.register(_cursor.cache_clear)  # a generator that Python's end meets open complains


def _member_of(item: Source) -> str | None:
    member = item.meta.get("member")
    return posixpath.normpath(member) if isinstance(member, str) else None


def _samples(path: str | Path) -> Iterator[Sample]:
    """Members that share a name, with the content of those that are used; raises BROKEN at last."""
    sample: Sample = []
    held = 0
    problem: Exception | None = None
    try:
        with (
            container_file(path) as file,
            tarfile.open(fileobj=file, mode="r|*", tarinfo=_Member) as archive,
        ):
            for member in _members(archive, path):
                limit = _limit(member.name)
                if limit is None:
                    continue
                is_new = sample and _key(member.name) != _key(sample[0][0].name)
                if is_new or len(sample) == MAX_SAMPLE or held > MAX_SAMPLE_BYTES:
                    yield sample
                    sample, held = [], 0
                content = _content(archive, member, limit)
                held += len(content or b"")
                sample.append((member, content))
            if not vars(archive).get("whole", False):
                raise tarfile.ReadError("it ends without the mark of an end, and may be cut off")
    except BROKEN as error:
        problem = without_frames(error)
    if sample:
        yield sample
    if problem is not None:
        raise problem


def _limit(name: str) -> int | None:
    """The most bytes that are read of a member; None for one that is of no use."""
    if is_image_member(name):
        return MAX_IMAGE_BYTES
    return MAX_FACTS_BYTES if _is_facts(name) else None


def _members(archive: tarfile.TarFile, path: str | Path) -> Iterator[tarfile.TarInfo]:
    """The files of an archive, which does not remember them."""
    most = max(SMALL_BYTES, MAX_RATIO * container_size(path))
    while (member := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # each is met once
        if member.offset_data + member.size > most:
            raise tarfile.ReadError(f"it would grow to more than {MAX_RATIO} times its size")
        if member.isreg():
            yield member


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo, most: int) -> bytes | None:
    """None where it is too large."""
    if member.size > most:
        return None
    file = archive.extractfile(member)
    return b"" if file is None else file.read()


def _sources(name: str, sample: Sample) -> Iterator[Source]:
    facts: dict[str, Any] = {}
    for member, content in sample:
        if _is_facts(member.name) and content is not None:
            facts |= _facts(PurePosixPath(member.name).suffix.lower(), content)
    for member, content in sample:
        if not is_image_member(member.name):
            continue
        full = f"{name}!/{member.name}"
        problem = ""
        if leads_out(member.name):
            problem = "its name in the archive leads out of it; pack it under another name."
        elif content is None:
            problem = f"it has {member.size:,} bytes; at most {MAX_IMAGE_BYTES:,} are read."
        usable = Unreadable(SourceError(f"{shortened(full)}: {problem}")) if problem else content
        yield Source(full, usable, facts | {"member": member.name})


def _facts(suffix: str, content: bytes) -> dict[str, Any]:
    """What stands beside a picture, as metadata; nothing of what cannot be read."""
    text = content.decode("utf-8", "replace").strip()
    if suffix == ".txt":
        return {"txt": text[:TEXT_LENGTH]}
    if suffix == ".cls":
        return {"cls": int(text) if text.isdecimal() and len(text) < 19 else text[:TEXT_LENGTH]}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    facts: dict[str, Any] = {}
    for key, one in value.items() if isinstance(value, dict) else ():
        facts |= scalar(key, one)
    return facts


def _key(name: str) -> str:
    """The name up to the first dot of its last part, as webdataset groups members."""
    folder, slash, base = name.rpartition("/")
    return folder + slash + base.partition(".")[0]


def _is_facts(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in FACTS
