"""A shard: pictures that are answered together, and the lines of a plan that say which they are."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from unseen.errors import StoreError

if TYPE_CHECKING:
    from unseen.types import Metadata

LEVEL = 3  # of gzip: a plan is mostly paths, which shrink at any
ID_LENGTH = 16  # hexadecimal digits
ID = re.compile(rf"[0-9a-f]{{{ID_LENGTH}}}")
COUNTS = ("number", "count", "offset", "length", "place", "generation")
# What the lines of a shard may grow to: a plan of a stranger is read, too.
SMALL_BYTES, MAX_RATIO = 64 * 1024 * 1024, 200
LINE = json.JSONEncoder(separators=(",", ":"))


@dataclass(frozen=True)
class Entry:
    """A picture of a plan.

    Parameters
    ----------
    key : str
        What its row is called; no other picture of the job has it.
    source : str, optional
        The name, path or address by which it is opened. None: the key is that.
    size : int, optional
        Bytes, where they are known before it is read. A picture of another size has changed.
    etag : str, optional
        What an object store calls this content.
    meta : Mapping[str, str | int | float | bool | None]
        Facts that its row carries.
    error : str, optional
        Why there is no picture, where that is known already.
    number : int
        Its place in the whole plan, from 0.
    place : int
        Its place in its container, from 0.
    """

    key: str
    source: str | None = None
    size: int | None = None
    etag: str | None = None
    meta: Metadata = field(default_factory=dict, hash=False)
    error: str | None = None
    number: int = 0
    place: int = 0

    @property
    def address(self) -> str:
        """The name, path or address by which it is opened."""
        return self.key if self.source is None else self.source


@dataclass(frozen=True)
class Shard:
    """Where the entries of a shard stand in a plan, and what they have in common.

    Parameters
    ----------
    id : str
        A digest of the entries, and of all that determines their answers.
    number : int
        Of its first entry, in the whole plan.
    count : int
        How many entries it has.
    offset, length : int
        Of its compressed lines in the file of entries.
    container : str, optional
        What holds the pictures: an archive, a table, a document. None: each is opened by itself.
    container_size : int, optional
        Bytes of the container when it was planned.
    place : int
        Of its first entry in the container.
    generation : int
        0, or which retry planned it.
    replaces : dict of str to int
        Of a retry: class of error → how many rows it tries again.
    """

    id: str
    number: int
    count: int
    offset: int = 0
    length: int = 0
    container: str | None = None
    container_size: int | None = None
    place: int = 0
    generation: int = 0
    replaces: dict[str, int] = field(default_factory=dict, hash=False)

    def to_line(self) -> str:
        """The line of it in a plan."""
        return LINE.encode(asdict(self)) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Shard:
        """What `to_line` gave. ValueError or TypeError where it is damaged."""
        shard = cls(**json.loads(line))
        if not ID.fullmatch(shard.id):  # it names files
            raise ValueError("the id is not a digest")
        if not all(
            isinstance(getattr(shard, name), int) and getattr(shard, name) >= 0 for name in COUNTS
        ):
            raise ValueError("a number is none")
        return shard


def lines_of(entries: Sequence[Entry], *, numbered: bool) -> bytes:
    """The lines of entries. `numbered`: they do not follow one another, as those of a retry."""
    return "".join(f"{LINE.encode(_record(entry, numbered))}\n" for entry in entries).encode()


def _record(entry: Entry, numbered: bool) -> dict[str, Any]:
    record: dict[str, Any] = {"key": entry.key}
    for name in ("source", "size", "etag", "error"):
        value = getattr(entry, name)
        if value is not None:
            record[name] = value
    if entry.meta:
        record["meta"] = dict(entry.meta)
    if numbered:
        record |= {"number": entry.number, "place": entry.place}
    return record


def packed(lines: bytes) -> bytes:
    """Lines as gzip, the same bytes for the same lines."""
    return gzip.compress(lines, LEVEL, mtime=0)


def unpacked(shard: Shard, content: bytes) -> bytes:
    """The lines of a shard. StoreError where they are damaged."""
    most = max(SMALL_BYTES, MAX_RATIO * len(content))
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            lines = file.read(most + 1)
    except (OSError, EOFError, zlib.error):
        raise damaged(shard) from None
    if len(lines) > most:
        raise damaged(shard)
    return lines


def entries_of(shard: Shard, lines: bytes) -> Iterator[Entry]:
    """The entries of a shard. StoreError where the lines are damaged."""
    try:
        for offset, line in enumerate(lines.splitlines()):
            record = json.loads(line)
            record.setdefault("number", shard.number + offset)
            record.setdefault("place", shard.place + offset)
            yield Entry(**record)
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise damaged(shard) from None


def damaged(shard: Shard) -> StoreError:
    """The error of a plan that is not what was written."""
    return StoreError(f"the plan of shard {shard.id} is damaged; plan the job anew.")


def shard_id(answer: str, shard: Shard, lines: bytes) -> str:
    """The id of a shard: the same entries with the same answers have the same.

    Parameters
    ----------
    answer : str
        A digest of all that determines an answer: model, labels, options.
    shard : Shard
        Its container and its generation count.
    lines : bytes
        Of its entries.
    """
    facts = [answer, shard.generation, shard.container, shard.container_size, shard.place]
    digest = hashlib.sha256(f"{LINE.encode(facts)}\n".encode())
    digest.update(lines)
    return digest.hexdigest()[:ID_LENGTH]
