"""One process that works at a job: takes shards, answers, publishes, until nothing is left."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unseen.errors import SourceError, StoreError
from unseen.jobs.job import Job, part_name
from unseen.jobs.receipt import receipt_of, write_receipt
from unseen.jobs.rows import PartFile, schema_of
from unseen.jobs.running.lease import Lease, Leases, Runner
from unseen.jobs.shard import Shard

if TYPE_CHECKING:
    from unseen.jobs.running.session import Session

WAIT_SECONDS = 1.0  # before it is looked again at what others have


@dataclass
class Work:
    """What one runner has done.

    Parameters
    ----------
    pictures : int
        Of the shards that it published.
    errors : int
        How many of these failed.
    shards : int
        How many it published.
    raced : int
        Shards that another had published when this one had their answers.
    """

    pictures: int = 0
    errors: int = 0
    shards: int = 0
    raced: int = 0


def part_of(shards: Sequence[Shard], part: tuple[int, int] | None) -> list[Shard]:
    """The shards of part i of n, from 0 on, which are every nth; all where there is no part.

    Raises SourceError for a part that is none.
    """
    if part is None:
        return [*shards]
    i, n = part
    if not 0 <= i < n:
        raise SourceError(f"part {i}/{n}: parts are 0/n to n-1/n.")
    return [*shards[i::n]]


def work(
    job: Job,
    session: Session,
    *,
    part: tuple[int, int] | None = None,
    runner: Runner | None = None,
    lease_seconds: float | None = None,
    progress: Callable[[Work], None] | None = None,
) -> Work:
    """Work at a job in this process until every shard of `part` has its rows.

    Shards that other processes work at are waited for, and taken over when they have died.

    Parameters
    ----------
    job : Job
        What was planned.
    session : Session
        Its model and labels.
    part : tuple of (int, int), optional
        Part i of n, from 0 on: every nth shard. None: all.
    runner : Runner, optional
        What this process is called in leases.
    lease_seconds : float, optional
        As of `Leases`.
    progress : callable, optional
        Called with what was done so far, after each shard.

    Returns
    -------
    Work

    Raises
    ------
    StoreError
        If the store of the job cannot be read or written, or its plan is damaged.
    MissingExtraError
        If a library is missing here that the pictures need.
    """
    runner = runner or Runner.here()
    leases = Leases(job.store, runner, lease_seconds)
    job.store.check_writable()
    done, total = job.parts(), Work()
    shards = part_of(job.shards, part)
    # Runners begin at different places, so that they do not ask for the same shards all along.
    start = int(runner.token, 16) % max(len(shards), 1)
    pending = [shard for shard in shards[start:] + shards[:start] if shard.id not in done]
    started = time.monotonic()
    while pending:
        others = []
        for shard in pending:
            if job.store.exists(part_name(shard)):
                continue
            if not leases.take(shard):
                others.append(shard)
                continue
            try:
                if not job.store.exists(part_name(shard)):  # published while the lease was taken
                    run_shard(job, session, shard, leases, total, started)
            finally:
                with suppress(StoreError):  # a lease that stays costs a wait
                    leases.release(shard)
            if progress is not None:
                progress(total)
        if len(others) == len(pending):
            time.sleep(WAIT_SECONDS)
        pending = others
    return total


def run_shard(
    job: Job, session: Session, shard: Shard, leases: Leases, total: Work, started: float
) -> None:
    """Answer the pictures of a shard, and publish the rows unless another has.

    Parameters
    ----------
    job, session, shard
        What is to be answered, and by what.
    leases : Leases
        Of this runner, who has that of the shard.
    total : Work
        What this runner has done; it is counted on.
    started : float
        When this runner began, by the monotonic clock.

    Raises
    ------
    StoreError
        If the part cannot be written; nothing is published then.
    """
    errors: Counter[str] = Counter()
    rows, began = 0, time.monotonic()
    with job.store.draft() as draft, _Beat(leases, shard, total, started) as beat:
        try:
            file = PartFile(draft, schema_of(job.facts, shard.id))
            try:
                for row in session.rows(job, shard):
                    file.add(row)
                    rows += 1
                    if row.error_class is not None:
                        errors[row.error_class] += 1
                    beat.count(rows, errors.total())
                file.close()
            except BaseException:
                file.discard()
                raise
            if rows != shard.count:
                raise AssertionError(f"shard {shard.id}: {rows} rows for {shard.count} pictures")
            seconds = time.monotonic() - began
            receipt = receipt_of(draft, errors, rows, round(seconds, 3), leases.runner.name)
        except OSError as error:
            raise StoreError(
                f"{job.store.address}: it cannot be written: {error.strerror or error}."
            ) from None
        if not job.store.publish(draft, part_name(shard)):
            total.raced += 1
            return
    write_receipt(job, shard, receipt)
    total.pictures += rows
    total.errors += errors.total()
    total.shards += 1


class _Beat:
    """Renews a lease in a thread while its shard is worked at."""

    def __init__(self, leases: Leases, shard: Shard, total: Work, started: float) -> None:
        self._leases, self._shard = leases, shard
        self._earlier, self._started = total.pictures, started
        self._lease = Lease(leases.runner)
        self._done = self._failed = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="unseen-lease", daemon=True)

    def count(self, done: int, failed: int) -> None:
        """So many rows of the shard are done."""
        self._done, self._failed = done, failed

    def __enter__(self) -> _Beat:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._leases.store.beat_seconds):
            seconds = time.monotonic() - self._started
            rate = (self._earlier + self._done) / seconds if seconds else 0.0
            lease = Lease(
                self._leases.runner, self._lease.beat, self._done, self._failed, round(rate, 3)
            )
            with suppress(StoreError):  # the part says whether the store can be written
                self._lease = self._leases.renew(self._shard, lease)
