"""Items that arrive one by one → batches for a network, in a thread of its own, or a few.

A batch is what is queued when the network is free. It waits for more items only where more are
known to come (a picture that is being decoded), and only for a bounded time. So a single client
never waits, and under load batches are full because the queue is.

A thread takes its next batch itself: through the event loop, a network that computes two pictures
in 60 ms would be idle after each of them for as long as the loop is busy with requests.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from unseen.web.problems import overloaded
from unseen.web.server.core.metrics import Metrics

T = TypeVar("T")
R = TypeVar("R")

SMOOTHING = 0.3  # the weight of the newest batch in the running mean of seconds per item
MIN_QUEUED = 2  # items that may wait however slow the network is, so that it is never idle


@dataclass(eq=False)
class Place(Generic[T, R]):
    """The place of an item in a queue, and its result."""

    result: asyncio.Future[R]
    since: float  # when work on it began, by `time.perf_counter`
    item: T | None = None  # None: it is being made, or nobody waits for it any more
    queued: float = 0.0  # when there was an item


@dataclass(frozen=True)
class Failure:
    """What is raised in place of a result; an error that is a result is none."""

    error: BaseException


class Room:
    """Counts as one that waits, where new work is checked; in the event loop alone."""

    def __init__(self, batches: DynamicBatcher[Any, Any]) -> None:
        self._batches: DynamicBatcher[Any, Any] | None = batches
        batches._rooms += 1

    def leave(self) -> None:
        """Counts no more."""
        if self._batches is not None:
            self._batches._rooms -= 1
            self._batches = None


class DynamicBatcher(Generic[T, R]):
    """Runs a function on the items that are submitted, several at a time. For one event loop.

    Parameters
    ----------
    kind : str
        Names the queue in metrics and threads: `image` or `text`.
    run : callable
        The results of a list of items, in order.
    metrics : Metrics
        Counts queue, batches and seconds.
    size : int
        Items in a batch, at most.
    max_delay : float
        Seconds that a batch waits, at most, for items that are expected.
    threads : int
        How many batches may run at once.
    """

    def __init__(
        self,
        kind: str,
        run: Callable[[list[T]], Iterable[R]],
        metrics: Metrics,
        *,
        size: int,
        max_delay: float = 0.0,
        threads: int = 1,
    ) -> None:
        self._kind = kind
        self._run = run
        self._metrics = metrics
        self._max_delay = max_delay
        self._changed = threading.Condition()  # of all that several threads change
        self._queue: deque[Place[T, R]] = deque()
        self._made: set[Place[T, R]] = set()  # whose items are being made
        self._expected = 0  # these, and others
        self._rooms = 0  # of requests that have not put their items in yet
        self._running: set[Place[T, R]] = set()
        self._closed = False
        self._active = 0  # threads that work, and will look at the queue again
        self._waits = False  # whether one of them waits for what is expected
        self._waking = False  # whether one will be woken in this turn of the loop
        self.resize(size, threads)
        self._seconds = 0.0  # for an item: a running mean
        self._ended = 0.0  # when the last batch did

    def resize(self, size: int, threads: int) -> None:
        """How many items a batch has at most, and how many batches may run at once; before the
        first item."""
        self.size, self.threads = size, threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"unseen-{self._kind}")

    @property
    def pending(self) -> int:
        """How many items are queued, expected or in a running batch."""
        return len(self._queue) + self._expected + len(self._running)

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
        pending = self.pending + self._rooms
        wait = pending * self._seconds
        queued = pending - len(self._running)
        too_many = pending >= least or wait > at_most
        if wait > longest and queued >= MIN_QUEUED and too_many:
            self._metrics.rejected.labels("queue").inc()
            raise overloaded(wait)

    def keep_room(self) -> Room:
        """Room for an item of a request that was let in, so that no other is let in in its place.

        Returns
        -------
        Room
            To be left when the item has its place; no batch waits for it.
        """
        return Room(self)

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
        with self._changed:
            self._expected += number
        self._metrics.queue_depth.labels(self._kind).inc(number)
        if number < 0:  # somebody may have waited for them
            self._wake_soon()

    async def submit(self, item: T) -> R:
        """Queues one item. If it is cancelled while it waits, it is never run.

        Parameters
        ----------
        item : T
            What `run` takes.

        Returns
        -------
        R
            The result of the item; what `run` raised is raised here.
        """
        place = self._place()
        place.item, place.queued = item, place.since
        with self._changed:
            self._queue.append(place)
        # What else is submitted in this turn of the loop shares its batch.
        self._wake_soon()
        return await place.result

    # items that are made in another thread, and go from there to the network

    def reserve(self) -> Place[T, R]:
        """A place for an item that is being made, which is expected until it is handed in.

        Returns
        -------
        Place
            Its result is to be awaited; where that is cancelled the item is never run.
        """
        place = self._place()
        with self._changed:
            self._made.add(place)
            self._expected += 1
        return place

    def hand_in(self, place: Place[T, R], item: T) -> None:
        """Queues an item in its place, from any thread.

        Parameters
        ----------
        place : Place
            Where `reserve` put it.
        item : T
            What `run` takes.
        """
        with self._changed:
            if place in self._made:  # somebody waits for it
                self._leave(place)
                place.item, place.queued = item, time.perf_counter()
                self._queue.append(place)
                self._wake()

    def answer(self, place: Place[T, R], result: R | Failure) -> None:
        """The result of an item that is not for the network, from any thread.

        Parameters
        ----------
        place : Place
            Where `reserve` put it.
        result : R or Failure
            What is returned, or raised, where its result is awaited.
        """
        with self._changed:
            if place in self._made:
                self._leave(place)
        _deliver([place], [result])

    def _place(self) -> Place[T, R]:
        place: Place[T, R] = Place(asyncio.get_running_loop().create_future(), time.perf_counter())
        depth = self._metrics.queue_depth.labels(self._kind)
        depth.inc()

        def ended(_: object) -> None:
            depth.dec()
            with self._changed:
                if place in self._made:
                    self._leave(place)
                if place.result.cancelled() and place in self._queue:  # else it was in a batch
                    self._queue.remove(place)

        place.result.add_done_callback(ended)
        return place

    def _leave(self, place: Place[T, R]) -> None:
        """An item is expected no more."""
        self._made.discard(place)
        self._expected -= 1
        self._wake()

    def _wake_soon(self) -> None:
        if not self._waking:
            self._waking = True
            asyncio.get_running_loop().call_soon(self._wake_now)

    def _wake_now(self) -> None:
        self._waking = False
        with self._changed:
            self._wake()

    def _wake(self) -> None:
        """Lets a thread look at the queue; with the lock."""
        if self._waits:
            self._changed.notify()
        elif self._queue and self._active < self.threads and not self._closed:
            self._active += 1
            self._pool.submit(self._work)

    # in a thread

    def _work(self) -> None:
        while batch := self._next_batch():
            started = time.perf_counter()
            results = self._results_of([place.item for place in batch])  # type: ignore[misc]
            self._measure(batch, started)
            _deliver(batch, results)

    def _next_batch(self) -> list[Place[T, R]]:
        """What is queued; none where that is nothing, or where another thread waits for more."""
        with self._changed:
            while self._queue and not self._waits and not self._closed:
                self._wait_for_expected()
                # Cancelled items have left the queue: it may be empty by now.
                number = min(self.size, len(self._queue))
                batch = [self._queue.popleft() for _ in range(number)]
                if batch:
                    self._running.update(batch)
                    self._wake()  # another thread, for what is left
                    return batch
            self._active -= 1
            return []

    def _wait_for_expected(self) -> None:
        """Waits while more is expected and the batch is not full, for `max_delay` at most."""
        end = time.perf_counter() + self._max_delay
        self._waits = True
        while self._expected and 0 < len(self._queue) < self.size and not self._closed:
            seconds = end - time.perf_counter()
            if seconds <= 0:
                break
            self._changed.wait(seconds)
        self._waits = False

    def _results_of(self, items: list[T]) -> Sequence[R | Failure]:
        try:
            results = [*self._run(items)]
            if len(results) != len(items):
                raise ValueError(f"{len(results)} results of {len(items)} items")
            return results
        except BaseException as error:  # is raised where the results are awaited
            return [Failure(error)] * len(items)

    def _measure(self, batch: Sequence[Place[T, R]], start: float) -> None:
        end = time.perf_counter()
        self._metrics.batch_size.labels(self._kind).observe(len(batch))
        self._metrics.stage_seconds.labels(self._kind).observe(end - start)
        for place in batch:
            place.item = None
            self._metrics.stage_seconds.labels("wait").observe(end - place.queued)
        with self._changed:
            # Under load, what counts is the time from the end of one batch to the end of the next.
            busy = end - max(self._ended, min(place.since for place in batch))
            new = busy / len(batch)
            old = self._seconds
            self._seconds = SMOOTHING * new + (1 - SMOOTHING) * old if old else new
            self._ended = end
            self._running.difference_update(batch)

    async def close(self) -> None:
        """Ends the threads; what waits is cancelled."""
        with self._changed:
            self._closed = True
            waiting = [*self._made, *self._queue, *self._running]
            self._changed.notify_all()
        for place in waiting:
            place.result.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)


def _deliver(places: Sequence[Place[T, R]], results: Sequence[R | Failure]) -> None:
    """Hands results to those who wait, in their event loop."""

    def deliver() -> None:
        for place, result in zip(places, results, strict=True):
            if place.result.done():
                continue
            if isinstance(result, Failure):
                place.result.set_exception(result.error)
            else:
                place.result.set_result(result)

    with suppress(RuntimeError):  # the loop is closed
        places[0].result.get_loop().call_soon_threadsafe(deliver)
