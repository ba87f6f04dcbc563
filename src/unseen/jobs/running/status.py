"""How far a job is, over all who work at it: from receipts and leases, without opening a part."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from unseen.jobs.job import LEASE_SUFFIX, LEASES, Job
from unseen.jobs.receipt import Receipt, missing_receipt, read_receipt
from unseen.jobs.running.lease import Lease
from unseen.jobs.shard import Shard


@dataclass(frozen=True)
class ActiveRunner:
    """Who works at a job, as its lease says.

    Parameters
    ----------
    name : str
        Machine and process.
    shard : str
        The id of what it works at.
    done : int
        Pictures of that shard that are done.
    rate : float
        Pictures a second.
    alive : bool, optional
        None: that cannot be seen from here.
    """

    name: str
    shard: str
    done: int
    rate: float
    alive: bool | None


@dataclass(frozen=True)
class Status:
    """How far a job is.

    Parameters
    ----------
    pictures : int
        That are planned.
    done : int
        That have a row; what is tried again counts as done.
    running : int
        Pictures of unfinished shards that are done.
    pending : int
        Rows of shards that are not published, retries included.
    errors : dict of str to int
        Class of error → how many rows have it, once retries are taken into account.
    shards, shards_done : int
        Shards, retries included.
    retries : int
        How many retries were planned.
    runners : tuple of ActiveRunner
        Who works at it.
    """

    pictures: int
    done: int
    running: int
    pending: int
    errors: dict[str, int] = field(default_factory=dict)
    shards: int = 0
    shards_done: int = 0
    retries: int = 0
    runners: tuple[ActiveRunner, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every shard is published."""
        return self.shards_done == self.shards

    @property
    def failed(self) -> int:
        """How many rows are errors."""
        return sum(self.errors.values())

    @property
    def rate(self) -> float:
        """Pictures a second, of all who work at it."""
        return sum(runner.rate for runner in self.runners if runner.alive is not False)

    @property
    def seconds_left(self) -> float | None:
        """At this rate; None where nobody works at it."""
        return (self.pending - self.running) / self.rate if self.rate else None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON.

        Returns
        -------
        dict
        """
        left = self.seconds_left
        return {
            "pictures": self.pictures,
            "done": self.done,
            "running": self.running,
            "errors": dict(self.errors),
            "shards": self.shards,
            "shards_done": self.shards_done,
            "retries": self.retries,
            "complete": self.complete,
            "rate": round(self.rate, 3),
            "seconds_left": None if left is None else round(left, 1),
            "runners": [vars(runner) for runner in self.runners],
        }

    def __str__(self) -> str:
        share = 100 * self.done / self.pictures if self.pictures else 100.0
        lines = [
            f"{self.done:,} of {self.pictures:,} pictures done ({math.floor(share * 10) / 10} %), "
            f"{self.shards_done:,} of {self.shards:,} shards"
        ]
        if self.errors:
            kinds = ", ".join(f"{name} {count:,}" for name, count in self.errors.items())
            lines.append(f"{self.failed:,} failed: {kinds}")
        if self.retries:
            lines.append(f"{self.retries} planned retries")
        alive = [runner for runner in self.runners if runner.alive is not False]
        if alive:
            left = self.seconds_left
            time = "" if left is None else f", {duration(left)} left"
            lines.append(f"{len(alive)} at work: {self.rate:.1f} pictures a second{time}")
            lines += [
                f"  {one.name}: shard {one.shard}, {one.done:,} done, {one.rate:.1f} a second"
                for one in alive
            ]
        dead = len(self.runners) - len(alive)
        if dead:
            lines.append(f"{dead} died; their shards are taken over")
        return "\n".join(lines)


class StatusReader:
    """Looks at a job again and again; receipts are read once.

    Parameters
    ----------
    job : Job
        What is looked at.
    shards : sequence of Shard, optional
        Of a part of it. None: all.
    """

    def __init__(self, job: Job, shards: Sequence[Shard] | None = None) -> None:
        self.job = job
        self._shards = {shard.id: shard for shard in (job.shards if shards is None else shards)}
        self._receipts: dict[str, Receipt] = {}

    def read(self, *, open_parts: bool = True) -> Status:
        """How far it is now.

        Parameters
        ----------
        open_parts : bool
            Whether a part without a receipt is opened; else it counts as not done yet.

        Returns
        -------
        Status

        Raises
        ------
        StoreError
            If the store cannot be read, or something in it is damaged.
        """
        for name in self.job.parts() - self._receipts.keys():
            shard = self._shards.get(name)
            if shard is None:
                continue  # `verify` says so
            receipt = read_receipt(self.job, name)
            if receipt is None and open_parts:
                receipt = missing_receipt(self.job, shard)
            if receipt is not None:
                self._receipts[name] = receipt
        runners, running = self._runners()
        errors: Counter[str] = Counter()
        done = 0
        for name, receipt in self._receipts.items():
            shard = self._shards[name]
            errors.update(receipt.errors)
            errors.subtract(shard.replaces)
            done += receipt.rows if shard.generation == 0 else 0
        shards = self._shards.values()
        return Status(
            pictures=sum(shard.count for shard in shards if shard.generation == 0),
            done=done,
            running=running,
            pending=sum(shard.count for shard in shards if shard.id not in self._receipts),
            errors=dict((+errors).most_common()),
            shards=len(self._shards),
            shards_done=len(self._receipts),
            retries=len(self.job.generations) - 1,
            runners=runners,
        )

    def _runners(self) -> tuple[tuple[ActiveRunner, ...], int]:
        """Who has a lease, and how many pictures of unfinished shards are done."""
        runners, running = [], 0
        for name in self.job.store.names(LEASES):
            shard = name.removesuffix(LEASE_SUFFIX)
            if shard not in self._shards or shard in self._receipts:
                continue
            try:
                lease = Lease.from_bytes(self.job.store.read(f"{LEASES}/{name}"))
            except FileNotFoundError:
                continue  # given back meanwhile
            if lease is not None:
                alive = lease.runner.is_alive()
                running += 0 if alive is False else lease.done
                runners.append(
                    ActiveRunner(lease.runner.name, shard, lease.done, lease.rate, alive)
                )
        return tuple(sorted(runners, key=lambda runner: runner.name)), running


def duration(seconds: float) -> str:
    """A time for people: the two largest units.

    >>> duration(93784)
    '1 d 2 h'
    """
    seconds = max(round(seconds), 0)
    values = [("d", seconds // 86400), ("h", seconds // 3600 % 24), ("min", seconds // 60 % 60)]
    values += [("s", seconds % 60)]
    first = next((i for i, (_, value) in enumerate(values) if value), len(values) - 1)
    shown = [f"{value} {unit}" for unit, value in values[first : first + 2] if value]
    return " ".join(shown) or "0 s"
