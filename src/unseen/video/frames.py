"""A file that moves → its frames: a video by PyAV; an animated GIF, WebP or PNG by Pillow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from unseen.errors import SourceError
from unseen.images.animation import AnimationFrames
from unseen.sources.files import image_files, videos_below
from unseen.sources.local import local_path
from unseen.sources.packets import EVERY_SECOND, Sampling
from unseen.sources.pyav import DEFAULT_VIDEO_LIMITS, VideoLimits
from unseen.sources.video import SIDE, Frame, VideoFrames

ANIMATIONS = (".gif", ".webp", ".png", ".apng", ".avif")


class Frames(Protocol):
    """The chosen frames of a file, in order; `seconds` is how long it is and `rate` how many frames
    a second it has, as far as is known."""

    seconds: float | None
    rate: float | None

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


def video_files(sources: Iterable[str | Path]) -> list[Path]:
    """The files to look at, in order: of a folder the videos and animated GIFs below it, sorted.

    Parameters
    ----------
    sources : iterable of str or Path
        Files, which need not exist, and folders. What is hidden is left out.

    Raises
    ------
    SourceError
        If a folder has none.
    """
    paths: list[Path] = []
    for source in sources:
        path = Path(local_path(source) if isinstance(source, str) else source)
        inside = _inside(path) if path.is_dir() else [path]
        if not inside:
            raise SourceError(f"{source}: there are no videos in it.")
        paths += inside
    return paths


def _inside(folder: Path) -> list[Path]:
    gifs = [] if next(folder.rglob("*.gif"), None) is None else image_files(folder)
    return sorted([*videos_below(folder), *(p for p in gifs if p.suffix.lower() == ".gif")])


def readable(frames: Frames, errors: list[SourceError]) -> Iterator[Frame]:
    """The frames up to where the file breaks; why it does goes to `errors`."""
    try:
        yield from frames
    except SourceError as error:
        errors.append(error)
