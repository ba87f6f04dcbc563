"""When a refusal is sent: so many a second that refusing does not cost what it saves.

A client that comes back at once, whatever Retry-After says, is refused again thousands of times a
second, and each time takes a share of the processor that the networks need. So refusals leave at a
bounded rate, and who asks more often waits for the next: as many as there are connections.

Clients that arrive by themselves, three times as many as can be answered, leave few to be held at
that rate. Where many are held for a while, they are those who come back at once: to tell them
sooner would only bring them back sooner, so the rate is lower. Where that does not end with a crowd
of some size, it was none, and they leave as fast as before. Many that came together, as after a
pause of the server, are no crowd either: they have left within that while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LEAST_RATE = 20.0  # refusals a second, at least
OVERLOAD = 4.0  # for each picture that can be answered, which takes a hundred times as long
CROWD = 1.0  # the same, where many are held
FEW, MANY, FLOOD = 24, 48, 192  # that are held: no crowd any more, a crowd, too many for one
CROWD_SECONDS = 1.0  # that many are held, until they are a crowd
LONGEST = 5.0  # seconds that one is held
CREDIT = 0.1  # seconds in which none left, and that those who come together may use up
UNNOTICED = 0.02  # seconds that are not worth a wait


class RefusalPace:
    """Spreads refusals over time. For one event loop.

    Parameters
    ----------
    seconds : callable
        What one picture takes at present.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._next = float("-inf")  # when the next one may leave, by the loop's clock
        self._held = 0
        self._flood = False  # until few are held
        self._crowd = False
        self._many_since = float("inf")  # by the loop's clock, while many are held

    async def wait(self) -> None:
        """Until it is this refusal's turn: at once, unless many leave already."""
        seconds = self._seconds()
        now = asyncio.get_running_loop().time()
        rate = max(LEAST_RATE, self._for_each_picture(now) / seconds if seconds > 0 else 0.0)
        self._next = min(max(self._next, now - CREDIT) + 1 / rate, now + LONGEST)
        if self._next - now > UNNOTICED:
            self._held += 1
            try:
                await asyncio.sleep(self._next - now)
            finally:
                self._held -= 1

    def _for_each_picture(self, now: float) -> float:
        self._many_since = min(self._many_since, now) if self._held >= MANY else float("inf")
        if self._held < FEW:
            self._crowd = self._flood = False
        elif self._held >= FLOOD:
            self._flood = True
        elif now - self._many_since >= CROWD_SECONDS:
            self._crowd = True
        return CROWD if self._crowd and not self._flood else OVERLOAD
