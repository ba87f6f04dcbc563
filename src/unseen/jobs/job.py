"""A job that is planned: what determines its answers, and its shards, as they lie in its store.

Nothing that computes is imported here: looking at a job needs neither its model nor its pictures.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from unseen.errors import MissingExtraError, StoreError
from unseen.jobs.shard import (
    Entry,
    Shard,
    damaged,
    entries_of,
    lines_of,
    packed,
    shard_id,
    unpacked,
)
from unseen.jobs.stores.store import Store, open_store

FORMAT = "unseen-job-1"
FACTS, LABELS = "job.json", "labels.safetensors"
PLAN, PARTS, RECEIPTS, LEASES = "plan", "parts", "receipts", "leases"
PART_SUFFIX, RECEIPT_SUFFIX, LEASE_SUFFIX, RETRY_SUFFIX = (
    ".parquet",
    ".json",
    ".json",
    ".retry.json",
)
NAME_DIGITS = 16  # of a digest in the name of a file
PLAN_FILE = re.compile(rf"{PLAN}/[\w.-]+")


@dataclass(frozen=True)
class Generation:
    """Shards that were planned together: 0 has every picture, each later one is a retry.

    Parameters
    ----------
    number : int
        0, or which retry.
    entries, shards : str
        The names of its two files.
    shards_sha256 : str
        Of the second, which has the digests of what is in the first.
    pictures, count : int
        How many entries and shards it has.
    """

    number: int
    entries: str
    shards: str
    shards_sha256: str
    pictures: int
    count: int


class Job:
    """A planned job.

    Parameters
    ----------
    store : Store
        Where it lies.
    facts : Mapping[str, Any]
        What `job.json` holds.
    generations : sequence of Generation
        The plan, and its retries.
    """

    def __init__(
        self, store: Store, facts: Mapping[str, Any], generations: Sequence[Generation]
    ) -> None:
        self.store, self.facts, self.generations = store, facts, tuple(generations)
        self._shards: tuple[Shard, ...] | None = None

    @classmethod
    def open(cls, job: str | Path) -> Job:
        """A job by its folder or address. StoreError where there is none, or it is damaged."""
        store = open_store(job)
        try:
            facts = json.loads(store.read(FACTS))
        except FileNotFoundError:
            raise StoreError(
                f"{store.address}: there is no job here; plan one: unseen job plan photos/ "
                f"-o {store.address} -l cat,dog"
            ) from None
        except (ValueError, RecursionError):
            raise _damaged(store, FACTS) from None
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            raise StoreError(
                f"{store.address}: {FACTS} is not of the format {FORMAT}; it is no job, or one "
                "of a later version of unseen."
            )
        if not (isinstance(facts.get("answer"), dict) and isinstance(facts.get("base"), str)):
            raise _damaged(store, FACTS)
        if digest_of(facts["answer"]) != facts.get("answer_sha256"):
            raise StoreError(f"{store.address}: {FACTS} was changed; plan the job anew.")
        return cls(store, facts, _generations(store, facts.get("plan")))

    @property
    def answer(self) -> Mapping[str, Any]:
        """All that determines an answer: model, labels, options."""
        answer: Mapping[str, Any] = self.facts["answer"]
        return answer

    @property
    def answer_sha256(self) -> str:
        """The digest of `answer`, which every part carries."""
        return str(self.facts["answer_sha256"])

    @property
    def base(self) -> Path:
        """What relative paths of the plan begin at."""
        return Path(self.facts["base"])

    @property
    def pictures(self) -> int:
        """How many pictures are planned; each has one row at the end."""
        return self.generations[0].pictures

    @property
    def shards(self) -> tuple[Shard, ...]:
        """All shards, those of retries at the end. StoreError where the plan is damaged."""
        if self._shards is None:
            self._shards = tuple(
                shard for generation in self.generations for shard in self._read(generation)
            )
        return self._shards

    def lines(self, shard: Shard) -> bytes:
        """The lines of the entries of a shard, held against its id. StoreError."""
        name = self.generations[shard.generation].entries  # of one that there is: see `_read`
        try:
            content = self.store.read(name, shard.offset, shard.length)
        except FileNotFoundError:
            raise StoreError(f"{self.store.address}: {name} is missing; plan it anew.") from None
        lines = unpacked(shard, content)
        if shard_id(self.answer_sha256, shard, lines) != shard.id:
            raise damaged(shard)
        return lines

    def entries(self, shard: Shard) -> list[Entry]:
        """The pictures of a shard, in order. StoreError."""
        return [*entries_of(shard, self.lines(shard))]

    def parts(self) -> set[str]:
        """The ids of the shards that have a part. StoreError."""
        return {
            name.removesuffix(PART_SUFFIX)
            for name in self.store.names(PARTS)
            if name.endswith(PART_SUFFIX)
        }

    def _read(self, generation: Generation) -> Iterator[Shard]:
        try:
            content = self.store.read(generation.shards)
        except FileNotFoundError:
            content = b""
        if hashlib.sha256(content).hexdigest() != generation.shards_sha256:
            raise _damaged(self.store, generation.shards)
        try:
            for line in content.decode().splitlines():
                shard = Shard.from_line(line)
                if shard.generation != generation.number:
                    raise ValueError("it is of another generation")
                yield shard
        except (ValueError, TypeError, RecursionError):
            raise _damaged(self.store, generation.shards) from None


def part_name(shard: Shard) -> str:
    """Where the rows of a shard are published."""
    return f"{PARTS}/{shard.id}{PART_SUFFIX}"


def digest_of(answer: Mapping[str, Any]) -> str:
    """The digest of all that determines an answer."""
    text = json.dumps(answer, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def write_generation(
    store: Store, number: int, answer: str, shards: Iterable[tuple[Shard, Sequence[Entry]]]
) -> Generation:
    """Write a plan, a shard at a time. It counts once its `Generation` is published, too.

    Parameters
    ----------
    store : Store
        Of the job.
    number : int
        0, or which retry.
    answer : str
        The digest of what determines the answers.
    shards : iterable of (Shard, sequence of Entry)
        Their ids and their places in the file are not known yet.

    Raises
    ------
    StoreError
        If the store cannot be written.
    """
    offset = pictures = count = 0
    digest = hashlib.sha256()
    with store.draft() as entries_file, store.draft() as shards_file:
        try:
            with entries_file.open("wb") as packed_lines, shards_file.open("wb") as listed:
                for shard, entries in shards:
                    lines = lines_of(entries, numbered=number > 0)
                    content = packed(lines)
                    shard = replace(
                        shard,
                        id=shard_id(answer, shard, lines),
                        offset=offset,
                        length=len(content),
                    )
                    line = shard.to_line().encode()
                    packed_lines.write(content)
                    listed.write(line)
                    digest.update(line)
                    offset += len(content)
                    pictures += len(entries)
                    count += 1
        except OSError as error:
            raise StoreError(
                f"{store.address}: it cannot be written: {error.strerror or error}."
            ) from None
        name = f"{PLAN}/{number:04}-{digest.hexdigest()[:NAME_DIGITS]}"
        generation = Generation(
            number,
            f"{name}.entries.jsonl.gz",
            f"{name}.shards.jsonl",
            digest.hexdigest(),
            pictures,
            count,
        )
        # Of the same content it is the same file, whoever wrote it.
        store.publish(entries_file, generation.entries)
        store.publish(shards_file, generation.shards)
    return generation


def publish_retry(store: Store, generation: Generation) -> None:
    """Let a retry count. StoreError where another has planned the same one meanwhile."""
    name = f"{PLAN}/{generation.number:04}{RETRY_SUFFIX}"
    if not store.create(name, json.dumps(asdict(generation)).encode()):
        raise StoreError(f"{store.address}: another process has planned a retry meanwhile.")


def _damaged(store: Store, name: str) -> StoreError:
    return StoreError(f"{store.address}: {name} is damaged; plan the job anew.")


def _generations(store: Store, first: Any) -> list[Generation]:
    names = sorted(name for name in store.names(PLAN) if name.endswith(RETRY_SUFFIX))
    try:
        retries = [Generation(**json.loads(store.read(f"{PLAN}/{name}"))) for name in names]
        generations = [Generation(**first), *retries]
    except (ValueError, TypeError, RecursionError, FileNotFoundError):
        generations = []
    numbers = [one.number for one in generations]
    if not numbers or numbers != [*range(len(numbers))] or not all(map(_is_plan, generations)):
        raise StoreError(f"{store.address}: its plan is missing or damaged; plan the job anew.")
    return generations


def _is_plan(generation: Generation) -> bool:
    """Whether it may be what `write_generation` made: its files lie in the folder of plans."""
    names = (generation.entries, generation.shards)
    counts = (generation.pictures, generation.count)
    return all(isinstance(name, str) and PLAN_FILE.fullmatch(name) for name in names) and all(
        isinstance(count, int) and count >= 0 for count in counts
    )


def require_parquet() -> None:
    """MissingExtraError where there is nothing that writes and reads parts."""
    try:
        import pyarrow.parquet  # noqa: PLC0415, F401 - an extra
    except ImportError:
        raise MissingExtraError("A job", "pyarrow", "parquet") from None
