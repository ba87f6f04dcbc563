"""Sources → feeds: a thread for each camera, stream, folder and file."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

from unseen.errors import SourceError, UnseenError
from unseen.images.animation import is_animated
from unseen.monitoring.backoff import Backoff
from unseen.monitoring.feed import Bell, Feed, Sample
from unseen.sources.formats import suffixes
from unseen.sources.frame_change import ChangeGate
from unseen.sources.frame_names import is_video
from unseen.sources.http import PORTS, fetch
from unseen.sources.live import due_frames, is_live, open_live, without_password
from unseen.sources.local import local_path
from unseen.sources.packets import Sampling
from unseen.sources.pyav import DEFAULT_VIDEO_LIMITS, VideoLimits, grey, library, upright
from unseen.sources.video import SIDE
from unseen.video.frames import ANIMATIONS, frames_of

NAMED = re.compile(r"(?P<name>[\w.-]{1,64})=(?P<source>.+)", re.DOTALL)
SNAPSHOTS = (".jpg", ".jpeg", ".png", ".webp")
SNAPSHOT_BYTES = 32 * 1024 * 1024
POLL_SECONDS = 1.0  # from one look at a folder to the next, or ten times as long as a look takes
SETTLED_SECONDS = 2.0  # a file that has not grown for so long is complete
QUIET_SECONDS = 0.25  # that a stream which breaks off at once is waited for, at least


@dataclass(frozen=True)
class Reading:
    """How sources are read.

    Parameters
    ----------
    every : float
        Seconds from one sample to the next, about.
    side : int
        The most pixels of the shorter side of a frame.
    begins : float, optional
        When the first frame of a file was taken, in seconds since 1970. None: as long before the
        file was written last as it is long.
    done : collection of str
        Files of folders that need not be looked at again.
    limits : VideoLimits
        What a file or a stream may cost.
    backoff : callable
        How long a source that is lost is waited for.
    settled : float
        Seconds that a file in a folder must not have grown.
    """

    every: float = 1.0
    side: int = SIDE
    begins: float | None = None
    done: Collection[str] = ()
    limits: VideoLimits = DEFAULT_VIDEO_LIMITS
    backoff: Callable[[], Backoff] = Backoff
    settled: float = SETTLED_SECONDS


def open_feed(given: str | Path, reading: Reading, bell: Bell) -> tuple[Feed, Thread]:
    """The feed of a source, and the thread that fills it, not yet started.

    Parameters
    ----------
    given : str or Path
        A camera, an address, a folder or a file; ``door=rtsp://…`` gives it a name.
    reading : Reading
        How it is read.
    bell : Bell
        Rung when there is an item.

    Raises
    ------
    SourceError
        For anything else.
    MissingExtraError
        If it is a stream or a video, and PyAV is not installed.
    """
    name, source = _named(str(given))
    feed = Feed(name or without_password(source), bell)
    read = _reader_of(source)

    def run() -> None:
        try:
            read(feed, source, reading)
        except UnseenError as error:
            feed.say("lost", str(error))
        except Exception as error:  # a defect here; the other sources go on
            feed.say("lost", f"{feed.source}: {type(error).__name__}: {error}.")
        finally:
            feed.end()

    return feed, Thread(target=run, name=f"unseen-{feed.source}", daemon=True)


def _named(given: str) -> tuple[str | None, str]:
    """A name, where one is given, and the source."""
    match = NAMED.fullmatch(given)
    if match is None or is_live(given) or Path(local_path(given)).exists():
        return None, given if is_live(given) else local_path(given)
    source = match["source"]
    return match["name"], source if is_live(source) else local_path(source)


def _reader_of(source: str) -> Callable[[Feed, str, Reading], None]:
    if is_live(source):
        parts = urlsplit(source)
        if parts.path.lower().endswith(SNAPSHOTS) and parts.scheme in PORTS:
            return _snapshots
        library()  # what is missing is said now, and not when the camera is "lost"
        return _stream
    if Path(source).is_dir():
        return _folder
    if Path(source).is_file():
        if Path(source).suffix.lower() not in ANIMATIONS:
            library()
        return _file
    raise SourceError(
        f"{without_password(source)}: there is no such file or folder, and it is no source that "
        "can be watched; those are camera:0, rtsp:// and http:// addresses, files and folders."
    )


# what is live


def _stream(feed: Feed, source: str, reading: Reading) -> None:
    _again_and_again(feed, reading, lambda: _connection(feed, source, reading))


def _snapshots(feed: Feed, source: str, reading: Reading) -> None:
    _again_and_again(feed, reading, lambda: _series(feed, source, reading))


def _again_and_again(feed: Feed, reading: Reading, follow: Callable[[], None]) -> None:
    """Follows a source, and again when it is lost, which is said once."""
    backoff, lost = reading.backoff(), False
    while not feed.stopped.is_set():
        before = feed.counts.connections
        try:
            follow()
        except SourceError as error:
            if feed.counts.connections > before:
                lost = False
                backoff.reset()
            if not lost and not feed.stopped.is_set():
                feed.say("lost", str(error))
            lost = True
        feed.stopped.wait(max(backoff.seconds(), QUIET_SECONDS))


def _connection(feed: Feed, source: str, reading: Reading) -> None:
    """One connection, until it breaks; SourceError says why."""

    def received() -> None:
        feed.counts.frames += 1

    gate, connected, last = ChangeGate(), False, 0.0
    with open_live(source, reading.limits) as video:
        for frame in due_frames(video, reading.every, received):
            if feed.stopped.is_set():
                return
            if not connected:
                connected = True
                feed.counts.connections += 1
                feed.say("connected", f"{frame.width} × {frame.height}")
            changed = gate.passes(grey(frame))
            pixels = upright(frame, video.aspect, reading.side) if changed else None
            last = max(time.time(), last + 0.001)  # a clock may be set back
            feed.offer(Sample(feed.source, last, pixels))


def _series(feed: Feed, source: str, reading: Reading) -> None:
    """One picture after another from an address, until one does not come."""
    connected = False
    while not feed.stopped.is_set():
        content = fetch(source, max_bytes=SNAPSHOT_BYTES, max_seconds=10, max_redirects=3)
        feed.counts.frames += 1
        if not connected:
            connected = True
            feed.counts.connections += 1
            feed.say("connected")
        feed.offer(Sample(feed.source, time.time(), content))
        feed.stopped.wait(reading.every)


# files


def _file(feed: Feed, source: str, reading: Reading) -> None:
    _read_video(feed, Path(source), feed.source, reading)


def _read_video(feed: Feed, path: Path, name: str, reading: Reading) -> None:
    """All samples of a file; one that breaks off is `damaged`, and then done."""
    frames = frames_of(path, Sampling(reading.every), side=reading.side, limits=reading.limits)
    begins = reading.begins
    try:
        written = path.stat().st_mtime
        for frame in frames:
            if feed.stopped.is_set():
                return
            if begins is None:
                begins = written - (frames.seconds or 0.0)
            feed.counts.frames += 1
            feed.put(Sample(name, frame.time, frame.pixels, begins))
    except (UnseenError, OSError) as error:
        feed.say("damaged", str(error), name)
    feed.say("done", f"{frames.seconds or 0.0:.3f} s", name)


@dataclass
class _Folder:
    """What was seen in a folder: files that are complete are given out once."""

    path: Path
    settled: float
    done: set[str]
    _growing: dict[str, tuple[int, int, float]] = field(default_factory=dict, init=False)

    def complete(self) -> list[tuple[Path, float]]:
        """The files that are new and have stopped growing, with their time, the oldest first."""
        now, present, complete = time.monotonic(), set(), []
        for path, size, written in _entries(self.path):
            name = str(path)
            present.add(name)
            if name in self.done:
                continue
            known = self._growing.get(name)
            if known is None or known[:2] != (size, written):
                self._growing[name] = (size, written, now)
            elif now - known[2] >= self.settled and size:
                complete.append((path, written / 1e9))
        self.done &= present  # what is deleted need not be remembered
        self._growing = {n: g for n, g in self._growing.items() if n in present}
        return sorted(complete, key=lambda entry: (entry[1], entry[0]))

    def finish(self, path: Path) -> None:
        """The file has been looked at."""
        self.done.add(str(path))
        self._growing.pop(str(path), None)


def _entries(folder: Path) -> list[tuple[Path, int, int]]:
    """Videos and pictures below a folder: path, size and time of writing (ns)."""
    entries = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if not name.startswith(".") and (is_video(name) or _is_picture(name)):
                path = Path(parent, name)
                try:
                    status = path.stat()
                except OSError:  # deleted since
                    continue
                entries.append((path, status.st_size, status.st_mtime_ns))
    return entries


def _is_picture(name: str) -> bool:
    return Path(name).suffix.lower() in suffixes()


def _folder(feed: Feed, source: str, reading: Reading) -> None:
    """Files as they become complete: a video is a source of its own, pictures are samples."""
    folder = _Folder(Path(source), reading.settled, set(reading.done))
    feed.counts.connections += 1
    feed.say("connected")
    last = 0.0
    while not feed.stopped.is_set():
        begun = time.monotonic()
        for path, written in folder.complete():
            if feed.stopped.is_set():
                return
            if is_video(path) or (path.suffix.lower() in ANIMATIONS and is_animated(path)):
                _read_video(feed, path, str(path), reading)
            else:
                last = max(written, last + 0.001)
                feed.counts.frames += 1
                feed.put(Sample(feed.source, last, path))
                feed.say("done", "", str(path))
            folder.finish(path)
        took = time.monotonic() - begun
        feed.stopped.wait(max(min(POLL_SECONDS, max(reading.settled, 0.05)), min(10 * took, 60.0)))
