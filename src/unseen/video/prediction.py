"""What happens in a video: events, a label for the whole, and frames; plain data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from unseen.prediction.prediction import Prediction, Predictions
from unseen.sources.frame_names import clock

ID_LENGTH = 16  # hexadecimal digits
DRAWN_COLUMNS = ("start", "end", "label", "score")


@dataclass(frozen=True)
class Peak:
    """Where an event is surest.

    Parameters
    ----------
    time : float
        In seconds.
    score : float
        The probability of its label there, 0…1.
    """

    time: float
    score: float


@dataclass(frozen=True)
class Event:
    """A label from one time to another.

    Parameters
    ----------
    source : str
        The video.
    label : str
        What happens.
    start, end : float
        In seconds since the first frame.
    score : float
        How sure it is, 0…1: the mean of the probability of its label, given all other samples.
    peak : Peak
        Where it is surest.

    Examples
    --------
    >>> event = Event("clip.mp4", "a dog", 3.0, 9.5, 0.98, Peak(4.0, 0.99))
    >>> event
    Event('a dog', 00:00:03.000 to 00:00:09.500, score=0.98)
    >>> event.to_dict()["id"]
    '898f03d10f5c47ce'
    """

    source: str
    label: str
    start: float
    end: float
    score: float
    peak: Peak

    @property
    def id(self) -> str:
        """The same in each run: of the source, the start and the label."""
        text = f"{self.source}\0{round(1000 * self.start)}\0{self.label}"
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:ID_LENGTH]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON.

        Returns
        -------
        dict
            ``type`` (event), ``id``, ``source``, ``label``, ``start``, ``end``, ``score``, and
            ``peak`` with ``time`` and ``score``.
        """
        return {
            "type": "event",
            "id": self.id,
            "source": self.source,
            "label": self.label,
            "start": rounded(self.start),
            "end": rounded(self.end),
            "score": self.score,
            "peak": {"time": rounded(self.peak.time), "score": self.peak.score},
        }

    def __repr__(self) -> str:
        times = f"{clock(self.start)} to {clock(self.end)}"
        return f"Event({self.label!r}, {times}, score={self.score:.3g})"


@dataclass(frozen=True)
class VideoPrediction:
    """What happens in a video, or why it could not be read.

    A video that breaks off has an `error`, and the events and frames up to there.

    Parameters
    ----------
    source : str
        The video.
    clip : Prediction, optional
        The labels of the whole: of the mean of the embeddings of its samples. None where no frame
        could be read.
    events : tuple of Event
        What happens when, by start.
    frames : Predictions
        Each sample, with its ``time`` in the metadata.
    seconds : float, optional
        How long the video is.
    rate : float, optional
        Its frames a second, on average, as the file says.
    samples : int
        Frames that were looked at.
    embedded : int
        Those of them that the network had; the others show the same as the one before.
    error : str, optional
        Why it, or the rest of it, could not be read.

    Examples
    --------
    >>> VideoPrediction("clip.mp4", error="clip.mp4: there is no such file.").ok
    False
    """

    source: str
    clip: Prediction | None = None
    events: tuple[Event, ...] = ()
    frames: Predictions = field(default_factory=Predictions)
    seconds: float | None = None
    rate: float | None = None
    samples: int = 0
    embedded: int = 0
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether all of it could be read."""
        return self.error is None

    @property
    def label(self) -> str | None:
        """The label of the whole; None when that is *none of these*, or nothing could be read."""
        return None if self.clip is None else self.clip.label

    def clip_row(self) -> dict[str, Any]:
        """Plain data for JSON of the whole video.

        Returns
        -------
        dict
            ``type`` (clip), ``source``, ``label``, ``score``, ``unknown``, ``ranking`` and
            ``left_out`` as of a `Prediction`, ``seconds``, ``samples``, ``embedded``, and
            ``error`` where there is one.
        """
        facts: dict[str, Any] = {} if self.clip is None else self.clip.to_dict()
        row = {"type": "clip", **facts, "source": self.source}
        row |= {"seconds": None if self.seconds is None else rounded(self.seconds)}
        row |= {"samples": self.samples, "embedded": self.embedded}
        return row if self.error is None else row | {"error": self.error}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Plain data for JSON: the events, and the whole video last.

        Yields
        ------
        dict
            One row of ``unseen video -o out.jsonl``.
        """
        for event in self.events:
            yield event.to_dict()
        yield self.clip_row()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, as one object.

        Returns
        -------
        dict
            The row of the whole video, with ``events`` and ``frames``.
        """
        return {
            **self.clip_row(),
            "events": [event.to_dict() for event in self.events],
            "frames": [frame_row(self.source, frame) for frame in self.frames],
        }

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        if self.error is not None:
            return f"VideoPrediction({self.source!r}, error={self.error!r})"
        return f"VideoPrediction({self.source!r}, label={self.label!r}, events={len(self.events)})"

    def _repr_html_(self) -> str:
        from unseen.pages import notebook  # noqa: PLC0415 - only a notebook needs what draws

        rows = (
            (clock(event.start), clock(event.end), event.label, notebook.bar(event.score))
            for event in self.events
        )
        head = notebook.lines([f"{self.source}: {self.label or 'unknown'}", self.error or ""])
        return f"<p>{head}</p>" + notebook.table(DRAWN_COLUMNS, rows, total=len(self.events))


def frame_row(source: str, frame: Prediction) -> dict[str, Any]:
    """Plain data for JSON of a frame: ``type`` (frame), ``time``, and what a prediction has.

    Parameters
    ----------
    source : str
        The video.
    frame : Prediction
        The frame, with its time in the metadata.
    """
    row = frame.to_dict()
    meta = row.pop("meta", {})
    return {"type": "frame", "time": meta.get("time"), **row, "source": source}


def rounded(seconds: float) -> float:
    """A time to the microsecond, which no file is finer than."""
    return round(seconds, 6)
