"""Videos: one at a time, decoded in a process of its own; its frames queue with the pictures.

The event loop never waits for a decoder, and pictures of others wait for one batch of frames at
most.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from unseen.errors import MissingExtraError, SourceError, UnseenError
from unseen.labels.compiled import CompiledLabels
from unseen.prediction.decision import Decision
from unseen.prediction.prediction import Prediction, Predictions
from unseen.sources.packets import EVERY_SECOND, Sampling
from unseen.sources.pyav import VideoLimits
from unseen.sources.video import Frame
from unseen.video.classification import classify_embedded, side_of
from unseen.video.frames import readable
from unseen.video.isolated import IsolatedFrames, IsolatedLimits, animation_suffix
from unseen.video.prediction import VideoPrediction
from unseen.web.problems import Problem, overloaded
from unseen.web.server.core.encoding import Encoding, in_pool

if TYPE_CHECKING:
    from unseen.types import Floats

WAITING = 2  # videos that may wait while one is looked at
WAITING_SHARE = 0.3  # of the seconds of a request, that one may wait for its turn
WORKING_SHARE = 0.8  # until it must have been looked at: the rest is for the answer
CELLS = 4_000_000  # samples times labels: what an answer is made of
ROWS = 200_000  # samples times labels in an answer with frames


@dataclass(frozen=True)
class VideoOptions:
    """How a video is looked at.

    Parameters
    ----------
    sampling : Sampling
        Which frames.
    min_seconds : float
        The shortest event that is wanted.
    frames : bool
        Whether the answer has the frames, too.
    """

    sampling: Sampling = EVERY_SECOND
    min_seconds: float = 2.0
    frames: bool = False


@dataclass(frozen=True)
class _Job:
    """A video, and all that is wanted of it."""

    content: bytes | memoryview
    name: str
    labels: CompiledLabels
    decision: Decision
    options: VideoOptions
    stopped: threading.Event = field(default_factory=threading.Event)  # nobody waits for it


class VideoService:
    """What `POST /v1/video` calls. For one event loop.

    Parameters
    ----------
    encoding : Encoding
        What encodes the frames.
    """

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._turn = asyncio.Lock()
        self._inside = 0
        self._seconds = 5.0  # that the last video took
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="unseen-video")
        self._frames: IsolatedFrames | None = None

    async def close(self) -> None:
        """Ends the thread, and the process that decodes."""
        self._stop()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _stop(self) -> None:
        if self._frames is not None:
            self._frames.stop("the server is ending")

    async def classify(
        self,
        content: bytes | memoryview,
        name: str,
        labels: CompiledLabels,
        decision: Decision,
        options: VideoOptions,
    ) -> VideoPrediction:
        """What happens in a video.

        Parameters
        ----------
        content : bytes or memoryview
            The file.
        name : str
            What the answer calls it.
        labels : CompiledLabels
            What may happen.
        decision : Decision
            How labels are decided upon.
        options : VideoOptions
            How it is looked at.

        Returns
        -------
        VideoPrediction
            With an error, and what could be read, where it is damaged or too long.

        Raises
        ------
        Problem
            400 where no frame of it can be read, 501 where PyAV is not installed, 503 where too
            many wait already.
        """
        if not animation_suffix(content) and find_spec("av") is None:
            missing = MissingExtraError("reading a video", library="av", extra="video")
            raise Problem(501, f"{missing}", code="missing_extra")
        await self._encoding.until_ready()
        if self._inside > WAITING:
            raise overloaded(self._inside * self._seconds)
        began = time.monotonic()
        self._inside += 1
        try:
            await self._wait()
            try:
                left = WORKING_SHARE * self._encoding.limits.seconds - (time.monotonic() - began)
                job = _Job(content, name, labels, decision, options)
                return await self._answered(job, left)
            finally:
                self._seconds = time.monotonic() - began
                self._turn.release()
        finally:
            self._inside -= 1

    async def _wait(self) -> None:
        seconds = WAITING_SHARE * self._encoding.limits.seconds
        try:
            await asyncio.wait_for(self._turn.acquire(), seconds)
        except (TimeoutError, asyncio.TimeoutError):
            raise overloaded(self._seconds) from None

    async def _answered(self, job: _Job, seconds: float) -> VideoPrediction:
        loop = asyncio.get_running_loop()
        try:
            answer = await in_pool(self._thread, self._look, job, seconds, loop)
        except OSError as error:
            reason = f"the video cannot be put aside: {error.strerror or error}."
            raise Problem(507, reason, code="no_room") from None
        finally:
            job.stopped.set()  # the client may be gone
            self._stop()
        if answer.clip is None:
            raise Problem(400, answer.error or "no frame could be read.", code="bad_video")
        return answer

    # in the thread

    def _look(self, job: _Job, seconds: float, loop: asyncio.AbstractEventLoop) -> VideoPrediction:
        options = job.options
        with TemporaryDirectory(prefix="unseen-video-") as folder:
            path = Path(folder, f"video{animation_suffix(job.content)}")
            path.write_bytes(job.content)
            frames = self._frames = IsolatedFrames(
                path,
                job.name,
                options.sampling,
                side=side_of(self._encoding.encoder),
                limits=self._limits(job, seconds),
            )
            if job.stopped.is_set():
                frames.stop()
            errors: list[SourceError] = []
            taken: list[Prediction] = []
            answer = classify_embedded(
                job.name,
                frames,
                self._embedded(readable(frames, errors), loop),
                errors,
                job.labels,
                job.decision,
                min_seconds=options.min_seconds,
                on_frame=taken.append if options.frames else None,
            )
        return replace(answer, frames=Predictions(taken))

    def _limits(self, job: _Job, seconds: float) -> IsolatedLimits:
        limits, labels = self._encoding.limits, max(1, len(job.labels.labels))
        samples = min(limits.video_samples, max(1, CELLS // labels))
        if job.options.frames:
            rows = min(labels, job.decision.top_k or labels)
            samples = min(samples, max(1, ROWS // rows))
        video = VideoLimits(max_pixels=limits.video_pixels, max_seconds=limits.video_seconds)
        return IsolatedLimits(video, seconds, samples)

    def _embedded(
        self, frames: Iterator[Frame], loop: asyncio.AbstractEventLoop
    ) -> Iterator[tuple[float, Floats | None]]:
        """As `unseen.video.classification.embedded`, by the queue of the server."""
        encoding = self._encoding
        while piece := list(islice(frames, encoding.images.size)):
            pixels = [
                None if f.pixels is None else encoding.encoder.pixels(f.pixels) for f in piece
            ]
            there = [one for one in pixels if one is not None and not isinstance(one, UnseenError)]
            rows = iter(encoding.encode_in_thread(there, loop))
            for frame, one in zip(piece, pixels, strict=True):
                shown = one is not None and not isinstance(one, UnseenError)
                yield frame.time, next(rows) if shown else None
