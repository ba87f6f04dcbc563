"""A video → some of its frames, each with its exact time; and as a source, named pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unseen.errors import SourceError
from unseen.sources.frame_change import ChangeGate
from unseen.sources.frame_names import CLOSE, clock, frame_name
from unseen.sources.item import Source, Unreadable, name_of
from unseen.sources.packets import EVERY_SECOND, MILLIONTH, Decoder, Sampling, chosen
from unseen.sources.pyav import (
    DEFAULT_VIDEO_LIMITS,
    VideoLimits,
    grey,
    library,
    open_video,
    upright,
)
from unseen.system.read_ahead import read_ahead

if TYPE_CHECKING:
    from unseen.types import Images, Metadata

SIDE = 640  # pixels, of the shorter side: what nets want, and more than a thumbnail
AHEAD = 8  # frames that are decoded before they are needed


@dataclass(frozen=True)
class Frame:
    """One frame that was chosen.

    Parameters
    ----------
    time : float
        Seconds since the first frame: the time that the file gives it.
    pixels : ndarray of shape (height, width, 3), uint8, or None
        Upright RGB. None: nothing has changed since the last frame that has pixels.
    """

    time: float
    pixels: Images | None


def held_frames(
    frames: Iterable[Frame], sampling: Sampling, end: Callable[[], float | None]
) -> Iterator[Frame]:
    """The frames, and where one is shown for several steps a sample for each, without pixels.

    `end`: when the last one is gone, once the frames are read.
    """
    step = 0.0 if sampling.keyframes else sampling.every
    last = math.inf
    for frame in frames:
        yield from _held(last, frame.time - step, step)
        yield frame
        last = frame.time
    yield from _held(last, (end() or 0.0) - step, step)


def _held(start: float, until: float, step: float) -> Iterator[Frame]:
    count = math.floor((until - start) / step + MILLIONTH) if step and start < until else 0
    for number in range(1, count + 1):
        yield Frame(start + number * step, None)


class VideoFrames:
    """The chosen frames of a video file, in order; each iteration reads the file anew.

    Parameters
    ----------
    path : str or Path
        The file.
    sampling : Sampling
        Which frames.
    side : int
        The most pixels of the shorter side.
    limits : VideoLimits
        What the video may cost.

    Attributes
    ----------
    seconds : float or None
        How long it is: what the file says once it is open, and in the end what was read.
    rate : float or None
        Frames a second, on average, as the file says.

    Examples
    --------
    >>> for frame in VideoFrames("clip.mp4", Sampling(every=5)):        # doctest: +SKIP
    ...     print(frame.time, frame.pixels is None)
    """

    def __init__(
        self,
        path: str | Path,
        sampling: Sampling = EVERY_SECOND,
        *,
        side: int = SIDE,
        limits: VideoLimits = DEFAULT_VIDEO_LIMITS,
    ) -> None:
        self.path, self.sampling, self.side, self.limits = path, sampling, side, limits
        self.seconds: float | None = None
        self.rate: float | None = None

    def __iter__(self) -> Iterator[Frame]:
        """Yields frames while they can be read; raises SourceError then for a broken file."""
        held = held_frames(self._frames(), self.sampling, lambda: self.seconds)
        return read_ahead(held, AHEAD)

    def _frames(self) -> Iterator[Frame]:
        with open_video(self.path, self.limits) as video:
            self.seconds, self.rate = video.seconds, video.rate
            gate, decoder = ChangeGate(), Decoder(video)
            try:
                for time, frame in chosen(video, decoder, self.sampling):
                    changed = gate.passes(grey(frame))
                    pixels = upright(frame, video.aspect, self.side) if changed else None
                    yield Frame(time, pixels)
            finally:
                self.seconds = decoder.end or video.seconds
            decoder.check()


def read_video(path: str | Path) -> Iterator[Source]:
    """The frames of a video that show something new, about one a second.

    Parameters
    ----------
    path : str or Path
        The file.

    Yields
    ------
    Source
        `clip.mp4 at 00:03:12`, a name that can be opened again; its metadata are the `video`, the
        `time` in seconds, and until when (`until`) nothing else was to be seen. What breaks off has
        an error as its last item.
    """
    name = name_of(path, 0)
    frames = VideoFrames(path)
    shown: Frame | None = None
    error: SourceError | None = None
    try:
        for frame in frames:
            if frame.pixels is not None:
                if shown is not None:
                    yield _source(name, shown, frame.time)
                shown = frame
    except SourceError as broken:
        error = broken
    if shown is not None:
        yield _source(name, shown, max(frames.seconds or 0.0, shown.time))
    if error is not None:
        yield Source(name, Unreadable(error), {"video": name})


def _source(name: str, frame: Frame, until: float) -> Source:
    meta: Metadata = {"video": name, "time": round(frame.time, 6), "until": round(until, 6)}
    return Source(frame_name(name, frame.time), frame.pixels, meta)


def frame_at(
    path: str | Path,
    seconds: float,
    *,
    side: int = SIDE,
    limits: VideoLimits = DEFAULT_VIDEO_LIMITS,
) -> Images:
    """The frame that is shown first from a time on, (height, width, 3) upright RGB.

    Raises SourceError, MissingExtraError.
    """
    with open_video(path, limits) as video:
        decoder = Decoder(video)
        offset = video.start + math.floor(max(0.0, seconds - CLOSE) / video.time_base)
        with suppress(library().error.FFmpegError):  # else it is read from the start
            video.container.seek(offset, stream=video.stream)
        for time, frame in decoder.decode(decoder.packets(), flush=True):
            if time >= seconds - CLOSE:
                return upright(frame, video.aspect, side)
    end = clock(decoder.end)
    raise SourceError(f"{path}: it has no frame at {clock(seconds)}; it ends at {end}.")
