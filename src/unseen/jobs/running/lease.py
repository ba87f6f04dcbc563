"""Leases: who works at which shard. They save work, and no row depends on them.

No clock is compared with another: a lease is dead when its process is, where that can be seen, and
else when it has not changed for a while by the clock of whoever waits.
"""

from __future__ import annotations

import json
import os
import platform
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from unseen.jobs.job import LEASE_SUFFIX, LEASES
from unseen.jobs.shard import Shard
from unseen.jobs.stores.store import Store

UNCHANGED_BEATS = 15  # before a lease may be taken whose process may live


@dataclass(frozen=True)
class Runner:
    """Who works: a process, told apart from every other.

    Parameters
    ----------
    host : str
        The machine since it was started, and the processes that this one sees there.
    pid : int
        The process.
    started : str
        When it began, by its own system: a number of a process is given again.
    token : str
        Told apart from all others, at random.
    name : str
        For people.
    """

    host: str
    pid: int
    started: str
    token: str
    name: str

    @classmethod
    def here(cls) -> Runner:
        """This process."""
        pid, node = os.getpid(), platform.node()
        return cls(_host(), pid, started(pid), uuid.uuid4().hex, f"{node}:{pid}")

    def is_alive(self) -> bool | None:
        """Whether the process is there; None where that cannot be seen from here."""
        if self.host != _host() or os.name == "nt":  # whose signal 0 is Ctrl-C
            return None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except (OSError, OverflowError):
            pass  # of another user; or a system without signals
        return started(self.pid) == self.started


@dataclass(frozen=True)
class Lease:
    """What a lease says.

    Parameters
    ----------
    runner : Runner
        Who works.
    beat : int
        How often it was renewed.
    done : int
        Pictures of the shard that are done.
    failed : int
        How many of these failed.
    rate : float
        Pictures a second, of the whole time that the runner has worked.
    """

    runner: Runner
    beat: int = 0
    done: int = 0
    failed: int = 0
    rate: float = 0.0

    def to_bytes(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Lease | None:
        """What `to_bytes` gave; None where that is damaged."""
        with suppress(ValueError, TypeError, KeyError):
            facts: dict[str, Any] = json.loads(content)
            return cls(**{**facts, "runner": Runner(**facts["runner"])})
        return None


class Leases:
    """The leases of a job, as one runner takes them.

    Parameters
    ----------
    store : Store
        Of the job.
    runner : Runner
        Who takes them.
    seconds : float, optional
        How long a lease of a process that is not known to be dead must not change, before it may
        be taken. None: fifteen times as long as it takes to renew one.
    """

    def __init__(self, store: Store, runner: Runner, seconds: float | None = None) -> None:
        self.store, self.runner = store, runner
        self.seconds = UNCHANGED_BEATS * store.beat_seconds if seconds is None else seconds
        self._seen: dict[str, tuple[bytes, float]] = {}

    def take(self, shard: Shard) -> bool:
        """Take a lease that nobody has, or whose runner is dead. StoreError."""
        name, content = lease_name(shard), Lease(self.runner).to_bytes()
        if self.store.create(name, content):
            return True
        try:
            other = self.store.read(name)
        except FileNotFoundError:
            return self.store.create(name, content)
        if not self._is_dead(shard, other):
            return False
        self.store.delete(name)
        return self.store.create(name, content)

    def renew(self, shard: Shard, lease: Lease) -> Lease:
        """Say that the runner lives, and how far it is. StoreError."""
        lease = replace(lease, beat=lease.beat + 1)
        if self._is_own(shard):  # it may have been taken from one that had stood still
            self.store.write(lease_name(shard), lease.to_bytes())
        return lease

    def release(self, shard: Shard) -> None:
        """Give a lease back. StoreError."""
        if self._is_own(shard):
            self.store.delete(lease_name(shard))

    def _is_own(self, shard: Shard) -> bool:
        try:
            lease = Lease.from_bytes(self.store.read(lease_name(shard)))
        except FileNotFoundError:
            return False
        return lease is not None and lease.runner == self.runner

    def _is_dead(self, shard: Shard, content: bytes) -> bool:
        lease = Lease.from_bytes(content)
        if lease is not None and lease.runner.is_alive() is False:
            return True
        before, since = self._seen.get(shard.id, (b"", 0.0))
        if content != before:
            self._seen[shard.id] = (content, time.monotonic())
            return False
        return time.monotonic() - since >= self.seconds


def lease_name(shard: Shard) -> str:
    """Where the lease of a shard lies."""
    return f"{LEASES}/{shard.id}{LEASE_SUFFIX}"


def _host() -> str:
    """The machine since it was started, and (Linux) which processes are seen from here."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip())
    with suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    return "/".join(parts)


def started(pid: int) -> str:
    """When a process began, in the ticks of Linux; "" elsewhere, or where there is none."""
    with suppress(OSError, IndexError):
        # The name of the program, in brackets, may hold anything: fields are counted behind it.
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return "" if fields[0] == "Z" else fields[19]
    return ""
