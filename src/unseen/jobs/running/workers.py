"""Worker processes of this machine: started, watched, and started anew when they are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unseen import errors
from unseen.errors import StoreError, UnseenError
from unseen.jobs.job import Job
from unseen.jobs.running.runner import part_of
from unseen.jobs.running.status import Status, StatusReader
from unseen.system.cpu import usable

POLL_SECONDS = 0.5
SLOWEST_POLL_SECONDS = 10.0  # of a job whose many shards take long to look through
RESTARTS = 5  # of killed workers, while no shard is published
CODE = "from unseen.jobs.running.worker import main; main()"
MEMORY = Path("/proc/meminfo")


@dataclass(frozen=True)
class WorkerPlan:
    """How many processes work, and what each of them takes.

    Parameters
    ----------
    workers : int
        Processes, each with a model of its own.
    threads : int
        Of the network in each.
    weight_bytes : int
        Of the model's files.
    free_bytes : int, optional
        Memory that is free here; None where that is not known.
    """

    workers: int
    threads: int
    weight_bytes: int
    free_bytes: int | None

    @property
    def bytes_each(self) -> int:
        """About what a worker takes: libraries, the weights twice while they are compiled, and the
        pictures of a batch."""
        return 400_000_000 + 2 * self.weight_bytes

    @property
    def is_too_much(self) -> bool:
        """Whether all of them need more than is free."""
        return self.free_bytes is not None and self.workers * self.bytes_each > self.free_bytes

    def __str__(self) -> str:
        who = f"{self.workers} worker{'s' * (self.workers > 1)} of {self.threads} "
        who += f"thread{'s' * (self.threads > 1)}"
        free = "" if self.free_bytes is None else f"; {self.free_bytes / 1e9:.1f} GB are free"
        return f"{who}, about {self.bytes_each / 1e9:.1f} GB of memory each{free}"


def plan_workers(workers: int, threads: int | None, weight_bytes: int) -> WorkerPlan:
    """Divide the processors among workers.

    Parameters
    ----------
    workers : int
        How many.
    threads : int, optional
        Of each. None: the processors that may be used, divided.
    weight_bytes : int
        Of the model's files.

    Returns
    -------
    WorkerPlan
    """
    threads = max(1, usable() // workers) if threads is None else threads
    return WorkerPlan(workers, threads, weight_bytes, _free_bytes())


def run_workers(
    job: Job,
    *,
    workers: int = 1,
    part: tuple[int, int] | None = None,
    overrides: Mapping[str, Any] | None = None,
    batch_size: int | None = None,
    lease_seconds: float | None = None,
    progress: Callable[[Status], None] | None = None,
) -> Status:
    """Work at a job in processes of this machine until every shard of `part` has its rows.

    A worker that is killed is started anew. Any number of machines may do this at the same time.

    Parameters
    ----------
    job : Job
        What was planned.
    workers : int
        Processes.
    part : tuple of (int, int), optional
        Part i of n, from 0 on: every nth shard. None: all.
    overrides : Mapping[str, Any], optional
        Fields of `LoadOptions` that change no answer. Threads are divided among the workers where
        they are not given.
    batch_size : int, optional
        Pictures that the network takes at once.
    lease_seconds : float, optional
        As of `unseen.jobs.running.lease.Leases`.
    progress : callable, optional
        Called now and then with how far all runners are, those of other machines included.

    Returns
    -------
    Status
        At the end.

    Raises
    ------
    StoreError
        If the store cannot be read or written; or workers were killed again and again.
    UnseenError
        What a worker raised.
    """
    job.store.check_writable()
    reader = StatusReader(job, part_of(job.shards, part))
    options = {"threads": plan_workers(workers, None, 0).threads, **(overrides or {})}
    call = {
        "job": job.store.address,
        "part": part,
        "overrides": options,
        "batch_size": batch_size,
        "lease_seconds": lease_seconds,
    }
    pool = _Pool(json.dumps(call))
    try:
        status = reader.read()
        shards, killed = status.shards_done, 0
        if progress is not None:
            progress(status)
        if not status.complete:
            pool.start(min(workers, status.shards - status.shards_done))
        wait = POLL_SECONDS
        while pool.processes:
            pool.wait(wait)
            began = time.monotonic()
            status = reader.read(open_parts=False)
            # Looking takes a tenth of the time at most.
            wait = min(max(POLL_SECONDS, 10 * (time.monotonic() - began)), SLOWEST_POLL_SECONDS)
            if progress is not None:
                progress(status)
            killed = 0 if status.shards_done > shards else killed
            shards = status.shards_done
            deaths = pool.ended()
            killed += deaths
            if killed > RESTARTS:
                raise StoreError(
                    f"{killed} workers were killed while no shard was done (out of memory, or a "
                    "picture that a decoder does not survive?); with fewer workers or a smaller "
                    "--batch-size each has more memory."
                )
            pool.start(deaths)
        status = reader.read()
        if progress is not None:
            progress(status)
        return status
    finally:
        pool.stop()


class _Pool:
    """Worker processes; each ends with its standard input, so that none outlives this process."""

    def __init__(self, call: str) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self._call = call

    def start(self, count: int) -> None:
        for _ in range(count):
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-c", CODE, self._call],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            )

    def wait(self, seconds: float) -> None:
        """Until a worker ends, or so long."""
        with suppress(subprocess.TimeoutExpired):
            self.processes[0].wait(seconds)

    def ended(self) -> int:
        """How many workers were killed since; raises what a worker raised."""
        killed = 0
        for process in [one for one in self.processes if one.poll() is not None]:
            self.processes.remove(process)
            document = _close(process)
            if process.returncode == 0:
                continue
            if document:
                raise _error(document)
            killed += 1
        return killed

    def stop(self) -> None:
        """End all of them; what they were at is given back."""
        for process in self.processes:
            with suppress(OSError):
                process.send_signal(signal.SIGTERM if os.name == "nt" else signal.SIGINT)
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            _close(process)
        self.processes = []


def _close(process: subprocess.Popen[bytes]) -> bytes:
    """What a worker that has ended wrote last."""
    assert process.stdin is not None and process.stdout is not None
    with suppress(OSError):
        process.stdin.close()
    with process.stdout as stdout:
        return stdout.read()


def _error(document: bytes) -> UnseenError:
    """The error that a worker wrote."""
    try:
        facts = json.loads(document)
        kind = getattr(errors, facts["kind"], StoreError)
        error: UnseenError = kind.__new__(kind)
        error.args = (facts["message"],)
    except (ValueError, KeyError, TypeError):
        return StoreError("a worker ended without saying why.")
    return error


def _free_bytes() -> int | None:
    """Memory that is available on Linux; None elsewhere."""
    with suppress(OSError, ValueError, StopIteration):
        lines = MEMORY.read_text("ascii").splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        return int(line.split()[1]) * 1024
    return None
