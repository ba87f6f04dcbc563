"""How long a job takes and what it costs: a sample is measured, the rest is arithmetic."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unseen.errors import SourceError
from unseen.jobs.job import Job
from unseen.jobs.rows import PartFile, schema_of
from unseen.jobs.running.session import Session
from unseen.jobs.running.status import duration
from unseen.jobs.shard import Entry, Shard

SAMPLE = 200  # pictures
SAMPLED_SHARDS = 8  # evenly chosen, as the first may be unlike the others
SCALES = (10**6, 10**7, 10**8, 10**9)


@dataclass(frozen=True)
class Sample:
    """What was measured.

    Parameters
    ----------
    pictures : int
        Of the sample.
    seconds : float
        For all of them, by one worker.
    bytes_read : float
        Of a picture, on the mean; 0 where no size is known before it is read.
    bytes_written : float
        Of a row.
    failed : float
        The share of pictures that are errors, from 0 to 1.
    """

    pictures: int
    seconds: float
    bytes_read: float
    bytes_written: float
    failed: float

    @property
    def rate(self) -> float:
        """Pictures a second, of one worker."""
        return self.pictures / self.seconds


@dataclass(frozen=True)
class Machines:
    """What the job is to run on.

    Parameters
    ----------
    machines : int
        How many.
    workers : int
        Processes on each.
    megabytes_per_second : float, optional
        That each machine reads from a disk or a network. None: that is no limit.
    price : float, optional
        Of a machine for an hour, in any currency. None: not known.
    disk_megabytes_per_second : float, optional
        That the disk of each machine reads and writes, where pictures and rows lie on it. None:
        that is no limit.
    """

    machines: int = 1
    workers: int = 1
    megabytes_per_second: float | None = None
    price: float | None = None
    disk_megabytes_per_second: float | None = None


@dataclass(frozen=True)
class Estimate:
    """What so many pictures take.

    Parameters
    ----------
    pictures : int
        How many.
    seconds : float
        From the beginning to the end.
    limit : str
        What it is limited by: "workers", "reading" or "disk".
    gigabytes_read, gigabytes_written : float
        Of pictures and of rows.
    cost : float, optional
        Of all machines, in the currency of the price.
    """

    pictures: int
    seconds: float
    limit: str
    gigabytes_read: float
    gigabytes_written: float
    cost: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON.

        Returns
        -------
        dict
        """
        return dict(vars(self))

    def __str__(self) -> str:
        cost = "" if self.cost is None else f"  {self.cost:>12,.2f}"
        read, written = _gigabytes(self.gigabytes_read), _gigabytes(self.gigabytes_written)
        return (
            f"{self.pictures:>13,}  {duration(self.seconds):>11}  {self.limit:<7}"
            f"  {read:>10}  {written:>10}{cost}"
        )


HEADER = "     pictures         time  limit          read     written"


def measure(job: Job, session: Session, *, pictures: int = SAMPLE) -> Sample:
    """Time a sample of a job, in this process; nothing is published.

    Parameters
    ----------
    job : Job
        What was planned.
    session : Session
        Its model and labels.
    pictures : int
        Of the sample, at most; a few more are read before it, so that nothing is compiled in it.

    Returns
    -------
    Sample

    Raises
    ------
    SourceError
        If the job has no pictures.
    """
    chosen = [*_sample(job, pictures)]
    if not chosen:
        raise SourceError(f"{job.store.address}: the job has no pictures.")
    for _ in session.rows(job, chosen[0][0], chosen[0][1][:8]):
        continue  # compiled, and read once
    count = failed = 0
    with tempfile.TemporaryDirectory(prefix="unseen-job-") as folder:
        path = Path(folder) / "part"
        began = time.perf_counter()
        file = PartFile(path, schema_of(job.facts))
        for shard, entries in chosen:
            for row in session.rows(job, shard, entries):
                file.add(row)
                count += 1
                failed += row.error is not None
        file.close()
        seconds = time.perf_counter() - began
        written = path.stat().st_size / count
    sizes = [entry.size for _, entries in chosen for entry in entries if entry.size is not None]
    sizes += [
        shard.container_size * len(entries) // max(_contained(job, shard), 1)
        for shard, entries in chosen
        if shard.container_size is not None
    ]
    return Sample(count, seconds, sum(sizes) / count, written, failed / count)


def estimate(sample: Sample, machines: Machines, pictures: int) -> Estimate:
    """What so many pictures take, at the rate of a sample.

    Parameters
    ----------
    sample : Sample
        What was measured.
    machines : Machines
        What the job is to run on. That several workers are as fast as they are alone is assumed:
        measure with the threads that each will have.
    pictures : int
        How many.

    Returns
    -------
    Estimate
    """
    read, written = pictures * sample.bytes_read, pictures * sample.bytes_written

    def moving(count: float, megabytes_per_second: float | None) -> float:
        if megabytes_per_second is None:
            return 0.0
        return count / (megabytes_per_second * 1e6 * machines.machines)

    limits = {
        "workers": pictures / (sample.rate * machines.machines * machines.workers),
        "reading": moving(read, machines.megabytes_per_second),
        "disk": moving(read + written, machines.disk_megabytes_per_second),
    }
    limit = max(limits, key=lambda name: limits[name])
    seconds = limits[limit]
    cost = None
    if machines.price is not None:
        cost = seconds / 3600 * machines.machines * machines.price
    return Estimate(
        pictures,
        seconds,
        limit,
        read / 1e9,
        written / 1e9,
        cost,
    )


def _sample(job: Job, pictures: int) -> Iterator[tuple[Shard, list[Entry]]]:
    shards = [shard for shard in job.shards if shard.generation == 0]
    count = min(SAMPLED_SHARDS, len(shards))
    places = [i * len(shards) // count for i in range(count)] if count else []
    for i, place in enumerate(places):
        entries = job.entries(shards[place])
        share = pictures * (i + 1) // count - pictures * i // count
        if share:
            yield shards[place], entries[:share]


def _contained(job: Job, shard: Shard) -> int:
    """How many pictures are planned of the container of a shard."""
    return sum(one.count for one in job.shards if one.container == shard.container)


def _gigabytes(value: float) -> str:
    return f"{value:,.1f} GB" if value < 10_000 else f"{value / 1000:,.0f} TB"
