"""Which packets of a video are decoded, and the frames in them with their exact times.

It is planned a group of pictures (from one keyframe to the next) at a time: where a keyframe is
near enough to the time that is due, it alone is decoded, and what lies behind the last frame that
is needed is not decoded at all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from unseen.errors import SourceError
from unseen.sources.frame_names import clock
from unseen.sources.pyav import BAD_PACKETS, OpenVideo, check_size, library, reason

# How much earlier or later than it is due a keyframe may be taken, as parts of the step.
EARLY, LATE = 0.25, 0.5
# A group of pictures without an end is decoded in parts.
PART_PACKETS, PART_BYTES = 600, 64 * 1024 * 1024
FEW_A_STEP = 8  # frames a step, from which those that no other needs are not decoded
CUT_SHORT = (2.0, 0.05)  # seconds, and part of the whole, that may be missing at the end
MILLIONTH = 1e-6
TAG = re.compile(r"(\d{1,4}):(\d\d):(\d\d(?:\.\d+)?)")


@dataclass(frozen=True)
class Sampling:
    """Which frames of a video are looked at.

    Parameters
    ----------
    every : float
        Seconds from one to the next, about: a keyframe that is near is taken in the place of a
        frame that is dear. 0: every frame.
    keyframes : bool
        The keyframes and no others; `every` does not count then.

    Raises
    ------
    SourceError
        If `every` is negative or no number.

    Examples
    --------
    >>> Sampling(every=0.5)
    Sampling(every=0.5, keyframes=False)
    """

    every: float = 1.0
    keyframes: bool = False

    def __post_init__(self) -> None:
        if not (0 <= self.every < math.inf):
            raise SourceError(f"every is {self.every}; it must be 0 (all frames) or more seconds.")


EVERY_SECOND = Sampling()


def chosen(video: OpenVideo, decoder: Decoder, sampling: Sampling) -> Iterator[tuple[float, Any]]:
    """The frames that are wanted, as PyAV has them, with their times."""
    if sampling.keyframes:
        return _keyframes(decoder)
    return _every(video, decoder, sampling.every) if sampling.every else _all(decoder)


@dataclass
class _Part:
    """Packets in the order of decoding. `begins`: with a keyframe. `ends`: another keyframe, or the
    end of the file, follows; `until`: its time, None for the end."""

    packets: list[tuple[float, Any]]
    begins: bool
    ends: bool
    until: float | None = None


class Decoder:
    """The packets of a video, and their frames; what is broken is counted, and passed over."""

    def __init__(self, video: OpenVideo) -> None:
        self.end = 0.0  # of the last packet so far, in seconds
        self._video = video
        self._codec = video.stream.codec_context
        self._packets = self._damaged = self._damaged_in_a_row = 0
        self._time = -1.0 / video.rate
        self._error = library().error.FFmpegError

    def parts(self) -> Iterator[_Part]:
        """All packets, from keyframe to keyframe; a group of pictures that is too long in parts."""
        packets: list[tuple[float, Any]] = []
        begins, size = True, 0
        for time, packet in self.packets():
            if packets and packet.is_keyframe:
                yield _Part(packets, begins, True, time)
                packets, begins, size = [], True, 0
            elif len(packets) >= PART_PACKETS or size > PART_BYTES:
                yield _Part(packets, begins, False)
                packets, begins, size = [], False, 0
            packets.append((time, packet))
            size += packet.size
        if packets:
            yield _Part(packets, begins, True)

    def packets(self) -> Iterator[tuple[float, Any]]:
        """Each packet with its time. Raises SourceError where the file breaks."""
        video, limits = self._video, self._video.limits
        try:
            for packet in video.container.demux(video.stream):
                if packet.size == 0:
                    continue  # the end
                if self._packets >= limits.max_packets:
                    raise SourceError(f"{video.name}: more than {limits.max_packets:,} packets.")
                time = self._time_of(packet)
                duration = float((packet.duration or 0) * video.time_base)
                self.end = max(self.end, time + (duration or 1 / video.rate))
                if self.end > limits.max_seconds:
                    raise SourceError(
                        f"{video.name}: it goes on after {limits.max_seconds / 3600:g} hours; "
                        "raise max_seconds to allow it."
                    )
                self._packets += 1
                yield time, packet
        except self._error as error:
            raise SourceError(
                f"{video.name}: it breaks off at {clock(self.end)} ({reason(error)})."
            ) from None

    def _time_of(self, packet: Any) -> float:
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is None:
            return self._packets / self._video.rate
        return float((stamp - self._video.start) * self._video.time_base)

    def decode(self, packets: Iterable[tuple[float, Any]], *, flush: bool) -> Iterator[Any]:
        """(time, frame) of packets; with `flush` all of them, and the decoder begins anew."""
        for _, packet in packets:
            yield from self._frames(packet)
        if flush:
            yield from self._frames(None)
            self._codec.flush_buffers()

    def _frames(self, packet: Any) -> Iterator[Any]:
        try:
            frames = self._codec.decode(packet)
        except EOFError:  # nothing more to flush; one of PyAV's errors, too
            return
        except (self._error, MemoryError, ValueError) as error:
            self._damaged += 1
            self._damaged_in_a_row += 1
            if self._damaged_in_a_row > BAD_PACKETS:
                raise SourceError(
                    f"{self._video.name}: from {clock(max(self._time, 0))} on nothing can be "
                    f"decoded ({reason(error)})."
                ) from None
            return
        for frame in frames:
            self._damaged_in_a_row = 0
            check_size(self._video.name, frame.width, frame.height, self._video.limits)
            stamp = frame.dts if frame.pts is None else frame.pts
            self._time = (
                self._time + 1 / self._video.rate
                if stamp is None
                else float((stamp - self._video.start) * self._video.time_base)
            )
            yield self._time, frame

    def skip_unreferenced(self) -> None:
        """Leave out the frames that no other needs."""
        self._codec.skip_frame = "NONREF"

    def check(self) -> None:
        """SourceError for a file that was cut short, or had damaged pictures, once it is read."""
        video = self._video
        if self._packets == 0:
            raise SourceError(f"{video.name}: there are no pictures in it.")
        if self._damaged:
            raise SourceError(
                f"{video.name}: {self._damaged:,} of its pictures are damaged, and were left out."
            )
        seconds = _promised_seconds(video)
        if seconds - self.end > max(CUT_SHORT[0], CUT_SHORT[1] * seconds):
            raise SourceError(
                f"{video.name}: it ends at {clock(self.end)}, and says that it is "
                f"{clock(seconds)} long; it is cut short."
            )


def _promised_seconds(video: OpenVideo) -> float:
    """How long the head of a file says that its pictures are; 0 where it does not."""
    container, stream = video.container, video.stream
    kind, seconds = container.format.name, float((stream.duration or 0) * video.time_base)
    if kind == "avi":  # of one that is cut FFmpeg makes the duration shorter
        return max(seconds, float(stream.frames) / video.rate)
    match = TAG.match(stream.metadata.get("DURATION", ""))
    if match is not None:  # Matroska's, of this stream, from 0 on
        hours, minutes, rest = (float(part) for part in match.groups())
        return 60 * (60 * hours + minutes) + rest - float(video.start * video.time_base)
    if kind == "flv" and len(container.streams) == 1:
        return float(container.duration or 0) / 1_000_000
    return seconds


def _all(decoder: Decoder) -> Iterator[tuple[float, Any]]:
    yield from decoder.decode(decoder.packets(), flush=True)


def _keyframes(decoder: Decoder) -> Iterator[tuple[float, Any]]:
    for part in decoder.parts():
        if part.begins:
            yield from decoder.decode(part.packets[:1], flush=True)


def _every(video: OpenVideo, decoder: Decoder, step: float) -> Iterator[tuple[float, Any]]:
    """The first frame from each time on that is due, or a keyframe near it."""
    if step * video.rate >= FEW_A_STEP:
        decoder.skip_unreferenced()
    due = 0.0
    for part in decoder.parts():
        first = part.packets[0][0]
        takes_keyframe = part.begins and _is_near(first, part.until, due, step)
        next_due = first + step if takes_keyframe else due
        packets = part.packets[:1] if takes_keyframe else []
        needed = _needed(part, next_due, step)
        for time, frame in decoder.decode(needed or packets, flush=part.ends):
            if takes_keyframe and abs(time - first) < MILLIONTH:
                due = time + step
            elif time >= due - MILLIONTH:
                due += step * (math.floor((time - due) / step + MILLIONTH) + 1)
            else:
                continue
            yield time, frame


def _is_near(time: float, following: float | None, due: float, step: float) -> bool:
    """Whether the keyframe at `time` is taken for the frame that is due: it is late, or a little
    early and nearer than the keyframe after it."""
    early = due - time
    nearer = following is None or following - due > early
    return early <= MILLIONTH or (early <= EARLY * step and nearer)


def _needed(part: _Part, due: float, step: float) -> list[tuple[float, Any]]:
    """The packets of a part up to the last frame that is due in it; none where none is due.

    Those that are shown before their keyframe need the group before it, and are left out.
    """
    packets = part.packets
    if part.begins:
        first = packets[0][0]
        packets = [packets[0], *((time, p) for time, p in packets[1:] if time >= first)]
    if not part.ends:
        return packets
    latest = max(time for time, _ in packets)
    last = latest if part.until is None else min(latest, part.until - LATE * step)
    if due > last + MILLIONTH:
        return []
    last_due = due + step * math.floor((last - due) / step + MILLIONTH)
    needed = min((time for time, _ in packets if time >= last_due - MILLIONTH), default=latest)
    place = next(i for i, (time, _) in enumerate(packets) if time == needed)
    return packets[: place + 1]
