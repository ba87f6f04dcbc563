"""What a camera has never shown: the distance of a frame to the nearest of its own past.

No label is needed. Each minute counts once, by the frame that was farthest from everything before;
how rare such a minute is, is its rank among the minutes of the past, which is a conformal p-value:
p = (1 + how many were at least as far) / (n + 1). An alarm is a minute whose p is below the false
alarms a day that were chosen, divided by the minutes of a day; before there are enough minutes for
such a p, there is none. (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005.)
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from unseen.errors import SourceError

if TYPE_CHECKING:
    from unseen.types import Floats

MINUTE, DAY_MINUTES = 60.0, 1440
REMEMBERED = 4096  # frames, one a minute and the surprising ones: about three days
PAST_MINUTES = 30 * DAY_MINUTES
NEAR_HOURS = 2.0  # frames of about the same time of day are preferred, where there are
NEAR_FRAMES = 256  # as many of them
WARM_UP = 10  # minutes whose distances say nothing: everything is new at first


@dataclass
class Surprise:
    """The past of one source.

    Parameters
    ----------
    alarms_a_day : float
        False alarms that are accepted, on average.

    Raises
    ------
    SourceError
        If that is not above 0 and at most 288, one in five minutes.

    Examples
    --------
    >>> surprise = Surprise(1.0)
    >>> surprise.minutes_needed
    1440
    """

    alarms_a_day: float
    _frames: Floats | None = field(default=None, init=False)
    _hours: Floats = field(init=False)
    _count: int = field(default=0, init=False)  # of frames that were remembered, ever
    _distances: deque[float] = field(init=False)  # of each minute of the past
    _sorted: list[float] = field(default_factory=list, init=False)  # the same
    _minute: float | None = field(default=None, init=False)  # when the one that goes on began
    _farthest: tuple[float, Floats, float] | None = field(default=None, init=False)
    _minutes: int = field(default=0, init=False)
    _alarmed: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        if not 0 < self.alarms_a_day <= DAY_MINUTES / 5:
            raise SourceError(
                f"{self.alarms_a_day:g} false alarms a day; give more than 0, and at most "
                f"{DAY_MINUTES // 5}."
            )
        self._hours = np.zeros(REMEMBERED, np.float32)
        self._distances = deque(maxlen=max(PAST_MINUTES, 2 * self.minutes_needed))

    @property
    def level(self) -> float:
        """The p from which on a minute is an alarm."""
        return self.alarms_a_day / DAY_MINUTES

    @property
    def minutes_needed(self) -> int:
        """Minutes of the past without which no p is so low."""
        return math.ceil(1 / self.level - 1e-9)

    @property
    def minutes_missing(self) -> int:
        """How many of them are still to come; 0 when there can be alarms."""
        return max(0, self.minutes_needed - len(self._distances))

    def add(self, embedding: Floats, moment: float) -> float | None:
        """One more frame.

        Parameters
        ----------
        embedding : float32 array (d,)
            Of length 1.
        moment : float
            In seconds since 1970.

        Returns
        -------
        float or None
            The p of an alarm: once a minute, and None otherwise.
        """
        if self._minute is None or not 0 <= moment - self._minute < MINUTE:
            self._close()
            self._minute = moment
        hour = moment / 3600 % 24
        distance = self._distance(embedding, hour)
        if self._farthest is None or distance > self._farthest[0]:
            self._farthest = (distance, embedding, hour)
        if self._alarmed or self.minutes_missing:
            return None
        as_far = len(self._sorted) - bisect_left(self._sorted, distance)
        p = (1 + as_far) / (len(self._distances) + 1)
        if p >= self.level:
            return None
        self._alarmed = True
        return p

    def _close(self) -> None:
        """The minute is over: its farthest frame is remembered."""
        if self._farthest is None:
            return
        distance, embedding, hour = self._farthest
        self._minutes += 1
        if self._minutes > WARM_UP:
            self._keep(distance)
        if self._frames is None:
            self._frames = np.zeros((REMEMBERED, len(embedding)), np.float32)
        row = self._count % REMEMBERED
        self._frames[row], self._hours[row] = embedding, hour
        self._count += 1
        self._farthest, self._alarmed = None, False

    def _keep(self, distance: float) -> None:
        if len(self._distances) == self._distances.maxlen:
            del self._sorted[bisect_left(self._sorted, self._distances[0])]
        self._distances.append(distance)
        insort(self._sorted, distance)

    def _distance(self, embedding: Floats, hour: float) -> float:
        """1 - the cosine to the nearest frame that is remembered."""
        if self._frames is None:
            return 2.0
        count = min(self._count, REMEMBERED)
        cosines = self._frames[:count] @ embedding
        apart = np.abs(self._hours[:count] - hour)
        near = np.minimum(apart, 24 - apart) <= NEAR_HOURS
        if near.sum() >= NEAR_FRAMES:
            cosines = cosines[near]
        return float(1 - cosines.max())
