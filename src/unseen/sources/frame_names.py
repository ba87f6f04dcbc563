"""What a frame of a video is called: `clip.mp4 at 00:03:12`. Such a name can be opened again."""

from __future__ import annotations

import os
import re
from pathlib import PurePath

from unseen.sources.formats import VIDEO, of_name

NAME = re.compile(
    r"(?P<video>.+) at (?P<hours>\d{2,4}):(?P<minutes>[0-5]\d):(?P<seconds>[0-5]\d(?:\.\d{3})?)",
    re.DOTALL,
)
NAME_LENGTH = 8192  # characters: a longer text is base64
CLOSE = 0.0006  # seconds: a name has milliseconds


def clock(seconds: float, point: str = ".") -> str:
    """A time as HH:MM:SS.mmm; `point` stands before the milliseconds.

    >>> clock(192.48)
    '00:03:12.480'
    """
    milliseconds = round(1000 * seconds)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}{point}{rest % 1000:03}"


def frame_name(video: str, seconds: float) -> str:
    """The name of a frame; milliseconds are left out where they are 0.

    >>> frame_name("clip.mp4", 192.0)
    'clip.mp4 at 00:03:12'
    """
    return f"{video} at {clock(seconds).removesuffix('.000')}"


def frame_of(name: str | os.PathLike[str]) -> tuple[str, float] | None:
    """The video and the time in the name of a frame; None for any other name.

    >>> frame_of("clip.mp4 at 00:03:12")
    ('clip.mp4', 192.0)
    """
    text = os.fspath(name)
    if not isinstance(text, str) or len(text) > NAME_LENGTH:
        return None
    match = NAME.fullmatch(text)
    if match is None or not is_video(match["video"]):
        return None
    minutes = 60 * int(match["hours"]) + int(match["minutes"])
    return match["video"], 60 * minutes + float(match["seconds"])


def is_video(name: str | PurePath) -> bool:
    """Whether a file is a video, by its suffix."""
    row = of_name(name)
    return row is not None and row.kind == VIDEO
