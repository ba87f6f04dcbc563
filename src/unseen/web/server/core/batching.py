"""Things that arrive one by one → batches for a network, in a thread of its own.

A batch is what waits when the network is free. It does not wait for company, except a bounded
moment for what is known to be on its way (a picture that is being decoded). So one client alone
waits for nobody, and under load batches are full because the queue is.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from unseen.web.server.core.metrics import Metrics
from unseen.web.server.core.problems import overloaded

T = TypeVar("T")
R = TypeVar("R")

SMOOTHING = 0.3  # of the newest batch, in the running mean of seconds an item
LEAST = 2  # that may wait however slow the network is, so that it is never without work


@dataclass(eq=False)
class _Waiting(Generic[T, R]):
    item: T
    answer: asyncio.Future[R]
    since: float


class Batches(Generic[T, R]):
    """`run` on what is submitted, several at a time. For one event loop."""

    def __init__(
        self,
        kind: str,
        run: Callable[[list[T]], Iterable[R]],
        metrics: Metrics,
        *,
        size: int,
        patience: float = 0.0,
    ) -> None:
        """`size`: of a batch, at most; `patience`: seconds to wait for what is on its way."""
        self._kind = kind
        self._run = run
        self._metrics = metrics
        self._size = size
        self._patience = patience
        self._queue: deque[_Waiting[T, R]] = deque()
        self._coming = 0
        self._working = 0
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"unseen-{kind}")
        self._task: asyncio.Task[None] | None = None
        self._seconds = 0.0  # an item, as it went lately
        self._ended = 0.0  # when the last batch did

    @property
    def pending(self) -> int:
        """How many wait, are on their way, or are being worked on."""
        return len(self._queue) + self._coming + self._working

    def wait(self) -> float:
        """Seconds that new work would wait, as things go."""
        return self.pending * self._seconds

    def check(self, longest: float) -> None:
        """Raises the Problem of an overloaded server where the wait is longer than that."""
        wait = self.wait()
        if wait > longest and self.pending - self._working >= LEAST:
            self._metrics.rejected.labels("queue").inc()
            raise overloaded(wait)

    def assume(self, seconds: float, *, size: int | None = None) -> None:
        """What an item takes, until there is a batch to learn it from; `size`: of batches, now."""
        self._seconds = seconds
        self._size = size or self._size

    def expect(self, number: int) -> None:
        """So many are on their way (or, negative, are not any more)."""
        self._coming += number
        self._metrics.queue_depth.labels(self._kind).inc(number)
        self._arrived.set()

    async def submit(self, item: T, *, since: float | None = None) -> R:
        """The answer to one item. Cancelled while it waits, it is never worked on.

        `since`: when its work began, if that was before (`time.perf_counter`).
        """
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        now = time.perf_counter()
        waiting: _Waiting[T, R] = _Waiting(
            item, asyncio.get_running_loop().create_future(), now if since is None else since
        )
        self._queue.append(waiting)
        depth = self._metrics.queue_depth.labels(self._kind)
        depth.inc()
        self._arrived.set()
        try:
            answer = await waiting.answer
        finally:
            depth.dec()
            if not waiting.answer.done() or waiting.answer.cancelled():
                self._forget(waiting)
        self._metrics.stage_seconds.labels("wait").observe(time.perf_counter() - now)
        return answer

    def _forget(self, waiting: _Waiting[T, R]) -> None:
        with suppress(ValueError):  # it is in a batch already
            self._queue.remove(waiting)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while not self._queue:
                self._arrived.clear()
                await self._arrived.wait()
            await self._company()
            batch = [
                self._queue.popleft() for _ in range(min(self._size, len(self._queue)))
            ]  # what was cancelled has left the queue
            if not batch:
                continue
            self._working = len(batch)
            start = time.perf_counter()
            try:
                answers = await loop.run_in_executor(
                    self._thread, self._run, [waiting.item for waiting in batch]
                )
                answered = list(zip(batch, answers, strict=True))
            except Exception as error:
                for waiting in batch:
                    if not waiting.answer.done():
                        waiting.answer.set_exception(error)
            except asyncio.CancelledError:
                for waiting in batch:
                    waiting.answer.cancel()
                raise
            else:
                for waiting, answer in answered:
                    if not waiting.answer.done():
                        waiting.answer.set_result(answer)
            finally:
                self._working = 0
            self._measure(batch, start)

    async def _company(self) -> None:
        """Waits while more is on its way, the batch is not full, and patience lasts."""
        end = time.perf_counter() + self._patience
        while self._coming and len(self._queue) < self._size:
            left = end - time.perf_counter()
            if left <= 0:
                return
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), left)
            except (TimeoutError, asyncio.TimeoutError):
                return

    def _measure(self, batch: Sequence[_Waiting[T, R]], start: float) -> None:
        end = time.perf_counter()
        self._metrics.batch_size.labels(self._kind).observe(len(batch))
        self._metrics.stage_seconds.labels(self._kind).observe(end - start)
        # Under load, what counts is from the end of one batch to that of the next.
        busy = end - max(self._ended, min(waiting.since for waiting in batch))
        new = busy / len(batch)
        self._seconds = (
            new if not self._seconds else (SMOOTHING * new + (1 - SMOOTHING) * self._seconds)
        )
        self._ended = end

    async def close(self) -> None:
        """Ends the thread; what waits is cancelled."""
        if self._task is not None:
            self._task.cancel()
        for waiting in self._queue:
            waiting.answer.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)
