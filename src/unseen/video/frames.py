"""A file that moves → its frames: a video by PyAV; an animated GIF, WebP or PNG by Pillow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from unseen.errors import SourceError
from unseen.images.animation import AnimationFrames
from unseen.sources.packets import EVERY_SECOND, Sampling
from unseen.sources.pyav import DEFAULT_VIDEO_LIMITS, VideoLimits
from unseen.sources.video import SIDE, Frame, VideoFrames

ANIMATIONS = (".gif", ".webp", ".png", ".apng", ".avif")


class Frames(Protocol):
    """The chosen frames of a file, in order; `seconds` is how long it is, as far as is known."""

    seconds: float | None

    def __iter__(self) -> Iterator[Frame]: ...


def frames_of(
    path: str | Path,
    sampling: Sampling = EVERY_SECOND,
    *,
    side: int = SIDE,
    limits: VideoLimits = DEFAULT_VIDEO_LIMITS,
) -> Frames:
    """The frames of a video or an animation; nothing is opened before they are read.

    Parameters
    ----------
    path : str or Path
        The file.
    sampling : Sampling
        Which frames.
    side : int
        The most pixels of the shorter side.
    limits : VideoLimits
        What the file may cost.

    Returns
    -------
    Frames
        Iterating raises SourceError where the file cannot be read, or no further.
    """
    kind = AnimationFrames if Path(path).suffix.lower() in ANIMATIONS else VideoFrames
    return kind(path, sampling, side=side, limits=limits)


def readable(frames: Frames, errors: list[SourceError]) -> Iterator[Frame]:
    """The frames up to where the file breaks; why it does goes to `errors`."""
    try:
        yield from frames
    except SourceError as error:
        errors.append(error)
