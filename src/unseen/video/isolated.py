"""A video that a stranger sent → its frames, decoded in a process of its own.

FFmpeg is written in C: a video may crash it, hold it for ever, or make it take all memory. So it
runs where that harms nobody: in a process whose memory and time are bounded, and which is killed
when its time is up. What came before is there.
"""

from __future__ import annotations

import json
import math
import os
import re
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from unseen.errors import MissingExtraError, SourceError, UnseenError
from unseen.sources.packets import EVERY_SECOND, Sampling
from unseen.sources.pyav import DEFAULT_VIDEO_LIMITS, VideoLimits, library
from unseen.sources.video import SIDE, Frame
from unseen.video.frames import ANIMATIONS, frames_of

# Of each frame: its time; how long the video is, and its rate, as far as is known (else NaN);
# height and width of the pixels that follow. No height: it shows the same as the one before.
HEADER = struct.Struct("<3d2I")
LAST = 2**32 - 1  # the height of what is no frame: JSON of that many bytes says how it ended
MEMORY = 1 << 30  # bytes, above what the libraries take when they are loaded
SIGNATURES = ((0, b"GIF8", ".gif"), (8, b"WEBP", ".webp"), (1, b"PNG\r\n", ".png"))
AVIF = re.compile(rb".{4}ftypavi[fs]", re.DOTALL)
ADVICE = re.compile(r"(; raise| Cut it, or raise) max_\w+( to allow it)?")  # is for the operator


@dataclass(frozen=True)
class IsolatedLimits:
    """What a video of a stranger may cost.

    Parameters
    ----------
    video : VideoLimits
        Pixels, seconds, packets and streams.
    seconds : float
        From the start to the last frame, what looks at the frames included.
    samples : int
        Frames that are looked at.
    memory : int
        Bytes that decoding may take, where the system can hold a process to it.
    """

    video: VideoLimits = DEFAULT_VIDEO_LIMITS
    seconds: float = 60.0
    samples: int = 3600
    memory: int = MEMORY


def animation_suffix(content: bytes | memoryview) -> str:
    """The suffix of an animation by its first bytes; empty for anything else.

    >>> animation_suffix(b"GIF89a")
    '.gif'
    """
    head = bytes(content[:16])
    for start, signature, suffix in SIGNATURES:
        if head[start:].startswith(signature):
            return suffix
    return ".avif" if AVIF.match(head) else ""


class IsolatedFrames:
    """The chosen frames of a file, as `unseen.video.frames.frames_of`; iterate it once.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        What errors call it.
    sampling : Sampling
        Which frames are looked at.
    side : int
        The most pixels of the shorter side.
    limits : IsolatedLimits
        What it may cost.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        sampling: Sampling = EVERY_SECOND,
        *,
        side: int = SIDE,
        limits: IsolatedLimits | None = None,
    ) -> None:
        self._path, self._name, self._sampling, self._side = path, name, sampling, side
        self._limits = limits or IsolatedLimits()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._reason = ""  # why it was stopped
        self.seconds: float | None = None
        self.rate: float | None = None

    def stop(self, reason: str = "it was stopped") -> None:
        """End soon, from any thread: the iteration raises SourceError with the reason."""
        with self._lock:
            self._reason = self._reason or reason
            if self._process is not None:
                self._process.kill()

    def __iter__(self) -> Iterator[Frame]:
        """Yields frames while they can be read; raises SourceError, MissingExtraError then."""
        late = f"it takes longer than {self._limits.seconds:.3g} s; the rest was not looked at"
        timer = threading.Timer(self._limits.seconds, self.stop, [late])
        timer.daemon = True
        process = self._started()
        timer.start()
        try:
            assert process.stdout is not None
            yield from self._frames(process.stdout)
            self._check_end(process.wait())
        finally:
            timer.cancel()
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def _started(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._reason:
                raise SourceError(f"{self._name}: {self._reason}.")
            order = {
                "path": str(self._path),
                "every": self._sampling.every,
                "keyframes": self._sampling.keyframes,
                "side": self._side,
                "limits": asdict(self._limits.video),
                "memory": self._limits.memory,
                "seconds": math.ceil(self._limits.seconds),
            }
            paths = [str(Path(path).absolute()) for path in sys.path]
            code = f"import sys; sys.path[:] = {paths!r}; from {__name__} import send; send()"
            self._process = subprocess.Popen(
                [sys.executable, "-c", code, json.dumps(order)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
            return self._process

    def _frames(self, pipe: IO[bytes]) -> Iterator[Frame]:
        count = 0
        while len(head := pipe.read(HEADER.size)) == HEADER.size:
            time, seconds, rate, height, width = HEADER.unpack(head)
            if height == LAST:
                self._check_last(pipe.read(min(width, 1 << 16)))
                return
            self.seconds = None if math.isnan(seconds) else seconds
            self.rate = None if math.isnan(rate) else rate
            size = 3 * height * width
            if size > 3 * self._limits.video.max_pixels:
                return  # not what `send` writes: the process is no longer itself
            content = pipe.read(size)
            if len(content) < size:
                return
            count += 1
            if count > self._limits.samples:
                raise SourceError(
                    f"{self._name}: of more than {self._limits.samples:,} samples the rest was not "
                    "looked at; look less often."
                )
            pixels = np.frombuffer(content, np.uint8).reshape(height, width, 3) if size else None
            yield Frame(time, pixels)

    def _check_last(self, content: bytes) -> None:
        """Raises what the process says that it met."""
        self._reason = self._reason or "done"
        last = json.loads(content)
        if last.get("library"):
            raise MissingExtraError("reading a video", last["library"], last["extra"])
        self.seconds = last["seconds"]
        if last["error"]:
            raise SourceError(f"{self._name}: {last['error']}")

    def _check_end(self, status: int) -> None:
        """Raises SourceError where the process ended without a last word."""
        if self._reason == "done":
            return
        reason = self._reason or f"it cannot be decoded here (the decoder ended with {status})"
        raise SourceError(f"{self._name}: {reason}.")


# in the process


def send() -> None:
    """Frames to standard output, as `IsolatedFrames` reads them; its order is an argument."""
    order = json.loads(sys.argv[1])
    path = Path(order["path"])
    os.chdir(path.parent)  # so that its errors name no folder of this machine
    last: dict[str, Any] = {"error": "", "seconds": None}
    pipe = os.fdopen(os.dup(1), "wb", buffering=1 << 16)
    try:
        sampling = Sampling(order["every"], order["keyframes"])
        limits = VideoLimits(**order["limits"])
        if path.suffix not in ANIMATIONS:
            library()
        _hold_to(order["memory"], order["seconds"])
        frames = frames_of(path.name, sampling, side=order["side"], limits=limits)
        try:
            for frame in frames:
                pixels = frame.pixels
                shape = (0, 0) if pixels is None else pixels.shape[:2]
                known = (float("nan") if x is None else x for x in (frames.seconds, frames.rate))
                pipe.write(HEADER.pack(frame.time, *known, *shape))
                if pixels is not None:
                    pipe.write(np.ascontiguousarray(pixels).data)
                pipe.flush()
        finally:
            last["seconds"] = frames.seconds
    except MissingExtraError as error:
        last |= {"library": error.library, "extra": error.extra}
    except UnseenError as error:
        text = str(error).removeprefix(f"{path.name}: ")
        last["error"] = ADVICE.sub("", text)[:1000]
    except MemoryError:
        last["error"] = "decoding it takes more memory than a video may have here."
    content = json.dumps(last).encode("ascii")
    with suppress(OSError):  # nobody reads any more
        pipe.write(HEADER.pack(0.0, 0.0, 0.0, LAST, len(content)) + content)
        pipe.flush()


def _hold_to(memory: int, seconds: int) -> None:
    """This process to so much more memory and so many CPU seconds, where the system can do it."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CPU, (4 * seconds, 4 * seconds + 1))
    with suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + memory
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
