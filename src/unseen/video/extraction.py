"""The frames of a video that are worth a label, as files: what is alike is left out."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from unseen.encoder import Encoder
from unseen.errors import SourceError, UnseenError, UnseenWarning
from unseen.results.result_file import writing
from unseen.sources.frame_names import clock
from unseen.sources.packets import EVERY_SECOND, Sampling
from unseen.video.frames import frames_of, readable

if TYPE_CHECKING:
    from unseen.sources.video import Frame
    from unseen.types import Floats, Progress

LARGE_SIDE = 1080  # pixels of the shorter side
QUALITY = 92
ALIKE = 0.95  # the cosine from which a frame shows what another shows already
MOST = 2000  # frames of a video


def folder_of(video: Path) -> Path:
    """Where the frames of a video go: `clip.mp4` → `clip-frames`, beside it."""
    return video.with_name(f"{video.stem}-frames")


def extract(
    encoder: Encoder,
    video: str | Path,
    folder: Path,
    *,
    sampling: Sampling = EVERY_SECOND,
    alike: float = ALIKE,
    progress: Progress | None = None,
) -> list[Path]:
    """Write the frames of a video that differ from one another to a new folder, as JPEGs.

    Parameters
    ----------
    encoder : Encoder
        The model that says which frames are alike.
    video : str or Path
        The video.
    folder : Path
        It must not be there, and appears when all is written.
    sampling : Sampling
        Which frames are looked at.
    alike : float
        The cosine from which a frame is left out: it shows what one that is written shows.
    progress : callable, optional
        Called with the milliseconds that were looked at, and how many there are.

    Returns
    -------
    list of Path
        The files, `clip 00.03.12.000.jpg`, in the order of time.

    Raises
    ------
    SourceError
        If the folder is there, or cannot be written, or no frame can be read. A video that breaks
        off is an UnseenWarning, and what could be read is written.
    """
    if folder.exists():
        raise SourceError(f"{folder} is there already; give another folder, or delete it.")
    frames = frames_of(video, sampling, side=LARGE_SIDE)
    errors: list[SourceError] = []
    written: list[str] = []
    others = np.zeros((0, encoder.model.dimension), dtype=np.float32)

    def decode(frame: Frame):  # type: ignore[no-untyped-def]
        return frame, None if frame.pixels is None else encoder.pixels(frame.pixels)

    with writing(folder), tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        for frame, result in encoder.stream(readable(frames, errors), decode):
            if progress is not None:
                done = round(1000 * frame.time)
                progress(done, max(done, round(1000 * (frames.seconds or 0))))
            if result is None or isinstance(result, UnseenError) or _shows(others, result, alike):
                continue
            name = f"{Path(video).stem} {clock(frame.time).replace(':', '.')}.jpg"
            Image.fromarray(frame.pixels).save(Path(temporary, name), quality=QUALITY)
            written.append(name)
            others = np.vstack([others, result])
            if len(written) >= MOST:
                break
        if not written:
            raise errors[0] if errors else SourceError(f"{video}: no frame could be read.")
        if errors:
            warnings.warn(f"{errors[0]}", UnseenWarning, stacklevel=2)
        folder.mkdir()
        for name in written:
            Path(temporary, name).rename(folder / name)
    return [folder / name for name in written]


def _shows(others: Floats, embedding: Floats, alike: float) -> bool:
    return len(others) > 0 and float((others @ embedding).max()) >= alike
