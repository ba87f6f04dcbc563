"""Items that are made in a thread of their own, some before they are needed."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import islice
from queue import Full, Queue
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")


def read_ahead(items: Iterator[T], depth: int) -> Generator[T, None, None]:
    """`items`, taken in a thread of their own, at most `depth` before they are needed."""
    results: Queue[tuple[T | None, BaseException | None, bool]] = Queue(depth)
    stopped = Event()

    def put(result: tuple[T | None, BaseException | None, bool]) -> None:
        while not stopped.is_set():
            try:
                return results.put(result, timeout=0.1)
            except Full:
                continue

    def run() -> None:
        try:
            for item in items:
                put((item, None, False))
                if stopped.is_set():
                    return
            put((None, None, True))
        except BaseException as error:  # raised in the thread that reads
            put((None, error, True))
        finally:
            getattr(items, "close", bool)()

    thread = Thread(target=run, name="unseen-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error, ended = results.get()
            if error is not None:
                raise error
            if ended:
                return
            yield item  # type: ignore[misc]
    finally:
        stopped.set()
        thread.join()


def made_ahead(items: Iterator[T], size: int) -> Generator[T, None, None]:
    """`items`, made in a thread of their own, `size` of them at a time.

    For those of which a handover each would take as long as to make one. Closed, it has ended the
    thread.
    """
    for batch in read_ahead(_batches(items, size), 1):
        yield from batch


def _batches(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while batch := list(islice(items, size)):
        yield batch
