"""Clips: cut without encoding, they begin at a keyframe and show what the video shows."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from films import av, counting, encode, number_of, plain, turned
from unseen.errors import SourceError
from unseen.sources.packets import Sampling
from unseen.sources.video import VideoFrames
from unseen.video.clips import clip_path, cut
from unseen.video.prediction import Event, Peak

ALL = Sampling(every=0)


def numbers(path: Path) -> list[int]:
    result, last = [], -1
    for frame in VideoFrames(path, ALL):
        last = last if frame.pixels is None else number_of(frame.pixels)
        result.append(last)
    return result


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".avi"])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_a_clip_begins_at_the_keyframe_before(suffix: str, b_frames: int, tmp_path: Path) -> None:
    path = encode(tmp_path / f"a{suffix}", counting(30), gop=5, b_frames=b_frames)
    clip = cut(path, 1.2, 2.0, tmp_path / f"clip{suffix}")
    shown = numbers(clip.path)
    first = shown[0]
    assert clip.start == pytest.approx(first / 10, abs=0.11)
    assert 12 - 5 - b_frames <= first <= 12  # a keyframe early, at most
    if (suffix, b_frames) != (".avi", 2):  # AVI has no times of display, and then ends early
        assert 19 in shown
    assert 17 <= max(shown) <= 20 + b_frames
    assert shown == sorted(shown)


def test_the_packets_are_those_of_the_video(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", counting(30), gop=5)
    clip = cut(path, 0.5, 1.5, tmp_path / "clip.mp4")

    def packets(file: Path) -> list[str]:
        with av.open(str(file)) as container:
            return [
                hashlib.sha256(bytes(packet)).hexdigest()
                for packet in container.demux(video=0)
                if packet.size
            ]

    whole, part = packets(path), packets(clip.path)
    assert part == whole[5:15]


def test_a_turned_video_stays_turned(tmp_path: Path) -> None:
    picture = plain(30)
    picture[:24] = 220
    path = turned(encode(tmp_path / "a.mp4", [picture] * 20, gop=5))
    clip = cut(path, 0.5, 1.5, tmp_path / "clip.mp4")
    (frame, *_) = VideoFrames(clip.path, ALL)
    assert frame.pixels is not None and frame.pixels.shape == (64, 48, 3)
    assert frame.pixels[:, 30:].mean() > frame.pixels[:, :18].mean() + 100


def test_sound_goes_with_it(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        pictures = container.add_stream("mpeg4", rate=10)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        pictures.codec_context.gop_size = 5
        sound = container.add_stream("pcm_s16le", rate=8000)
        for number, picture in enumerate(counting(30)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number
            container.mux(pictures.encode(frame))
            noise = np.zeros((1, 800), np.int16)
            samples = av.AudioFrame.from_ndarray(noise, format="s16", layout="mono")
            samples.sample_rate, samples.pts = 8000, 800 * number
            container.mux(sound.encode(samples))
        container.mux(pictures.encode(None))
        container.mux(sound.encode(None))
    clip = cut(tmp_path / "a.mkv", 1.0, 2.0, tmp_path / "clip.mkv")
    with av.open(str(clip.path)) as container:
        assert len(container.streams.audio) == 1
        seconds = sum(f.samples for f in container.decode(audio=0)) / 8000
    assert seconds == pytest.approx(1.0, abs=0.25)


def test_what_cannot_be_cut_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", counting(5))
    with pytest.raises(SourceError, match="there is no such folder"):
        cut(path, 0, 1, tmp_path / "none" / "clip.mp4")
    with pytest.raises(SourceError):
        cut(path, 0, 1, tmp_path / "clip.webm")  # MPEG-4 may not lie in WebM
    assert {file.name for file in tmp_path.iterdir()} == {"a.mp4"}


@pytest.mark.parametrize(
    ("source", "label", "name"),
    [
        ("v/a.mp4", "a dog", "a-00.00.03.000-a-dog.mp4"),
        ("a.flv", "../../etc", "a-00.00.03.000-etc.mkv"),
        ("a.mov", "x" * 200, f"a-00.00.03.000-{'x' * 60}.mov"),
    ],
)
def test_a_clip_is_named_by_its_time_and_label(source: str, label: str, name: str) -> None:
    event = Event(source, label, 3.0, 4.0, 0.9, Peak(3.0, 0.9))
    assert clip_path(Path("out"), event) == Path("out") / name
