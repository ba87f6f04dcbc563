"""How long to wait before something is tried again: 1, 2, 4 … 30 seconds, more or less.

Without chance all clients of a server that comes back would come back at once.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

FIRST, LONGEST, JITTER = 1.0, 30.0, 0.2


@dataclass
class Backoff:
    """Seconds to wait, twice as many after each failure.

    Parameters
    ----------
    first, longest : float
        In seconds, of which up to a fifth more or less is waited.

    Examples
    --------
    >>> backoff = Backoff()
    >>> [round(backoff.seconds() / expected) for expected in (1, 2, 4, 8, 16, 30, 30)]
    [1, 1, 1, 1, 1, 1, 1]
    """

    first: float = FIRST
    longest: float = LONGEST
    _failures: int = field(default=0, init=False)

    def seconds(self) -> float:
        """Before the next try; one more failure."""
        usual = min(self.longest, self.first * 2.0 ** min(self._failures, 30))
        self._failures += 1
        return usual * random.uniform(1 - JITTER, 1 + JITTER)

    def reset(self) -> None:
        """It has worked."""
        self._failures = 0
