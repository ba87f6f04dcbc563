"""Texts of requests → embeddings: each encoded once, and every request in turn.

What cannot be done in time is refused when it is asked for, by the texts that are to come and the
seconds that one takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from unseen.system.lru import ByteLRU
from unseen.types import Floats
from unseen.web.problems import Problem, overloaded
from unseen.web.server.core.metrics import Metrics
from unseen.web.server.core.queues.batching import DynamicBatcher
from unseen.web.server.core.queues.sharing import SharedWork
from unseen.web.server.core.settings import ServerLimits

TEXTS_AT_ONCE = 64  # texts in a batch
TURN_SECONDS = 0.25  # of one request's texts before others have their turn
TURN_TEXTS = 4, 64  # the fewest and the most texts in a turn

Row = tuple[Floats, bool]  # the embedding, and whether the text was cut


class TextQueue:
    """The text net behind a queue and a cache. For one event loop."""

    def __init__(
        self,
        encode: Callable[[list[str]], list[Row]],
        row_bytes: int,
        limits: ServerLimits,
        metrics: Metrics,
    ) -> None:
        """`row_bytes`: what one embedding takes in the cache, its text included."""
        self.batches: DynamicBatcher[str, Row] = DynamicBatcher(
            "text", encode, metrics, size=TEXTS_AT_ONCE
        )
        self._limits = limits
        self._metrics = metrics
        self._cache: ByteLRU[str, Row] = ByteLRU(limits.cache_bytes, lambda _: row_bytes)
        self._encoding: SharedWork[str, Row] = SharedWork()
        self._to_come: dict[object, int] = {}  # texts, by request

    async def rows(self, texts: Sequence[str], *, patient: bool = False) -> dict[str, Row]:
        """Text → row.

        Parameters
        ----------
        texts : sequence of str
            Texts as they are, each once.
        patient : bool
            Whether it may take longer than a request may.

        Returns
        -------
        dict of str to Row
            One for each text.

        Raises
        ------
        Problem
            503 or 413 for what cannot be done in time.
        """
        rows = {text: row for text in texts if (row := self._cache.get(text)) is not None}
        missing = [text for text in texts if text not in rows]
        self._metrics.cache.labels("prompt", "hit").inc(len(rows))
        self._metrics.cache.labels("prompt", "miss").inc(len(missing))
        if not missing:
            return rows
        if not patient:
            self._check(sum(text not in self._encoding for text in missing))
        request = object()
        try:
            while missing:
                self._to_come[request] = len(missing)
                turn = self._turn()
                some, missing = missing[:turn], missing[turn:]
                rows.update(zip(some, await asyncio.gather(*map(self._row, some)), strict=True))
        finally:
            self._to_come.pop(request, None)
        return rows

    async def _row(self, text: str) -> Row:
        row = self._cache.get(text)  # another request may have had it encoded by now
        if row is None:
            row = await self._encoding.get(text, lambda: self.batches.submit(text))
            self._cache.put(text, row)
        return row

    def _turn(self) -> int:
        fewest, most = TURN_TEXTS
        seconds = self.batches.seconds
        return most if seconds <= 0 else max(fewest, min(most, int(TURN_SECONDS / seconds)))

    def _check(self, number: int) -> None:
        """Problem for new texts that would come too late."""
        limits, seconds = self._limits, self.batches.seconds
        # Requests take turns, so of a longer one only as many texts come before the last of these.
        most = max(number, self._turn())
        ahead = sum(min(to_come, most) for to_come in self._to_come.values()) * seconds
        if number * seconds > limits.seconds:
            raise Problem(
                413,
                f"{number:,} texts that are new here would take about {number * seconds:.0f} s, "
                f"and a request has {limits.seconds:g} s; send fewer, or store them first (PUT "
                "/v1/labelsets/NAME).",
                code="too_many",
            )
        crowded = ahead > limits.queue_seconds and len(self._to_come) >= limits.queue_pictures
        if crowded or ahead + number * seconds > limits.seconds:
            self._metrics.rejected.labels("queue").inc()
            raise overloaded(ahead)

    async def close(self) -> None:
        """Ends the thread; what is queued is cancelled."""
        self._encoding.cancel()
        await self.batches.close()
