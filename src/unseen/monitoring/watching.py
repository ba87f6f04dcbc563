"""Sources, labels and sinks → messages, for as long as it runs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from unseen.errors import SourceError, UnseenError
from unseen.monitoring.answers import Answers
from unseen.monitoring.feed import Bell, Counts, Feed, Item, Sample, State
from unseen.monitoring.messages import health_message
from unseen.monitoring.monitor import Monitor
from unseen.monitoring.readers import Reading, open_feed
from unseen.monitoring.rules import Rule
from unseen.monitoring.sinks import Sink, wants
from unseen.monitoring.surprise import Surprise
from unseen.video.events import States

if TYPE_CHECKING:
    from unseen.types import Floats

IDLE_SECONDS = 1.0  # then it is looked whether anything has stopped
CLOSE_SECONDS = 3.0  # for sinks to deliver what they have, at the end
SLOW_SHARE = 0.1  # of the samples that were due and left out in a minute, from which on it is said
SLOW_SECONDS = 60.0


@dataclass(frozen=True)
class WatchOptions:
    """How sources are watched.

    Parameters
    ----------
    min_seconds : float
        The shortest event that is wanted.
    rules : tuple of Rule
        When somebody is told. Empty: of each event.
    surprise : float, optional
        Tell of what a source has never shown, with so many false alarms a day.
    reading : Reading
        How the sources are read.
    slow_seconds : float
        How often it is looked whether samples are left out.

    Raises
    ------
    SourceError
        If a number is out of range.
    """

    min_seconds: float = 2.0
    rules: tuple[Rule, ...] = ()
    surprise: float | None = None
    reading: Reading = field(default_factory=Reading)
    slow_seconds: float = SLOW_SECONDS

    def __post_init__(self) -> None:
        if not 0 < self.reading.every < 86400:
            raise SourceError(f"every is {self.reading.every}; it must be above 0, up to a day.")
        if not 0 <= self.min_seconds < 86400:
            raise SourceError(f"min_seconds is {self.min_seconds}; it must be 0 up to a day.")
        if self.surprise is not None:
            Surprise(self.surprise)


# Of a sample: what is told apart, the probability of each, the best logit, and the embedding.
_Answer: TypeAlias = "tuple[States, Floats, float, Floats]"


@dataclass
class _Watched:
    """A source that is watched, and what is known of it."""

    feed: Feed
    thread: Thread
    surprise: Surprise | None
    monitors: dict[str, Monitor] = field(default_factory=dict)
    last: dict[str, tuple[States, Floats, float]] = field(default_factory=dict)
    checked: tuple[float, int, int] = (0.0, 0, 0)  # when, and what was due and shed by then
    slow: bool = False
    learns: bool = True  # surprises are not possible yet
    events: int = 0
    alarms: int = 0


class Watch:
    """What happens at sources, as messages; iterate it once.

    Parameters
    ----------
    sources : sequence of str or Path
        ``camera:0``, rtsp:// and http:// addresses, folders that are being filled, files; each may
        have a name: ``door=rtsp://…``.
    answers : Answers
        What tells what is seen.
    options : WatchOptions
        How they are watched.
    sinks : sequence of Sink
        Who is told, too. They are closed at the end.

    Raises
    ------
    SourceError
        If a source is none, or two have one name.
    """

    def __init__(
        self,
        sources: Sequence[str | Path],
        answers: Answers,
        options: WatchOptions,
        sinks: Sequence[Sink] = (),
    ) -> None:
        self._answers, self._options, self._sinks = answers, options, sinks
        self._bell = Bell()
        self._stop_called = False
        self._watched: list[_Watched] = []
        self._rules = {rule.name: rule.then for rule in options.rules}
        for source in sources:
            feed, thread = open_feed(source, options.reading, self._bell)
            past = None if options.surprise is None else Surprise(options.surprise)
            self._watched.append(_Watched(feed, thread, past))
        names = self.sources
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SourceError(
                f"two sources are called {twice[0]!r}; give each a name of its own, such as "
                "front=SOURCE and back=SOURCE."
            )
        if not names:
            raise SourceError("no source was given.")

    @property
    def sources(self) -> list[str]:
        """The names of the sources."""
        return [watched.feed.source for watched in self._watched]

    @property
    def counts(self) -> dict[str, Counts]:
        """What became of each source so far."""
        return {watched.feed.source: watched.feed.counts for watched in self._watched}

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stop_called

    def stop(self) -> None:
        """End soon, from another thread or a signal: what goes on is told as ended."""
        self._stop_called = True
        self._bell.stop()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yields messages until all sources have ended, or `stop` is called."""
        for watched in self._watched:
            watched.checked = (time.monotonic(), 0, 0)
            watched.thread.start()
        try:
            while not self._bell.stopped.is_set():
                self._bell.wait(lambda: any(w.feed.ready for w in self._watched), IDLE_SECONDS)
                yield from self._round()
                if all(w.feed.ended and not w.feed.ready for w in self._watched):
                    break
            yield from self._finish()
        finally:
            self._bell.stop()
            self._finish()
            deadline = time.monotonic() + CLOSE_SECONDS
            for sink in self._sinks:
                sink.close(max(0.1, deadline - time.monotonic()))

    def summary(self) -> list[str]:
        """A line for each source: what was looked at, and what was left out."""
        return [_line(watched) for watched in self._watched]

    def problems(self) -> list[str]:
        """What went wrong with the sinks since the last call, for people."""
        return [line for sink in self._sinks for line in sink.problems()]

    # one round

    def _round(self) -> list[dict[str, Any]]:
        """All that has come since the last one."""
        taken = [(w, item) for w in self._watched for item in w.feed.take()]
        answers = self._answered([item for _, item in taken])
        messages = []
        for watched, item in taken:
            if isinstance(item, Sample):
                messages += self._sample(watched, item, answers.get(id(item)))
            else:
                messages += self._state(watched, item)
        for watched in self._watched:
            messages += self._checked(watched)
        return messages

    def _answered(self, items: list[Item]) -> dict[int, _Answer | UnseenError]:
        """Of each sample with a picture what is known of it."""
        samples = [i for i in items if isinstance(i, Sample) and i.picture is not None]
        if not samples:
            return {}
        embeddings = self._answers.embed([s.picture for s in samples if s.picture is not None])
        good = [e for e in embeddings if not isinstance(e, UnseenError)]
        states, rows, fits = self._answers.states(np.stack(good)) if good else (None, (), ())
        answers: dict[int, _Answer | UnseenError] = {}
        probabilities = iter(zip(rows, fits, strict=True))
        for sample, embedding in zip(samples, embeddings, strict=True):
            if isinstance(embedding, UnseenError):
                answers[id(sample)] = embedding
            else:
                assert states is not None
                row, fit = next(probabilities)
                answers[id(sample)] = (states, row, float(fit), embedding)
        return answers

    def _sample(
        self,
        watched: _Watched,
        sample: Sample,
        answer: _Answer | UnseenError | None,
    ) -> list[dict[str, Any]]:
        source, embedding = sample.source, None
        if isinstance(answer, UnseenError):
            return self._state(watched, State(source, "damaged", str(answer)))
        if answer is not None:
            states, probabilities, fit, embedding = answer
            watched.last[source] = (states, probabilities, fit)
        if source not in watched.last:
            return []
        monitor = watched.monitors.get(source)
        if monitor is None:
            options = self._options
            monitor = watched.monitors[source] = Monitor(
                source,
                options.reading.every,
                options.min_seconds,
                [r for r in options.rules if not r.sources or watched.feed.source in r.sources],
                watched.surprise,
                sample.offset,
            )
        states, probabilities, fit = watched.last[source]
        messages = monitor.add(sample.time, states, probabilities, embedding, fit)
        return self._tell(watched, messages)

    def _state(self, watched: _Watched, state: State) -> list[dict[str, Any]]:
        messages = self._ended(watched, state.source) if state.state == "done" else []
        message = health_message(state, time.time(), watched.feed.counts)
        return messages + self._tell(watched, [message])

    def _checked(self, watched: _Watched) -> list[dict[str, Any]]:
        """What has stopped has ended; and whether samples are left out, or surprises possible."""
        messages, now, feed = [], time.time(), watched.feed
        for source, monitor in [*watched.monitors.items()]:
            if monitor.offset == 0.0 and monitor.has_stopped(now):
                messages += self._ended(watched, source)
        past = watched.surprise
        if past is not None and watched.learns and past.minutes_missing == 0:
            watched.learns = False
            detail = f"tells of surprises now, with {past.alarms_a_day:g} false alarms a day"
            messages += self._state(watched, State(feed.source, "learnt", detail))
        since, due, shed = watched.checked
        if time.monotonic() - since >= self._options.slow_seconds:
            due, shed = feed.counts.due - due, feed.counts.shed - shed
            slow = due > 0 and shed / due > SLOW_SHARE
            if slow and not watched.slow:
                detail = f"looked at {due - shed:,} of {due:,} samples; a longer --every has room"
                messages += self._state(watched, State(feed.source, "slow", detail))
            watched.slow = slow
            watched.checked = (time.monotonic(), feed.counts.due, feed.counts.shed)
        return messages

    def _ended(self, watched: _Watched, source: str) -> list[dict[str, Any]]:
        watched.last.pop(source, None)
        monitor = watched.monitors.pop(source, None)
        return [] if monitor is None else self._tell(watched, monitor.finish())

    def _finish(self) -> list[dict[str, Any]]:
        """All that goes on has ended."""
        return [
            message
            for watched in self._watched
            for source in [*watched.monitors]
            for message in self._ended(watched, source)
        ]

    def _tell(self, watched: _Watched, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        named = [message | {"watched": watched.feed.source} for message in messages]
        for message in named:
            if message["type"] == "new":
                watched.events += message["rule"] is None
                watched.alarms += message["rule"] is not None
            for sink in self._sinks:
                if wants(sink, message, rules=self._rules):
                    sink.put(message)
        return named


def _line(watched: _Watched) -> str:
    counts = watched.feed.counts
    line = f"{watched.feed.source}: looked at {counts.samples:,} of {counts.due:,} samples"
    line += f" ({counts.frames:,} frames received); {watched.events:,} events"
    if watched.alarms:
        line += f", {watched.alarms:,} alarms"
    if counts.connections > 1:
        line += f"; connected {counts.connections:,} times"
    return line + "."
