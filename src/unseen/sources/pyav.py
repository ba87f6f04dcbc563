"""PyAV's one door: videos opened with care, and their frames made upright RGB.

A video is taken to be hostile. A playlist that calls itself `clip.mp4` would be fetched by FFmpeg,
so only containers are opened, and only from the file itself; sizes are checked before anything is
decoded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.errors import MissingExtraError, SourceError
from unseen.sources.frame_change import GREY_SIDE
from unseen.sources.local import no_such_file
from unseen.system.cpu import usable
from unseen.system.regular_file import open_regular

if TYPE_CHECKING:
    from unseen.types import Images

# Containers; no playlists (hls, concat, dash), no devices, no text that is drawn.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,live_flv,mpegts,mpeg,mpegvideo,m4v,ogg,asf,"
    "h264,hevc,gif,mjpeg"
)
OPEN_SECONDS = 30.0
THREADS = 4  # of a decoder: more hold more frames, and are seldom faster
ASPECTS = (0.125, 8.0)  # of a pixel; another is a mistake of the file

BAD_PACKETS = 200  # in a row, before a file is given up


@dataclass(frozen=True)
class VideoLimits:
    """What one video may cost; videos are taken to be hostile.

    Parameters
    ----------
    max_pixels : int
        Of a frame.
    max_seconds : float
        How long it may be.
    max_packets : int
        Of the stream of pictures: an hour at 60 frames a second has 216,000.
    max_streams : int
        Pictures, sound, subtitles and others together.

    Examples
    --------
    >>> VideoLimits(max_seconds=3600).max_pixels
    40000000
    """

    max_pixels: int = 40_000_000
    max_seconds: float = 24 * 3600.0
    max_packets: int = 10_000_000
    max_streams: int = 64


DEFAULT_VIDEO_LIMITS = VideoLimits()


@cache
def library() -> Any:
    """PyAV, silent. Raises MissingExtraError."""
    try:
        import av  # noqa: PLC0415 - an extra, and 50 ms
    except ImportError:
        raise MissingExtraError("reading a video", library="av", extra="video") from None
    av.logging.set_level(av.logging.PANIC)
    return av


@dataclass(frozen=True)
class OpenVideo:
    """A container that is open, and its stream of pictures.

    `name`: for messages. `seconds`: how long it says it is, None where it does not.
    """

    name: str
    container: Any
    stream: Any
    limits: VideoLimits
    seconds: float | None

    @property
    def rate(self) -> float:
        """Frames a second, on average; 25 where the file does not say."""
        rate = self.stream.average_rate or self.stream.base_rate
        return float(rate) if rate and 0 < float(rate) <= 1000 else 25.0

    @property
    def aspect(self) -> float:
        """How much wider than high a pixel is; 1 where the file does not say, or is mistaken."""
        aspect = self.stream.codec_context.sample_aspect_ratio or self.stream.sample_aspect_ratio
        low, high = ASPECTS
        return float(aspect) if aspect and low <= float(aspect) <= high else 1.0

    @property
    def time_base(self) -> Fraction:
        """The unit of its times, in seconds."""
        return Fraction(self.stream.time_base or Fraction(1, 1000))

    @property
    def start(self) -> int:
        """The time of its first picture, in its own unit."""
        return int(self.stream.start_time or 0)


@contextmanager
def open_video(path: str | Path, limits: VideoLimits = DEFAULT_VIDEO_LIMITS) -> Iterator[OpenVideo]:
    """A video file, open until the end of the block. Raises SourceError, MissingExtraError."""
    av, name = library(), str(path)
    _check_file(path)
    options = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS}
    address = f"file:{Path(path).absolute()}"
    try:
        container = av.open(address, options=options, timeout=(OPEN_SECONDS, OPEN_SECONDS))
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise SourceError(f"{name}: this is no video that can be read ({reason(error)}).") from None
    try:
        yield checked(name, container, limits)
    finally:
        container.close()


def _check_file(path: str | Path) -> None:
    try:
        with open_regular(path) as file:
            if file.seek(0, os.SEEK_END) == 0:
                raise SourceError(f"{path}: the file is empty.")
    except FileNotFoundError:
        raise no_such_file(str(path)) from None
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}.") from None


def checked(name: str, container: Any, limits: VideoLimits) -> OpenVideo:
    """Its stream of pictures, whose size and length are within the limits."""
    if len(container.streams) > limits.max_streams:
        raise SourceError(f"{name}: it has more than {limits.max_streams} streams.")
    pictures = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not pictures:
        raise SourceError(f"{name}: there are no moving pictures in it.")
    stream = pictures[0]
    codec = stream.codec_context
    if codec is None:
        raise SourceError(f"{name}: its pictures are of a kind that cannot be decoded here.")
    check_size(name, codec.width, codec.height, limits)
    seconds = _seconds(container, stream)
    if seconds is not None and seconds > limits.max_seconds:
        raise SourceError(
            f"{name}: it says that it is {seconds / 3600:.1f} hours long; the limit is "
            f"{limits.max_seconds / 3600:g}. Cut it, or raise max_seconds."
        )
    codec.thread_count = min(usable(), THREADS)
    codec.thread_type = "SLICE"  # threads of whole frames keep back as many as there are
    # FFmpeg counts the margins that its decoders need: up to 128 pixels a side.
    codec.options = {"max_pixels": str(2 * limits.max_pixels + 65_536)}
    return OpenVideo(name, container, stream, limits, seconds)


def _is_cover(stream: Any) -> bool:
    """A still picture of the whole, as music has it."""
    return bool(int(getattr(stream, "disposition", 0) or 0) & 0x400)  # AV_DISPOSITION_ATTACHED_PIC


def _seconds(container: Any, stream: Any) -> float | None:
    if stream.duration and stream.time_base:
        return max(0.0, float(stream.duration * stream.time_base))
    return None if not container.duration else max(0.0, container.duration / 1_000_000)


def check_size(name: str, width: int, height: int, limits: VideoLimits) -> None:
    """SourceError for a frame of too many pixels; 0 is not known yet."""
    if width * height > limits.max_pixels:
        raise SourceError(
            f"{name}: {width} × {height} is more than {limits.max_pixels:,} pixels; raise "
            "max_pixels to allow it."
        )


def reason(error: Exception) -> str:
    """What FFmpeg says, in lower case and without numbers and paths."""
    return str(getattr(error, "strerror", None) or error).split(":")[0].strip().lower() or "broken"


# a decoded frame


def grey(frame: Any) -> Images:
    """(16, 16) means of a frame: what is compared to see whether anything changed."""
    small = frame.reformat(GREY_SIDE, GREY_SIDE, "gray", interpolation="AREA")
    return np.asarray(small.to_ndarray(), dtype=np.uint8)


def upright(frame: Any, aspect: float, side: int) -> Images:
    """A frame as it is to be seen, (height, width, 3): square pixels, turned, its shorter side at
    most `side`. `frame.rotation` counts degrees counter-clockwise."""
    width, height = frame.width * max(1.0, aspect), frame.height / min(1.0, aspect)
    scale = min(1.0, side / min(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = "AREA" if scale < 1 else "BICUBIC"
    rgb = frame.reformat(*size, "rgb24", interpolation=method).to_ndarray()
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(rgb, turns), dtype=np.uint8)
