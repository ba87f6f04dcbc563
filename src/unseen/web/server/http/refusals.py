"""When a refusal is sent: so many a second that refusing does not cost what it saves.

A client that comes back at once, whatever Retry-After says, is refused again thousands of times a
second, and each time takes a share of the processor that the networks need. So refusals leave at a
bounded rate, and who asks more often waits for the next: as many as there are connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LEAST_RATE = 20.0  # refusals a second, at least
OVERLOAD = 4.0  # for each picture that can be answered: at 0.4 ms each a twentieth of its time
LONGEST = 5.0  # seconds that one is held
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
        self._next = 0.0  # when the next one may leave, by the loop's clock

    async def wait(self) -> None:
        """Until it is this refusal's turn: at once, unless many leave already."""
        seconds = self._seconds()
        rate = max(LEAST_RATE, OVERLOAD / seconds if seconds > 0 else 0.0)
        now = asyncio.get_running_loop().time()
        self._next = min(max(self._next, now) + 1 / rate, now + LONGEST)
        if self._next - now > UNNOTICED:
            await asyncio.sleep(self._next - now)
