"""An animated GIF, WebP or PNG → its frames, each with its time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import Image

from unseen.errors import ImageError, SourceError
from unseen.images.decoders import open_encoded
from unseen.images.open import no_other_errors
from unseen.images.rgb import to_rgb
from unseen.sources.frame_change import GREY_SIDE, ChangeGate
from unseen.sources.local import no_such_file
from unseen.sources.packets import EVERY_SECOND, Sampling
from unseen.sources.pyav import DEFAULT_VIDEO_LIMITS, VideoLimits, check_size
from unseen.sources.video import SIDE, Frame, held_frames
from unseen.system.regular_file import open_regular

if TYPE_CHECKING:
    from unseen.types import Images

MAX_BYTES = 512 * 1024 * 1024
DEFAULT_SECONDS = 0.1  # of a frame that does not say, or says less than is possible: as browsers
LEAST_SECONDS = 0.011
MILLIONTH = 1e-6


def is_animated(path: str | Path) -> bool:
    """Whether a picture has more than one frame; False where it cannot be read."""
    try:
        with open_regular(path) as file, no_other_errors(str(path)):
            return getattr(open_encoded(file, str(path), MAX_BYTES), "n_frames", 1) > 1
    except (ImageError, OSError):
        return False


class AnimationFrames:
    """The chosen frames of an animation, as `sources.video.VideoFrames` of a video.

    `sampling.keyframes` is every frame, as each holds for a time of its own. `side` and `limits` as
    of a video.
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
        try:
            with open_regular(self.path) as file:
                frames = self._frames(file)
                yield from held_frames(frames, self.sampling, lambda: self.seconds)
        except FileNotFoundError:
            raise no_such_file(str(self.path)) from None
        except (ImageError, OSError) as error:
            raise SourceError(f"{error}") from None

    def _frames(self, file: BinaryIO) -> Iterator[Frame]:
        name, limits = str(self.path), self.limits
        every = 0.0 if self.sampling.keyframes else self.sampling.every
        gate, due, time = ChangeGate(), 0.0, 0.0
        with no_other_errors(name):
            image = open_encoded(file, name, MAX_BYTES)
            check_size(name, *image.size, limits)
            count = getattr(image, "n_frames", 1)
        if count > limits.max_packets:
            raise SourceError(f"{name}: it has more than {limits.max_packets:,} frames.")
        for number in range(count):
            with no_other_errors(name):
                image.seek(number)
                image.load()
                seconds = float(image.info.get("duration") or 0) / 1000
                seconds = seconds if seconds >= LEAST_SECONDS else DEFAULT_SECONDS
                end = time + seconds - MILLIONTH
                shown = self._frame(time, image, gate) if not every or due < end else None
            if shown is not None:
                yield shown
                due = every * (math.floor(end / every) + 1) if every else 0.0
            time += seconds
            self.seconds = time
            if time > limits.max_seconds:
                raise SourceError(f"{name}: it is longer than {limits.max_seconds / 3600:g} hours.")

    def _frame(self, time: float, image: Image.Image, gate: ChangeGate) -> Frame:
        rgb = to_rgb(image.copy())
        small = rgb.convert("L").resize((GREY_SIDE, GREY_SIDE), Image.Resampling.BOX)
        if not gate.passes(np.asarray(small, dtype=np.uint8)):
            return Frame(time, None)
        scale = min(1.0, self.side / min(rgb.size))
        size = (max(1, round(rgb.width * scale)), max(1, round(rgb.height * scale)))
        shown = rgb.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0) if scale < 1 else rgb
        pixels: Images = np.array(shown, dtype=np.uint8)
        return Frame(time, pixels)
