"""What is told: events and alarms as they begin, go on and end, and how a source is; plain data."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from unseen.video.prediction import ID_LENGTH, Event

if TYPE_CHECKING:
    from unseen.monitoring.feed import Counts, State
    from unseen.video.events import EventChange

HEALTH = "health"


def event_message(change: EventChange, offset: float) -> dict[str, Any]:
    """An event that is new, goes on or has ended.

    Parameters
    ----------
    change : EventChange
        Of a stream.
    offset : float
        In seconds: with it the times of the event are since 1970.
    """
    return _message(change.type, change.event, offset, None)


def alarm_message(kind: str, event: Event, offset: float, rule: str) -> dict[str, Any]:
    """The same of a rule: its alarm is an event with a name."""
    return _message(kind, event, offset, rule)


def _message(kind: str, event: Event, offset: float, rule: str | None) -> dict[str, Any]:
    facts = event.to_dict()
    identity = facts["id"] if rule is None else hashed(facts["id"], rule)
    return {
        "type": kind,
        "id": identity,
        "source": event.source,
        "label": event.label,
        "start": facts["start"],
        "end": facts["end"],
        "start_time": rfc3339(event.start + offset),
        "score": round(event.score, 6),
        "peak": facts["peak"],
        "rule": rule,
    }


def health_message(state: State, time: float, counts: Counts) -> dict[str, Any]:
    """How a source is, and what was looked at so far.

    Parameters
    ----------
    state : State
        Of the source.
    time : float
        In seconds since 1970.
    counts : Counts
        Of the source.
    """
    return {
        "type": HEALTH,
        "id": hashed(state.source, state.state, str(round(1000 * time))),
        "source": state.source,
        "state": state.state,
        "time": rfc3339(time),
        "detail": state.detail,
        "frames": counts.frames,
        "due": counts.due,
        "samples": counts.samples,
    }


def rfc3339(time: float) -> str:
    """Seconds since 1970 as a date and time of UTC, to the millisecond.

    >>> rfc3339(0.5)
    '1970-01-01T00:00:00.500Z'
    """
    moment = datetime.fromtimestamp(round(time, 3), tz=timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def hashed(*parts: str) -> str:
    """An id, the same in each run."""
    text = "\0".join(parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:ID_LENGTH]


def idempotency_key(message: dict[str, Any]) -> str:
    """By which a receiver knows that it has a message already."""
    key = f"{message['id']}-{message['type']}"
    return f"{key}-{round(1000 * message['end'])}" if message["type"] == "update" else key
