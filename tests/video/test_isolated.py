"""Frames that a process of its own decodes: the same frames, and an end whatever it meets."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from films import counting, encode, gif, story
from unseen.errors import SourceError
from unseen.sources.packets import Sampling
from unseen.sources.pyav import VideoLimits
from unseen.sources.video import Frame
from unseen.video.frames import frames_of
from unseen.video.isolated import IsolatedFrames, IsolatedLimits, animation_suffix

ALL = Sampling(every=0)


def read(frames: IsolatedFrames) -> tuple[list[Frame], str]:
    """The frames, and why there are no more."""
    taken = []
    try:
        for frame in frames:
            taken.append(frame)
    except SourceError as error:
        return taken, str(error)
    return taken, ""


@pytest.mark.parametrize("name", ["a.mp4", "a.gif"])
def test_the_same_frames_as_here(tmp_path: Path, name: str) -> None:
    pictures = story([("a red circle", 8), ("a blue square", 8)])
    path = tmp_path / name
    if name.endswith("gif"):
        gif(path, pictures, 200)
    else:
        encode(path, pictures, rate=5, gop=5)
    here, there = frames_of(path, ALL, side=64), IsolatedFrames(path, "clip", ALL, side=64)
    pairs = [*itertools.zip_longest(here, there)]
    assert len(pairs) == 16
    for a, b in pairs:
        assert a.time == b.time and (a.pixels is None) == (b.pixels is None)
        assert a.pixels is None or np.array_equal(a.pixels, b.pixels)
    assert (here.seconds, here.rate) == (there.seconds, there.rate)


def test_a_cut_file_is_read_up_to_there(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.ts", counting(60), codec="mpeg2video", gop=6)
    content = path.read_bytes()
    path = encode(tmp_path / "b.avi", counting(60), codec="mjpeg")
    path.write_bytes(path.read_bytes()[: len(path.read_bytes()) // 2])
    frames, error = read(IsolatedFrames(path, "holiday.avi", ALL))
    assert 10 < len(frames) < 60 and error.startswith("holiday.avi: ")
    assert str(tmp_path) not in error and len(content) > 0


def test_what_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "video"
    path.write_bytes(b"no video" * 100)
    frames, error = read(IsolatedFrames(path, "clip.mp4"))
    assert frames == [] and error.startswith("clip.mp4: this is no video that can be read")


def test_limits(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", counting(40), rate=10)
    few = IsolatedLimits(samples=5)
    frames, error = read(IsolatedFrames(path, "clip", ALL, limits=few))
    assert len(frames) == 5 and "more than 5 samples" in error
    small = IsolatedLimits(VideoLimits(max_pixels=64 * 47))
    frames, error = read(IsolatedFrames(path, "clip", ALL, limits=small))
    assert frames == [] and "pixels" in error and "max_pixels" not in error
    short = IsolatedLimits(VideoLimits(max_seconds=2))
    frames, error = read(IsolatedFrames(path, "clip", ALL, limits=short))
    assert frames == [] and "hours" in error and "max_seconds" not in error


def test_time_that_is_up_and_a_reader_who_takes_his(tmp_path: Path) -> None:
    """The process waits where nobody reads, and is gone when its time is up."""
    path = encode(tmp_path / "a.avi", counting(400, 240, 320), codec="mjpeg")
    frames = IsolatedFrames(path, "clip", ALL, limits=IsolatedLimits(seconds=4))
    iterator = iter(frames)
    assert next(iterator).time == 0.0
    process = frames._process
    assert process is not None
    time.sleep(5)
    rest, error = read_on(iterator)
    assert "takes longer than 4 s" in error and len(rest) < 399
    assert process.poll() is not None


def read_on(iterator: object) -> tuple[list[Frame], str]:
    return read(iterator)  # type: ignore[arg-type]


def test_a_decoder_that_is_killed_is_an_error(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.avi", counting(400, 240, 320), codec="mjpeg")
    frames = IsolatedFrames(path, "clip", ALL)
    iterator = iter(frames)
    next(iterator)
    assert frames._process is not None
    os.kill(frames._process.pid, signal.SIGSEGV)
    rest, error = read_on(iterator)
    assert len(rest) < 399 and "cannot be decoded here" in error


def test_stopped_and_left(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.avi", counting(400, 240, 320), codec="mjpeg")
    frames = IsolatedFrames(path, "clip", ALL)
    iterator = iter(frames)
    next(iterator)
    process = frames._process
    assert isinstance(process, subprocess.Popen)
    iterator.close()  # type: ignore[attr-defined]
    assert process.poll() is not None
    stopped = IsolatedFrames(path, "clip", ALL)
    stopped.stop("the server is ending")
    assert read(stopped) == ([], "clip: the server is ending.")


@pytest.mark.parametrize(
    "content, suffix",
    [
        (b"GIF89a...", ".gif"),
        (b"RIFF\0\0\0\0WEBPVP8X", ".webp"),
        (b"\x89PNG\r\n\x1a\n", ".png"),
        (b"\0\0\0\x20ftypavis....", ".avif"),
        (b"\0\0\0\x20ftypisom....", ""),
        (b"", ""),
    ],
)
def test_animations_are_known_by_their_first_bytes(content: bytes, suffix: str) -> None:
    assert animation_suffix(content) == suffix
