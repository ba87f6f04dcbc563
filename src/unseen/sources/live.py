"""A camera or a stream → the frames that are due, while everything that comes is taken.

A sender drops who does not read, so each packet is read as it comes. Decoding is what costs: where
keyframes come as often as frames are due, no others are decoded.
"""

from __future__ import annotations

import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from unseen.errors import SourceError
from unseen.sources.pyav import (
    BAD_PACKETS,
    CONTAINERS,
    DEFAULT_VIDEO_LIMITS,
    OpenVideo,
    VideoLimits,
    check_size,
    checked,
    library,
    reason,
)

CAMERA = re.compile(r"camera:(?P<device>.+)")
STREAMS = ("rtsp", "rtsps", "http", "https", "tcp", "udp", "rtp", "rtmp", "rtmps", "srt")
# What a stream may be sent by, and in what: never a file of this machine, whatever a playlist says.
PROTOCOLS = "rtsp,rtsps,rtp,srtp,udp,tcp,tls,tls_verify,http,https,httpproxy,crypto,rtmp,rtmps,srt"
FORMATS = f"{CONTAINERS},rtsp,rtp,sdp,mpjpeg,hls,v4l2,video4linux2,avfoundation,dshow"
TIMEOUT = 10.0  # seconds, to open and between two packets
KEYFRAMES = 4  # that come in time, before no others are decoded
EARLY = 0.25  # of the step, by which a keyframe may come before it is due
WAITING_PACKETS = 600  # for the first keyframe; some streams never have one


class Device(NamedTuple):
    """What FFmpeg opens: a name, and how."""

    name: str
    format: str | None
    options: dict[str, str]


def is_live(source: str) -> bool:
    """Whether this is a camera or the address of a stream."""
    return CAMERA.fullmatch(source) is not None or urlsplit(source).scheme in STREAMS


def without_password(address: str) -> str:
    """An address as it may be shown."""
    return re.sub(r"//[^/?#]*@", "//", address)


def device_of(source: str, platform: str = sys.platform) -> Device:
    """What to open for a camera or an address, on a system as `sys.platform` names it.

    >>> device_of("camera:0", "linux")
    Device(name='/dev/video0', format='v4l2', options={})
    """
    match = CAMERA.fullmatch(source)
    if match is None:
        tcp = {"rtsp_transport": "tcp"} if source.startswith("rtsp") else {}
        allowed = {"protocol_whitelist": PROTOCOLS, "format_whitelist": FORMATS}
        return Device(source, None, {**tcp, **allowed, "analyzeduration": "2000000"})
    device = match["device"]
    if platform == "darwin":
        return Device(device, "avfoundation", {"framerate": "30"})
    if platform == "win32":
        return Device(f"video={device}", "dshow", {})
    return Device(f"/dev/video{device}" if device.isdecimal() else device, "v4l2", {})


@contextmanager
def open_live(source: str, limits: VideoLimits = DEFAULT_VIDEO_LIMITS) -> Iterator[OpenVideo]:
    """A camera or a stream, open until the end of the block. Raises SourceError.

    It is given up where nothing comes for `TIMEOUT` seconds.
    """
    av, name, device = library(), without_password(source), device_of(source)
    try:
        container = av.open(
            device.name, format=device.format, options=device.options, timeout=(TIMEOUT, TIMEOUT)
        )
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise SourceError(f"{name}: cannot be opened ({reason(error)}).") from None
    try:
        yield checked(name, container, limits)
    finally:
        container.close()


def due_frames(video: OpenVideo, every: float, received: Callable[[], None]) -> Iterator[Any]:
    """The frames of an open stream that are due, as PyAV has them: at most one a step.

    Parameters
    ----------
    video : OpenVideo
        As `open_live` gives it.
    every : float
        In seconds, of this machine's clock.
    received : callable
        Called for each packet of pictures.

    Raises
    ------
    SourceError
        When the stream breaks off, or cannot be decoded.
    """
    error_type = library().error.FFmpegError
    decoder, due = _Decoder(video, every), float("-inf")
    try:
        for packet in video.container.demux(video.stream):
            if packet.size == 0:
                break
            received()
            now = time.monotonic()
            for frame in decoder.frames(packet, now, due):
                if now >= due - EARLY * every:
                    due = max(due + every, now)
                    yield frame
    except error_type as error:
        raise SourceError(f"{video.name}: it broke off ({reason(error)}).") from None
    raise SourceError(f"{video.name}: it has ended.")


class _Decoder:
    """Packets → frames; of a stream with many keyframes only those that are due."""

    def __init__(self, video: OpenVideo, every: float) -> None:
        self._video, self._every = video, every
        self._codec = video.stream.codec_context
        self._error = library().error.FFmpegError
        self._distances: deque[float] = deque(maxlen=KEYFRAMES)
        self._keyframe: float | None = None  # when the last one came
        self._damaged = self._waiting = 0
        self._begun = False
        self._only_keyframes = False

    def frames(self, packet: Any, now: float, due: float) -> list[Any]:
        """The frames that a packet completes, or none where it is not needed."""
        is_key = bool(packet.is_keyframe)
        if is_key:
            if self._keyframe is not None:
                self._distances.append(now - self._keyframe)
            self._keyframe = now
        self._choose(now)
        if self._only_keyframes:
            is_due = is_key and now >= due - EARLY * self._every
            return [*self._decode(packet), *self._flush()] if is_due else []
        if not self._begun:
            self._waiting += 1
            self._begun = is_key or self._waiting > WAITING_PACKETS
        return self._decode(packet) if self._begun else []

    def _choose(self, now: float) -> None:
        """Only keyframes, while they come in time; then all, from the next keyframe on."""
        if self._only_keyframes:
            late = self._keyframe is not None and now - self._keyframe > 2 * self._every
            if late:
                self._only_keyframes = self._begun = False
                self._waiting = 0
                self._distances.clear()
        elif len(self._distances) == KEYFRAMES and max(self._distances) <= self._every:
            self._only_keyframes = True
            self._flush()

    def _flush(self) -> list[Any]:
        frames = self._decode(None)
        self._codec.flush_buffers()
        return frames

    def _decode(self, packet: Any) -> list[Any]:
        try:
            frames = list(self._codec.decode(packet))
        except EOFError:  # nothing more to flush
            return []
        except (self._error, MemoryError, ValueError) as error:
            self._damaged += 1
            if self._damaged > BAD_PACKETS:
                name = self._video.name
                raise SourceError(f"{name}: nothing can be decoded ({reason(error)}).") from None
            return []
        if frames:
            self._damaged = 0
        for frame in frames:
            check_size(self._video.name, frame.width, frame.height, self._video.limits)
        return frames
