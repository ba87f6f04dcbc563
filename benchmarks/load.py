"""Load for a server, from a process of its own: raw sockets, requests made beforehand.

What it is to do comes as one pickled `Job` on standard input; what came of it is printed as JSON.
It reads only the status, the length and Retry-After of an answer, because it shares the cores with
the server that it measures; `cpu` is what it took of them.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import random
import resource
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONNECTIONS = 900  # at most; a server has room for 1024


@dataclass(frozen=True)
class Job:
    """Closed loop: `clients` that each ask again when they have their answer, or, refused, when
    Retry-After has passed, or at once where they are `patient` no more. Open loop: `rate`."""

    port: int
    requests: list[bytes]  # sent in turn, heads included
    clients: int = 1
    seconds: float = 10.0
    rate: float | None = None  # arrivals a second, whatever the answers; evenly random
    number: int | None = None  # so many requests, instead of the seconds
    patient: bool = True  # whether Retry-After is heeded


def run(job: Job) -> dict[str, Any]:
    """What came of it: see `_Load.result`."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__))],
        input=pickle.dumps(job),
        stdout=subprocess.PIPE,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def percentile(values: list[float], percent: float) -> float:
    """Nearest rank; NaN of nothing."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


class _Client(asyncio.Protocol):
    def __init__(self, load: _Load) -> None:
        self._load = load
        self._buffer = bytearray()
        self._missing = -1  # bytes of the answer that are still to come; -1: its head
        self._since = 0.0
        self.head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self, request: bytes, since: float) -> None:
        self._since = since
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self._missing < 0:
            self._buffer += data
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            self.head = bytes(self._buffer[:end]).lower() + b"\r\n"
            size = int(self.head.partition(b"content-length: ")[2].partition(b"\r")[0] or 0)
            self._missing = size - (len(self._buffer) - end - 4)
            self._buffer.clear()
        else:
            self._missing -= len(data)
        if self._missing == 0:
            self._missing = -1
            status = int(self.head[9:12])
            wait = self.head.partition(b"retry-after: ")[2].partition(b"\r")[0]
            self._load.answered(self, status, self._since, float(wait) if wait else None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.lost(self)


class _Load:
    def __init__(self, job: Job) -> None:
        self._job = job
        self._next = 0
        self._idle: list[_Client] = []
        self._busy: set[_Client] = set()
        self._seconds: dict[int, list[float]] = {}
        self._counts: Counter[str] = Counter()
        self._done = asyncio.Event()
        self._end = float("inf")

    async def run(self) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        for _ in range(self._job.clients):
            self._idle.append(await self._connect(loop))
        start = time.perf_counter()
        if self._job.number is None:
            self._end = start + self._job.seconds
        if self._job.rate is None:
            for client in list(self._idle):
                self._ask(client, time.perf_counter())
        else:
            await self._arrivals(loop, start, self._job.rate)
        while self._busy:
            self._done.clear()
            await self._done.wait()
        return self.result(self._last - start)

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> _Client:
        _, client = await loop.create_connection(lambda: _Client(self), "127.0.0.1", self._job.port)
        return client

    async def _arrivals(self, loop: asyncio.AbstractEventLoop, start: float, rate: float) -> None:
        chance = random.Random(0)
        due = start
        while (due := due + chance.expovariate(rate)) < self._end:
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            if not self._idle and len(self._busy) >= CONNECTIONS:
                self._counts["no connection left"] += 1
                continue
            client = self._idle.pop() if self._idle else await self._connect(loop)
            self._ask(client, due)

    def _ask(self, client: _Client, since: float) -> None:
        if client in self._idle:
            self._idle.remove(client)
        self._busy.add(client)
        client.ask(self._job.requests[self._next % len(self._job.requests)], since)
        self._next += 1

    def answered(self, client: _Client, status: int, since: float, wait: float | None) -> None:
        self._last = time.perf_counter()
        self._seconds.setdefault(status, []).append(self._last - since)
        if self._last <= self._end:
            self._counts[f"{status} in time"] += 1
        if status in (429, 503) and wait is None:
            self._counts["no Retry-After"] += 1
        most = self._job.number
        more = self._last < self._end and (most is None or self._next < most)
        if b"connection: close" in client.head:  # the server ends: who asked again would be lost
            self._busy.discard(client)
            self._done.set()
            return
        if self._job.rate is None and more:
            if wait is None or not self._job.patient:
                self._ask(client, self._last)
            else:
                asyncio.get_running_loop().call_later(wait, self._again, client)
            return
        self._busy.discard(client)
        self._idle.append(client)
        self._done.set()

    def _again(self, client: _Client) -> None:
        now = time.perf_counter()
        if now < self._end:
            self._ask(client, now)
        else:
            self._busy.discard(client)
            self._done.set()

    def lost(self, client: _Client) -> None:
        if client in self._busy:
            self._counts["connection lost"] += 1
            self._busy.discard(client)
            self._last = time.perf_counter()
            self._done.set()
        elif client in self._idle:
            self._idle.remove(client)

    def result(self, seconds: float) -> dict[str, Any]:
        """Seconds of it all, how many of each status, their percentiles, and our own CPU."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "seconds": seconds,
            "statuses": {status: len(times) for status, times in self._seconds.items()},
            "percentiles": {
                status: {p: percentile(times, p) for p in (50, 95, 99)}
                for status, times in self._seconds.items()
            },
            "counts": dict(self._counts),
            "cpu": used.ru_utime + used.ru_stime,
        }


async def _main() -> None:
    job = pickle.load(sys.stdin.buffer)
    json.dump(await _Load(job).run(), sys.stdout)


if __name__ == "__main__":
    sys.modules["load"] = sys.modules["__main__"]  # as the pickle calls it
    asyncio.run(_main())
