"""Rows with errors → a retry: shards of these pictures alone, as they are now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unseen.errors import SourceError
from unseen.jobs.job import Job, publish_retry, write_generation
from unseen.jobs.merged import merged
from unseen.jobs.shard import Entry, Shard
from unseen.sources.containers.container_file import LIBRARIES, resolve, size_of_container
from unseen.sources.local import size_of


@dataclass(frozen=True)
class Retry:
    """What a retry comes to.

    Parameters
    ----------
    pictures : int
        That are tried again.
    shards : int
        Of these.
    errors : dict of str to int
        Class of error → how many rows had it.
    """

    pictures: int
    shards: int
    errors: dict[str, int]


def retry(job: Job, *, classes: Collection[str] = (), shard_pictures: int = 1000) -> Retry:
    """Plan the pictures again whose rows are errors; `work` then does them.

    Files are taken as they are now: one that was repaired or replaced since has another size.

    Parameters
    ----------
    job : Job
        What was planned. Shards that are not done yet are left to `work`.
    classes : collection of str
        Only errors of these classes, as `status` names them; by default all.
    shard_pictures : int
        Pictures of a shard, at most.

    Returns
    -------
    Retry
        Without shards where there is nothing to try again.

    Raises
    ------
    SourceError
        If an earlier retry is not done yet, so that its pictures have no outcome.
    StoreError
        If the store cannot be written, a part is damaged, or another process does the same.
    """
    published = job.parts()
    if any(shard.generation and shard.id not in published for shard in job.shards):
        raise SourceError(
            f"{job.store.address}: an earlier retry is not done: unseen job run {job.store.address}"
        )
    errors: Counter[str] = Counter()
    number = len(job.generations)
    shards = _shards(job, number, classes, shard_pictures, errors)
    first = next(shards, None)
    if first is None:
        return Retry(0, 0, {})
    generation = write_generation(job.store, number, job.answer_sha256, _chained(first, shards))
    publish_retry(job.store, generation)
    return Retry(generation.pictures, generation.count, dict(errors.most_common()))


def _chained(
    first: tuple[Shard, list[Entry]], others: Iterator[tuple[Shard, list[Entry]]]
) -> Iterator[tuple[Shard, Sequence[Entry]]]:
    yield first
    yield from others


def _shards(
    job: Job, number: int, classes: Collection[str], size: int, errors: Counter[str]
) -> Iterator[tuple[Shard, list[Entry]]]:
    """The shards of a retry: like those of the plan, of one container each."""
    run: list[Entry] = []
    replaces: Counter[str] = Counter()
    before: Shard | None = None

    def shard() -> tuple[Shard, list[Entry]]:
        assert before is not None
        made_of = before.container
        return (
            Shard(
                "", run[0].number, len(run),
                container=made_of,
                container_size=(
                    None if made_of is None else size_of_container(resolve(made_of, job.base))
                ),
                place=run[0].place,
                generation=number,
                replaces=dict(replaces),
            ),
            run,
        )  # fmt: skip

    for planned, table in merged(job, ["error_class"]):
        failed = [
            (i, name)
            for i, name in enumerate(table.column("error_class").to_pylist())
            if name is not None and (not classes or name in classes)
        ]
        if not failed:
            continue
        entries = job.entries(planned)
        for i, name in failed:
            if run and before and (before.container != planned.container or len(run) == size):
                yield shard()
                run, replaces = [], Counter()
            before = planned
            run.append(_as_it_is_now(entries[i], planned, job.base))
            replaces[name] += 1
            errors[name] += 1
    if run:
        yield shard()


def _as_it_is_now(entry: Entry, shard: Shard, base: Path) -> Entry:
    """An entry with the size that its file has by now."""
    if shard.container is not None or entry.error is not None:
        return entry
    if entry.address.partition("://")[0].lower() in LIBRARIES:
        return replace(entry, size=None, etag=None)  # it is read whatever it is now
    return replace(entry, size=size_of(str(base / entry.address)))
