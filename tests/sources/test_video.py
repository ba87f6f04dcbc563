"""Frames of videos: which are read, their exact times, upright, and what breaks."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import films
from films import av, counting, encode, gif, number_of, plain, turned
from unseen.errors import ImageError, SourceError
from unseen.images.open import open_image
from unseen.sources import packets
from unseen.sources.expand import count, expand, fields_of
from unseen.sources.frame_change import ChangeGate
from unseen.sources.frame_names import frame_name, frame_of
from unseen.sources.packets import Sampling
from unseen.sources.pyav import VideoLimits
from unseen.sources.video import VideoFrames, frame_at
from unseen.video.frames import frames_of, readable

ALL = Sampling(every=0)
KEYFRAMES = Sampling(keyframes=True)


def times(path: Path, sampling: Sampling) -> list[float]:
    return [frame.time for frame in frames_of(path, sampling)]


def shown(path: Path, sampling: Sampling) -> list[tuple[float, int]]:
    """Times, and which picture of `counting` is seen."""
    result, last = [], -1
    for frame in frames_of(path, sampling):
        last = last if frame.pixels is None else number_of(frame.pixels)
        result.append((round(frame.time, 6), last))
    return result


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds, ten frames a second, a keyframe a second."""
    return encode(tmp_path_factory.mktemp("films") / "clip.mp4", counting(60))


# times


def test_every_frame_has_its_time(clip: Path) -> None:
    assert shown(clip, ALL) == [(round(i / 10, 6), i % 30) for i in range(60)]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".mov"])
def test_a_frame_a_second_whatever_the_container(suffix: str, tmp_path: Path) -> None:
    path = encode(tmp_path / f"a{suffix}", counting(30), gop=30)
    assert shown(path, Sampling(every=1.0)) == [(0.0, 0), (1.0, 10), (2.0, 20)]


@pytest.mark.parametrize("gop", [1, 4, 7, 12, 50])
@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize("every", [0.3, 1.0])
def test_samples_are_as_far_apart_as_was_wanted(
    gop: int, b_frames: int, every: float, tmp_path: Path
) -> None:
    """Whatever the keyframes: each time shows its own picture, and the steps are near enough."""
    path = encode(tmp_path / "a.mp4", counting(30), gop=gop, b_frames=b_frames)
    samples = shown(path, Sampling(every=every))
    assert all(number == round(10 * time) for time, number in samples)
    steps = np.diff([time for time, _ in samples])
    assert samples[0][0] == 0 and (steps > 0.74 * every - 0.11).all()
    assert (steps <= 1.5 * every + 0.101).all()
    assert samples[-1][0] >= 2.9 - 1.5 * every - 0.1


def test_a_long_group_of_pictures_is_decoded_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encode(tmp_path / "a.mp4", counting(40), gop=200, b_frames=2)
    whole = shown(path, Sampling(every=0.5))
    monkeypatch.setattr(packets, "PART_PACKETS", 7)
    assert shown(path, Sampling(every=0.5)) == whole


def test_keyframes_alone(clip: Path) -> None:
    assert shown(clip, KEYFRAMES) == [(float(i), 10 * i % 30) for i in range(6)]


def test_times_of_a_variable_rate_are_those_of_the_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    stamps = np.cumsum([0, *rng.integers(20, 900, 29)]).tolist()
    path = encode(tmp_path / "vfr.mp4", counting(30), times=stamps, gop=5)
    assert times(path, ALL) == pytest.approx([stamp / 1000 for stamp in stamps], abs=1e-9)
    one = shown(path, Sampling(every=1.0))
    assert all(time == stamps[number] / 1000 for time, number in one)


def test_a_start_that_is_not_zero_is_taken_off(tmp_path: Path) -> None:
    path = encode(tmp_path / "late.mkv", counting(12), times=[5000 + 100 * i for i in range(12)])
    assert shown(path, ALL)[:2] == [(0.0, 0), (0.1, 1)]
    assert number_of(frame_at(path, 0.5)) == 5


# pixels


def test_a_turned_video_is_upright(tmp_path: Path) -> None:
    picture = plain(20)
    picture[:24, :32] = 220  # bright in the upper left
    path = turned(encode(tmp_path / "turned.mp4", [picture] * 4))
    (frame, *_) = VideoFrames(path, ALL)
    assert frame.pixels is not None
    assert frame.pixels.shape == (64, 48, 3)
    expected = np.rot90(picture, -1)
    assert np.abs(frame.pixels.astype(int) - expected).mean() < 8
    assert times(path, ALL) == pytest.approx([0, 0.1, 0.2, 0.3])


@pytest.mark.parametrize(("aspect", "shape"), [((2, 1), (48, 128)), ((1, 2), (96, 64))])
def test_pixels_become_square(
    aspect: tuple[int, int], shape: tuple[int, int], tmp_path: Path
) -> None:
    path = encode(tmp_path / "wide.mkv", counting(3), aspect=Fraction(*aspect))
    (frame, *_) = VideoFrames(path, ALL)
    assert frame.pixels is not None and frame.pixels.shape[:2] == shape


def test_frames_are_no_larger_than_is_needed(tmp_path: Path) -> None:
    path = encode(tmp_path / "large.mp4", [plain(99, 480, 640)] * 2)
    (frame, *_) = VideoFrames(path, ALL, side=120)
    assert frame.pixels is not None and frame.pixels.shape == (120, 160, 3)
    assert abs(int(frame.pixels.mean()) - 99) <= 2


# still scenes


def test_a_still_scene_is_looked_at_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ground = np.linspace(40, 200, 128)[None, :, None] * np.ones((96, 1, 3))
    grain = (np.clip(ground + rng.normal(0, 3, ground.shape), 0, 255) for _ in range(60))
    path = encode(tmp_path / "still.mp4", (picture.astype(np.uint8) for picture in grain))
    frames = [*VideoFrames(path, ALL)]
    assert len(frames) == 60 and sum(frame.pixels is not None for frame in frames) == 1


def test_what_comes_slowly_is_seen(tmp_path: Path) -> None:
    """Each step is below what is noticed; together they are not."""
    gate = ChangeGate()
    passed = [gate.passes(np.full((16, 16), 50 + i // 4, np.uint8)) for i in range(200)]
    assert passed[0] and 15 <= sum(passed) <= 60
    still = [gate.passes(np.full((16, 16), 99, np.uint8)) for _ in range(200)]
    assert sum(still) <= 1


def test_a_small_thing_that_comes_is_seen() -> None:
    gate = ChangeGate()
    rng = np.random.default_rng(1)
    grey = np.full((16, 16), 100.0)
    noisy = [np.rint(grey + rng.normal(0, 0.5, grey.shape)).astype(np.uint8) for _ in range(40)]
    assert sum(map(gate.passes, noisy)) == 1
    noisy[-1][5, 5] += 30
    assert gate.passes(noisy[-1])


def test_a_busy_scene_is_not_taken_for_noise() -> None:
    gate = ChangeGate()
    rng = np.random.default_rng(2)
    busy = rng.integers(0, 255, (50, 16, 16)).astype(np.uint8)
    assert sum(map(gate.passes, busy)) == 50


# as a source


def test_a_video_is_a_source_like_any_other(clip: Path) -> None:
    items = [*expand(clip)]
    assert [item.name for item in items] == [f"{clip} at 00:00:0{i}" for i in range(6)]
    assert items[2].meta == {"video": str(clip), "time": 2.0, "until": 3.0}
    assert count(clip) is None and count([str(clip), "a.jpg"]) is None
    assert fields_of([str(clip)]) == ("video", "time", "until")


def test_a_frame_has_an_address(clip: Path) -> None:
    for item in expand(clip):
        again = open_image(item.name)
        assert np.abs(np.asarray(again, int) - np.asarray(item.content, int)).max() <= 1
    assert number_of(np.asarray(open_image(f"{clip} at 00:00:01.300"))) == 13
    with pytest.raises((SourceError, ImageError), match=r"no frame at 00:01:00\.000; it ends at"):
        open_image(Path(f"{clip} at 00:01:00"))


@pytest.mark.parametrize("seconds", [0.0, 0.04, 59.9996, 3599.5, 360_000.125])
def test_names_of_frames_are_read_back(seconds: float) -> None:
    video, time = frame_of(frame_name("a/b at noon.mp4", seconds)) or ("", -1.0)
    assert video == "a/b at noon.mp4" and time == pytest.approx(seconds, abs=0.0006)


@pytest.mark.parametrize(
    "name", ["a.jpg at 00:00:01", "a.mp4", "a.mp4 at 1:00", "a.mp4 at 00:61:00"]
)
def test_other_names_are_no_frames(name: str) -> None:
    assert frame_of(name) is None


# animations


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_animated_pictures_are_read_by_the_same_path(suffix: str, tmp_path: Path) -> None:
    path = gif(tmp_path / f"a{suffix}", counting(20), [200] * 10 + [500] * 10)
    frames = frames_of(path, ALL)
    starts = [*itertools.accumulate([0.2] * 10 + [0.5] * 9, initial=0.0)]
    assert [frame.time for frame in frames] == pytest.approx(starts)
    assert frames.seconds == pytest.approx(7.0)
    one = shown(path, Sampling(every=1.0))
    assert [time for time, _ in one] == pytest.approx([0, 1, 2, 3, 4, 5, 6])
    assert [number for _, number in one] == [0, 5, 10, 12, 14, 16, 18]


def test_a_picture_that_is_held_has_a_sample_for_each_step(tmp_path: Path) -> None:
    """Pillow joins equal frames; and a recorder of screens writes none while nothing changes."""
    path = gif(tmp_path / "a.gif", [plain(20)] * 5 + [plain(200)] * 4, 1000)
    held = [(frame.time, frame.pixels is not None) for frame in frames_of(path, Sampling())]
    assert held == [(float(i), i in (0, 5)) for i in range(9)]
    path = encode(tmp_path / "vfr.mp4", counting(3), times=[0, 4000, 8000], gop=1)
    held = [(frame.time, frame.pixels is not None) for frame in frames_of(path, Sampling())]
    assert held[:9] == [(float(i), i in (0, 4, 8)) for i in range(9)]
    assert len(times(path, ALL)) == 3 == len(times(path, KEYFRAMES))


# what breaks


def cut_short(clip: Path, tmp_path: Path) -> Path:
    path = encode(tmp_path / "whole.avi", counting(60))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def test_what_could_be_read_before_it_broke_is_there(clip: Path, tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mkv", counting(60))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(400)
    path.write_bytes(content)
    errors: list[SourceError] = []
    read = [*readable(frames_of(path, ALL), errors)]
    assert len(read) >= 15
    assert [frame.time for frame in read] == sorted({frame.time for frame in read})


@pytest.mark.parametrize(
    "name, codec", [("a.avi", "mjpeg"), ("a.avi", "mpeg4"), ("a.mkv", "mpeg4"), ("a.flv", "flv")]
)
def test_a_file_that_is_cut_says_so(name: str, codec: str, tmp_path: Path) -> None:
    """Of these FFmpeg says nothing; whole they are whole, also where they do not begin at 0."""
    path = encode(tmp_path / name, counting(100), codec=codec)
    assert len(times(path, Sampling())) >= 10
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    errors: list[SourceError] = []
    read = [*readable(frames_of(path), errors)]
    assert 2 < len(read) < 8 and "it is cut short" in str(errors)


def test_frames_as_large_as_the_limit_are_read(tmp_path: Path) -> None:
    """FFmpeg counts the margins of its decoders, too."""
    path = encode(tmp_path / "a.mp4", counting(3, 96, 96))
    assert len([*frames_of(path, ALL, limits=VideoLimits(max_pixels=96 * 96))]) == 3


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.mp4", b"", "the file is empty"),
        ("text.mp4", b"hello" * 100, "no video that can be read"),
        ("list.mp4", b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:clip.ts\n", "no video"),
        ("concat.mp4", b"ffconcat version 1.0\nfile clip.mp4\n", "no video"),
        ("list.mkv", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n", "no video"),
    ],
)
def test_what_is_no_video_is_an_error(
    name: str, content: bytes, words: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=words):
        [*VideoFrames(tmp_path / name)]
    (item,) = expand(tmp_path / name)
    with pytest.raises(SourceError, match=words):
        open_image(item.content)


def test_a_playlist_is_not_followed(clip: Path, tmp_path: Path) -> None:
    """FFmpeg would open the video that it names."""
    segment = encode(tmp_path / "segment.ts", counting(10), codec="mpeg2video")
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1.0,\n{segment}\n#EXT-X-ENDLIST\n"
    (tmp_path / "list.mp4").write_text(text)
    with av.open(str(tmp_path / "list.mp4"), format="hls", options={"allowed_extensions": "ALL"}):
        pass  # it is one that can be opened
    with pytest.raises(SourceError, match="no video that can be read"):
        [*VideoFrames(tmp_path / "list.mp4")]


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (VideoLimits(max_pixels=1000), "64 × 48 is more than 1,000 pixels"),
        (VideoLimits(max_seconds=2), "hours long; the limit is"),
        (VideoLimits(max_packets=20), "more than 20 packets"),
        (VideoLimits(max_streams=0), "more than 0 streams"),
    ],
)
def test_limits(limits: VideoLimits, words: str, clip: Path) -> None:
    with pytest.raises(SourceError, match=words):
        [*VideoFrames(clip, ALL, limits=limits)]


def test_sound_alone_has_no_pictures(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(SourceError, match="no moving pictures"):
        [*VideoFrames(tmp_path / "sound.mp4")]


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no such file"):
        [*VideoFrames(tmp_path / "none.mp4")]
    with pytest.raises(SourceError, match="cannot be read"):
        [*VideoFrames(tmp_path)]


def test_a_reader_that_is_left_ends_its_thread(clip: Path) -> None:
    frames: Iterator[object] = iter(VideoFrames(clip, ALL))
    next(frames)
    frames.close()  # type: ignore[attr-defined]
    assert not [t for t in threading.enumerate() if t.name == "unseen-video"]


@pytest.mark.parametrize("every", [-1.0, float("nan"), float("inf")])
def test_a_step_is_a_number(every: float) -> None:
    with pytest.raises(SourceError, match="every is"):
        Sampling(every=every)


def test_names_are_as_they_are(tmp_path: Path) -> None:
    path = encode(tmp_path / "50% naïve: 猫 #1.mp4", films.counting(3))
    assert len([*VideoFrames(path, ALL)]) == 3
