"""Events as subtitles: WebVTT and SubRip."""

from __future__ import annotations

import html
from collections.abc import Iterable

from unseen.sources.frame_names import clock
from unseen.video.prediction import Event


def vtt(events: Iterable[Event]) -> str:
    """WebVTT, as `<track>` of a page reads it: a cue an event, its label as the text.

    >>> from unseen.video.prediction import Peak
    >>> print(vtt([Event("a.mp4", "a dog & a cat", 1.0, 2.5, 0.9, Peak(2.0, 0.9))]))
    WEBVTT
    <BLANKLINE>
    00:00:01.000 --> 00:00:02.500
    a dog &amp; a cat
    <BLANKLINE>
    """
    cues = [
        f"{_times(event, '.')}\n{html.escape(_line(event.label), quote=False)}\n"
        for event in events
    ]
    return "\n".join(["WEBVTT\n", *cues])


def srt(events: Iterable[Event]) -> str:
    """SubRip: numbered cues, and a comma before the milliseconds.

    >>> from unseen.video.prediction import Peak
    >>> print(srt([Event("a.mp4", "a dog", 1.0, 2.5, 0.9, Peak(2.0, 0.9))]))
    1
    00:00:01,000 --> 00:00:02,500
    a dog
    <BLANKLINE>
    """
    cues = [
        f"{number}\n{_times(event, ',')}\n{_line(event.label)}\n"
        for number, event in enumerate(events, 1)
    ]
    return "\n".join(cues)


def _times(event: Event, point: str) -> str:
    return f"{clock(event.start, point)} --> {clock(event.end, point)}"


def _line(label: str) -> str:
    """On one line, and no arrow in it: an empty line would end the cue."""
    return " ".join(label.split()).replace("-->", "->") or "-"
