"""Work that several requests wait for: begun once, and ended when nobody waits any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


@dataclass(eq=False)
class _Work(Generic[R]):
    task: asyncio.Task[R]
    waiters: int = 0
    stays: bool = False


class SharedWork(Generic[K, R]):
    """Tasks by key, each with those who wait for it. For one event loop."""

    def __init__(self) -> None:
        self._works: dict[K, _Work[R]] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._works

    async def get(
        self, key: K, begin: Callable[[], Coroutine[Any, Any, R]], *, stays: bool = False
    ) -> R:
        """The result of the work of a key. When the last who waits is cancelled, so is the work.

        Parameters
        ----------
        key : K
            Names the work.
        begin : callable
            Makes the coroutine, where the work is not going on already.
        stays : bool
            Whether it goes on although nobody waits.

        Returns
        -------
        R
            The result; what the work raised is raised here.
        """
        work = self._works.get(key)
        if work is None:
            work = self._works[key] = _Work(asyncio.create_task(begin()))
            work.task.add_done_callback(lambda _, work=work: self._end(key, work))  # type: ignore[misc]
        work.stays |= stays
        work.waiters += 1
        try:
            return await asyncio.shield(work.task)  # others wait for it, too
        finally:
            work.waiters -= 1
            if not (work.waiters or work.stays or work.task.done()):
                self._forget(key, work)  # who comes now begins anew
                work.task.cancel()

    def _forget(self, key: K, work: _Work[R]) -> None:
        if self._works.get(key) is work:
            del self._works[key]

    def _end(self, key: K, work: _Work[R]) -> None:
        self._forget(key, work)
        if not work.task.cancelled():
            work.task.exception()  # is raised where it is waited for; here it counts as seen

    def cancel(self) -> None:
        """Ends all of it."""
        for work in list(self._works.values()):
            work.task.cancel()
