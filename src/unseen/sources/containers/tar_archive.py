"""A tar archive → its images, read once from its start to its end, packed or not.

In a webdataset the members of one sample follow one another and share the name up to the first
dot of the base name: `0001.jpg`, `0001.json`, `0001.cls`. What stands beside a picture becomes its
metadata. Archives are taken to be hostile: links, devices and sparse members are not followed, and
what a header may cost is bounded before it is read.
"""

from __future__ import annotations

import json
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from unseen.errors import SourceError, without_frames
from unseen.sources.containers.rows import TEXT_LENGTH, scalar
from unseen.sources.files import is_image_member, leads_out
from unseen.sources.item import Source, Unreadable, name_of, shortened

MAX_IMAGE_BYTES = 64 * 1024 * 1024
MAX_FACTS_BYTES = 1024 * 1024  # of a .json, .cls or .txt
MAX_HEADER_BYTES = 1024 * 1024  # of a long name, or of the pax records of a member
MAX_SAMPLE = 1_000  # members of one sample
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

    Opened to be sought in: contents that are not packed are stepped over, not read.
    """
    try:
        with tarfile.open(path, "r:*", tarinfo=_Member) as archive:
            for member in _members(archive, path):
                if not _is_facts(member.name):
                    yield member.name
    except BROKEN:
        return


def _samples(path: str | Path) -> Iterator[Sample]:
    """Members that share a name, with the content of those that are used; raises BROKEN at last."""
    sample: Sample = []
    held = 0
    problem: Exception | None = None
    try:
        with tarfile.open(path, "r|*", tarinfo=_Member) as archive:
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
    most = max(SMALL_BYTES, MAX_RATIO * Path(path).stat().st_size)
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
