"""Rules: what must be seen, how long and when, before somebody is told."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from typing import Literal, NamedTuple

from unseen.video.events import Decided
from unseen.video.prediction import Event, Peak

DAY_MINUTES = 24 * 60


@dataclass(frozen=True)
class Between:
    """A part of the day, which may go over midnight.

    Parameters
    ----------
    start, end : int
        Minutes since midnight; the end is not part of it.
    zone : tzinfo, optional
        The time zone. None: that of this machine.

    Examples
    --------
    >>> from datetime import timezone
    >>> Between(22 * 60, 6 * 60, timezone.utc).holds(0.0)
    True
    """

    start: int
    end: int
    zone: tzinfo | None = None

    def holds(self, moment: float) -> bool:
        """Whether a time, in seconds since 1970, is in it."""
        local = datetime.fromtimestamp(moment, tz=self.zone)
        minute = 60 * local.hour + local.minute
        return (minute - self.start) % DAY_MINUTES < (self.end - self.start) % DAY_MINUTES


@dataclass(frozen=True)
class Rule:
    """When somebody is told.

    Parameters
    ----------
    name : str
        What it is called.
    labels : tuple of str
        Any of them must be what happens.
    at_least : float
        The probability that the label must have in a sample, 0…1, for it to count.
    seconds : float
        How long it must last.
    gone : float
        Seconds without it, after which the alarm has ended; less does not interrupt it.
    between : Between, optional
        When it counts. None: always.
    cool_down : float
        Seconds after an alarm in which there is no other one.
    then : tuple of str, optional
        The sinks that are told. None: all.
    sources : tuple of str
        Where it counts; empty: everywhere.

    Examples
    --------
    >>> Rule("a person at night", ("a person",), between=Between(22 * 60, 6 * 60)).seconds
    0.0
    """

    name: str
    labels: tuple[str, ...]
    at_least: float = 0.0
    seconds: float = 0.0
    gone: float = 2.0
    between: Between | None = None
    cool_down: float = 0.0
    then: tuple[str, ...] | None = None
    sources: tuple[str, ...] = ()


class Alarm(NamedTuple):
    """An alarm that is new or has ended: an event from when the rule first held."""

    type: Literal["new", "end"]
    rule: Rule
    event: Event


@dataclass
class RuleState:
    """One rule at one source.

    Parameters
    ----------
    rule : Rule
        What must be seen.
    source : str
        Where.

    Examples
    --------
    >>> state = RuleState(Rule("empty", ("no box",), seconds=10.0), "belt")
    >>> alarms = [a for t in range(20) for a in state.add(Decided(float(t), {"no box": 0.9}), t)]
    >>> [(alarm.type, alarm.event.start, alarm.event.end) for alarm in alarms]
    [('new', 0.0, 10.0)]
    """

    rule: Rule
    source: str
    _event: Event | None = field(default=None, init=False)  # from when it held first
    _sum: float = field(default=0.0, init=False)
    _samples: int = field(default=0, init=False)
    _alarmed: bool = field(default=False, init=False)
    _quiet_until: float = field(default=float("-inf"), init=False)

    def add(self, sample: Decided, moment: float) -> list[Alarm]:
        """One more sample, and its time in seconds since 1970."""
        rule = self.rule
        label, score = max(
            ((name, p) for name, p in sample.labels.items() if name in rule.labels),
            key=lambda pair: pair[1],
            default=("", -1.0),
        )
        if score < rule.at_least or not (rule.between is None or rule.between.holds(moment)):
            event = self._event
            gone = event is not None and sample.time - event.end >= rule.gone
            return self.finish(moment) if gone else []
        self._go_on(label, sample.time, score)
        event = self._event
        assert event is not None
        due = event.end - event.start >= rule.seconds and moment >= self._quiet_until
        if self._alarmed or not due:
            return []
        self._alarmed = True
        return [Alarm("new", rule, event)]

    def finish(self, moment: float) -> list[Alarm]:
        """It does not hold any more, or the source is lost."""
        event, alarmed = self._event, self._alarmed
        self._event, self._alarmed, self._sum, self._samples = None, False, 0.0, 0
        if event is None or not alarmed:
            return []
        self._quiet_until = moment + self.rule.cool_down
        return [Alarm("end", self.rule, event)]

    def _go_on(self, label: str, time: float, score: float) -> None:
        self._sum += score
        self._samples += 1
        peak = Peak(time, score)
        if self._event is None:
            self._event = Event(self.source, label, time, time, score, peak)
            return
        event = self._event
        self._event = replace(
            event,
            end=time,
            score=self._sum / self._samples,
            peak=peak if score > event.peak.score else event.peak,
        )
