"""Between a thread that reads a source and the one that looks: the newest sample, and no other.

A reader of something live never waits: a sample that was not taken in time gives way to the next,
and is counted. A reader of files waits, as the disk does not mind.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition, Event
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from unseen.types import Images

WAIT_SECONDS = 0.2  # before a thread that waits looks whether all is stopped


@dataclass(frozen=True)
class Sample:
    """What a source shows at a time.

    Parameters
    ----------
    source : str
        The camera, stream or file.
    time : float
        In seconds: since 1970 of what is live, since the first frame of a file.
    picture : ndarray of shape (height, width, 3), Path, bytes or None
        None: nothing has changed since the sample before.
    offset : float
        In seconds: with it, `time` is since 1970.
    """

    source: str
    time: float
    picture: Images | Path | bytes | None
    offset: float = 0.0


@dataclass(frozen=True)
class State:
    """A source is `connected`, `lost`, `slow` (samples are left out), `damaged` or `done`."""

    source: str
    state: str
    detail: str = ""


Item: TypeAlias = "Sample | State"


@dataclass
class Counts:
    """What became of a source.

    Parameters
    ----------
    frames : int
        That were received.
    due : int
        Samples that were due.
    samples : int
        Those of them that were looked at.
    connections : int
        How often it was opened.
    """

    frames: int = 0
    due: int = 0
    samples: int = 0
    connections: int = 0

    @property
    def shed(self) -> int:
        """Samples that were due, and not looked at."""
        return self.due - self.samples


class Bell:
    """What the thread that looks waits for: any feed has something."""

    def __init__(self) -> None:
        self.stopped = Event()
        self.condition = Condition()

    def stop(self) -> None:
        """All threads end soon."""
        self.stopped.set()

    def wait(self, ready: Callable[[], bool], seconds: float) -> None:
        """Until something is ready, all is stopped, or it takes too long."""
        deadline = time.monotonic() + seconds
        with self.condition:
            while not (ready() or self.stopped.is_set()):
                left = deadline - time.monotonic()
                if left <= 0:
                    return
                self.condition.wait(min(left, WAIT_SECONDS))


@dataclass
class Feed:
    """The items of one source, from its reader.

    Parameters
    ----------
    source : str
        What was given, without a password.
    bell : Bell
        Rung when there is an item.
    """

    source: str
    bell: Bell
    counts: Counts = field(default_factory=Counts)
    ended: bool = field(default=False, init=False)
    _items: deque[Item] = field(default_factory=deque, init=False)

    @property
    def stopped(self) -> Event:
        """Set when the reader shall end."""
        return self.bell.stopped

    @property
    def ready(self) -> bool:
        """Whether there is an item."""
        return bool(self._items)

    def offer(self, sample: Sample) -> None:
        """A sample of something live: it takes the place of one that was not taken yet."""
        with self.bell.condition:
            self.counts.due += 1
            last = self._items[-1] if self._items else None
            if isinstance(last, Sample):
                picture = last.picture if sample.picture is None else sample.picture
                self._items[-1] = Sample(sample.source, sample.time, picture, sample.offset)
            else:
                self._items.append(sample)
            self.bell.condition.notify_all()

    def put(self, sample: Sample) -> None:
        """A sample of a file, once the one before is taken."""
        with self.bell.condition:
            while self._items and not self.stopped.is_set():
                self.bell.condition.wait(WAIT_SECONDS)
            self.counts.due += 1
            self._items.append(sample)
            self.bell.condition.notify_all()

    def say(self, state: str, detail: str = "", source: str | None = None) -> None:
        """How the source is; in order with its samples."""
        with self.bell.condition:
            self._items.append(State(source or self.source, state, detail))
            self.bell.condition.notify_all()

    def end(self) -> None:
        """Nothing more comes."""
        with self.bell.condition:
            self.ended = True
            self.bell.condition.notify_all()

    def take(self) -> list[Item]:
        """All items: states, and at most a sample between two of them."""
        with self.bell.condition:
            items = list(self._items)
            self._items.clear()
            self.counts.samples += sum(isinstance(item, Sample) for item in items)
            self.bell.condition.notify_all()
        return items
