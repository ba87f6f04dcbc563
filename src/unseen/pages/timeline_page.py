"""Videos as a page: a strip of pictures, a lane a label, and events; a click goes to its time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unseen.pages.html import checked, data_uri, finite, write_page

POINTS = 800  # of a lane, at most: more than a page is wide
PLACES = 3  # decimals of times and scores


@dataclass(frozen=True)
class Lane:
    """A label: its score at each of the times of the video, and its events (start, end, score)."""

    label: str
    scores: Sequence[float]
    events: Sequence[tuple[float, float, float]] = ()


@dataclass(frozen=True)
class VideoTimeline:
    """One video of a page. `href` is what `pages.link` gives; `strip` pictures with their times;
    `times` those of the scores of all lanes."""

    name: str
    seconds: float
    lanes: Sequence[Lane]
    times: Sequence[float] = ()
    strip: Sequence[tuple[float, bytes]] = ()
    href: str | None = None
    label: str = ""
    note: str = ""
    moves: bool = field(default=True)  # whether `href` can be played; else it is a picture


def timeline(path: Path, title: str, videos: Iterable[VideoTimeline], *, note: str = "") -> None:
    """Writes a page of `videos` to `path`, whole or not at all.

    ValueError for a thumbnail that is no picture and for a link that is none.
    """
    write_page(path, "timeline", title, _data(title, videos, note), media=True)


def _data(title: str, videos: Iterable[VideoTimeline], note: str) -> Iterator[tuple[str, Any]]:
    count = 0
    for video in videos:
        yield f"video-{count}", _video(video)
        count += 1
    yield "data", {"title": title, "note": note, "videos": count}


def _video(video: VideoTimeline) -> dict[str, Any]:
    chosen = _evenly(len(video.times), POINTS)
    return {
        "name": video.name,
        "href": checked(video.href),
        "moves": video.moves,
        "seconds": finite(video.seconds) or 0.0,
        "label": video.label,
        "note": video.note,
        "times": [round(video.times[i], PLACES) for i in chosen],
        "strip": [[round(time, PLACES), data_uri(picture)] for time, picture in video.strip],
        "lanes": [
            {
                "label": lane.label,
                "scores": [round(lane.scores[i], PLACES) for i in chosen if i < len(lane.scores)],
                "events": [[round(number, PLACES) for number in event] for event in lane.events],
            }
            for lane in video.lanes
        ],
    }


def _evenly(count: int, most: int) -> list[int]:
    """The numbers below `count`, or `most` of them, evenly chosen."""
    if count <= most:
        return list(range(count))
    return [round(i * (count - 1) / (most - 1)) for i in range(most)]
