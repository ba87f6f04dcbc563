"""A part of a video as a file of its own, cut without encoding anything again."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from unseen.errors import SourceError
from unseen.sources.frame_names import clock
from unseen.sources.pyav import DEFAULT_VIDEO_LIMITS, VideoLimits, library, open_video, reason
from unseen.system.cache import replacing
from unseen.video.prediction import Event

# The suffix of a clip → its container; what is cut from another goes into Matroska.
CONTAINERS = {
    ".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".3gp": "3gp", ".mkv": "matroska",
    ".webm": "webm", ".avi": "avi", ".mts": "mpegts", ".m2ts": "mpegts",
}  # fmt: skip
ANY = ".mkv"
UNSAFE = re.compile(r"[^\w-]+")
NAME_LENGTH = 60


@dataclass(frozen=True)
class Clip:
    """A part that was cut.

    Parameters
    ----------
    path : Path
        The file.
    start : float
        Where it begins in the video, in seconds: at a keyframe, so that it may be earlier than was
        asked for.
    """

    path: Path
    start: float


def clip_path(folder: Path, event: Event, *, marked: bool = False) -> Path:
    """Where the clip of an event goes: `folder/clip-00.00.03.000-a-dog.mp4`; `marked` by its id, as
    another video has the same name."""
    source = Path(event.source)
    time = clock(event.start).replace(":", ".")
    label = UNSAFE.sub("-", event.label).strip("-")[:NAME_LENGTH]
    suffix = source.suffix.lower() if source.suffix.lower() in CONTAINERS else ANY
    mark = f"-{event.id}" if marked else ""
    return folder / f"{source.stem}-{time}-{label}{mark}{suffix}"


def cut(
    path: str | Path,
    start: float,
    end: float,
    output: Path,
    *,
    limits: VideoLimits = DEFAULT_VIDEO_LIMITS,
) -> Clip:
    """Copy the pictures and the sound from `start` to `end` into a file of their own.

    Parameters
    ----------
    path : str or Path
        The video.
    start, end : float
        In seconds since its first frame. The clip begins with the keyframe at `start`, or the last
        before it.
    output : Path
        The file, written whole or not at all.
    limits : VideoLimits
        What the video may cost.

    Returns
    -------
    Clip

    Raises
    ------
    SourceError
        If the video cannot be read, or its pictures cannot be put into such a file.
    """
    av = library()
    if not output.parent.is_dir():
        raise SourceError(f"{output.parent}: there is no such folder.")
    kind = CONTAINERS.get(output.suffix.lower(), CONTAINERS[ANY])
    try:
        with open_video(path, limits) as video, replacing(output) as temporary:
            first = video.start + math.floor(max(0.0, start) / video.time_base)
            video.container.seek(first, stream=video.stream)
            streams = [video.stream, *video.container.streams.audio]
            with av.open(str(temporary), "w", format=kind) as clip:
                copies = {s.index: clip.add_stream_from_template(s) for s in streams}
                stop = (video.start * video.time_base) + Fraction(end)
                packets = _packets(video.container.demux(streams), video.stream, stop)
                began = _copy(packets, clip, copies)
            origin = video.start * video.time_base  # read while it is open
    except (av.error.FFmpegError, ValueError) as error:  # the second: of a codec that does not fit
        raise SourceError(f"{output}: this clip cannot be cut ({reason(error)}).") from None
    except OSError as error:
        raise SourceError(f"{output}: it cannot be written: {error.strerror or error}.") from None
    if began is None:
        raise SourceError(f"{path}: it has no pictures at {clock(start)}.")
    return Clip(output, max(0.0, float(began - origin)))


def _packets(packets: Iterable[Any], pictures: Any, stop: Fraction) -> Iterator[Any]:
    """The packets up to a time, from the first keyframe on."""
    begun = False
    for packet in packets:
        if packet.dts is None:
            continue  # the end
        if packet.stream.index == pictures.index:
            begun = begun or packet.is_keyframe
            if packet.dts * packet.time_base >= stop:
                return
        if begun:
            yield packet


def _copy(packets: Iterable[Any], clip: Any, copies: Any) -> Fraction | None:
    """Write packets whose times begin at 0 → the time of the first picture, None where none is."""
    origin: Fraction | None = None
    began: Fraction | None = None
    for packet in packets:
        base = packet.time_base
        if origin is None:
            origin = packet.dts * base
            stamp = packet.dts if packet.pts is None else packet.pts
            began = stamp * base
        shift = round(origin / base)
        if packet.dts < shift:
            continue  # sound from before the first picture
        packet.dts -= shift
        packet.pts = None if packet.pts is None else packet.pts - shift
        packet.stream = copies[packet.stream.index]
        clip.mux(packet)
    return began
