"""Items that arrive one by one → batches for a network, in a thread of its own.

A batch is what is queued when the network is free. It waits for more items only where more are
known to come (a picture that is being decoded), and only for a bounded time. So a single client
never waits, and under load batches are full because the queue is.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from unseen.web.problems import overloaded
from unseen.web.server.core.metrics import Metrics

T = TypeVar("T")
R = TypeVar("R")

SMOOTHING = 0.3  # the weight of the newest batch in the running mean of seconds per item
MIN_QUEUED = 2  # items that may wait however slow the network is, so that it is never idle


@dataclass(eq=False)
class _QueuedItem(Generic[T, R]):
    item: T
    result: asyncio.Future[R]
    since: float


class DynamicBatcher(Generic[T, R]):
    """Runs a function on the items that are submitted, several at a time. For one event loop.

    Parameters
    ----------
    kind : str
        Names the queue in metrics and threads: `image` or `text`.
    run : callable
        The results of a list of items, in order. It runs in one thread.
    metrics : Metrics
        Counts queue, batches and seconds.
    size : int
        Items in a batch, at most.
    max_delay : float
        Seconds that a batch waits, at most, for items that `expect` announced.
    """

    def __init__(
        self,
        kind: str,
        run: Callable[[list[T]], Iterable[R]],
        metrics: Metrics,
        *,
        size: int,
        max_delay: float = 0.0,
    ) -> None:
        self._kind = kind
        self._run = run
        self._metrics = metrics
        self.size = size
        self._max_delay = max_delay
        self._queue: deque[_QueuedItem[T, R]] = deque()
        self._expected = 0
        self._running = 0
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"unseen-{kind}")
        self._task: asyncio.Task[None] | None = None
        self._seconds = 0.0  # for an item: a running mean
        self._ended = 0.0  # when the last batch ended

    @property
    def pending(self) -> int:
        """How many items are queued, expected or in the running batch."""
        return len(self._queue) + self._expected + self._running

    def wait(self) -> float:
        """How long a new item would wait.

        Returns
        -------
        float
            Seconds, by the running mean.
        """
        return self.pending * self._seconds

    @property
    def seconds(self) -> float:
        """What one item takes, by the running mean; 0 where none was run."""
        return self._seconds

    def check(self, longest: float, least: int = 0, at_most: float = math.inf) -> None:
        """Refuses new work while the queue is too long.

        Parameters
        ----------
        longest : float
            Seconds that an item may wait.
        least : int
            Items that may wait for longer than that.
        at_most : float
            Seconds that even these may wait.

        Raises
        ------
        Problem
            503 with a Retry-After.
        """
        wait = self.wait()
        queued = self.pending - self._running
        too_many = self.pending >= least or wait > at_most
        if wait > longest and queued >= MIN_QUEUED and too_many:
            self._metrics.rejected.labels("queue").inc()
            raise overloaded(wait)

    def assume(self, seconds: float) -> None:
        """Sets the running mean of the seconds of one item, until batches correct it."""
        self._seconds = seconds

    def expect(self, number: int) -> None:
        """Announces items that will be submitted soon.

        Parameters
        ----------
        number : int
            How many; negative for items that were submitted, or never will be.
        """
        self._expected += number
        self._metrics.queue_depth.labels(self._kind).inc(number)
        self._arrived.set()

    async def submit(self, item: T, *, since: float | None = None) -> R:
        """Queues one item. If it is cancelled while it waits, it is never run.

        Parameters
        ----------
        item : T
            What `run` takes.
        since : float, optional
            When work on it began, by `time.perf_counter`, if that was before now.

        Returns
        -------
        R
            The result of the item; what `run` raised is raised here.
        """
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run_batches())
        now = time.perf_counter()
        queued: _QueuedItem[T, R] = _QueuedItem(
            item, asyncio.get_running_loop().create_future(), now if since is None else since
        )
        self._queue.append(queued)
        depth = self._metrics.queue_depth.labels(self._kind)
        depth.inc()
        self._arrived.set()
        try:
            result = await queued.result
        finally:
            depth.dec()
            if not queued.result.done() or queued.result.cancelled():
                with suppress(ValueError):  # it is in a batch already
                    self._queue.remove(queued)
        self._metrics.stage_seconds.labels("wait").observe(time.perf_counter() - now)
        return result

    async def _run_batches(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while not self._queue:
                self._arrived.clear()
                await self._arrived.wait()
            await self._wait_for_expected()
            # Cancelled items have left the queue: it may be empty by now.
            batch = [self._queue.popleft() for _ in range(min(self.size, len(self._queue)))]
            if not batch:
                continue
            self._running = len(batch)
            start = time.perf_counter()
            try:
                results = await loop.run_in_executor(
                    self._thread, self._run, [queued.item for queued in batch]
                )
                pairs = list(zip(batch, results, strict=True))
            except Exception as error:
                for queued in batch:
                    if not queued.result.done():
                        queued.result.set_exception(error)
            except asyncio.CancelledError:
                for queued in batch:
                    queued.result.cancel()
                raise
            else:
                for queued, result in pairs:
                    if not queued.result.done():
                        queued.result.set_result(result)
            finally:
                self._running = 0
            self._measure(batch, start)

    async def _wait_for_expected(self) -> None:
        """Waits while more is expected and the batch is not full, for `max_delay` at most."""
        end = time.perf_counter() + self._max_delay
        while self._expected and len(self._queue) < self.size:
            seconds = end - time.perf_counter()
            if seconds <= 0:
                return
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), seconds)
            except (TimeoutError, asyncio.TimeoutError):
                return

    def _measure(self, batch: Sequence[_QueuedItem[T, R]], start: float) -> None:
        end = time.perf_counter()
        self._metrics.batch_size.labels(self._kind).observe(len(batch))
        self._metrics.stage_seconds.labels(self._kind).observe(end - start)
        # Under load, what counts is the time from the end of one batch to the end of the next.
        busy = end - max(self._ended, min(queued.since for queued in batch))
        new = busy / len(batch)
        old = self._seconds
        self._seconds = SMOOTHING * new + (1 - SMOOTHING) * old if old else new
        self._ended = end

    async def close(self) -> None:
        """Ends the thread; queued items are cancelled."""
        if self._task is not None:
            self._task.cancel()
        for queued in self._queue:
            queued.result.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)
