"""What is written of videos: JSON lines, CSV, JSON, subtitles, a page; each a small writer."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from unseen.errors import SourceError
from unseen.images.thumbnails import thumbnail
from unseen.pages import Lane, VideoTimeline, link, timeline
from unseen.prediction.prediction import Prediction
from unseen.results.result_file import writing
from unseen.results.spreadsheet import harmless
from unseen.sources.packets import Sampling
from unseen.system.cache import write_atomically
from unseen.video.frames import ANIMATIONS, frames_of, readable
from unseen.video.prediction import VideoPrediction, frame_row, rounded
from unseen.video.spans import fiftyone, label_studio
from unseen.video.subtitles import srt, vtt

STRIP = 24  # pictures of a video on a page
STRIP_SIDE = 96  # pixels
MOST_TIMES = 4_000  # that a page's lanes are made of, however long the video; it draws fewer
EVENT_COLUMNS = ("source", "label", "start", "end", "score", "peak_time", "peak_score", "id")
FRAME_COLUMNS = ("source", "time", "label", "score", "unknown")


class VideoWriter(Protocol):
    """Takes the frames of a video, if it wants them, and then the video."""

    wants_frames: bool

    def frame(self, source: str, frame: Prediction) -> None:
        """Take a frame."""

    def video(self, prediction: VideoPrediction) -> None:
        """Take a video, after its frames."""

    def close(self) -> None:
        """Write what is left."""


Lines = Callable[[str], None]  # takes whole lines, each with its end


class JsonLinesWriter:
    """A row an event, after them a row a video; with `frames` a row a frame before them."""

    def __init__(self, write: Lines, *, frames: bool) -> None:
        self._write, self.wants_frames = write, frames

    def frame(self, source: str, frame: Prediction) -> None:
        self._row(frame_row(source, frame))

    def video(self, prediction: VideoPrediction) -> None:
        for row in prediction.rows():
            self._row(row)

    def close(self) -> None:
        return None

    def _row(self, row: dict[str, Any]) -> None:
        self._write(json.dumps(row, ensure_ascii=False) + "\n")


class CsvWriter:
    """A row an event, or with `frames` a row a frame; of a video that is broken its error."""

    def __init__(self, write: Lines, *, frames: bool) -> None:
        self._write, self.wants_frames = write, frames
        self._columns = (*(FRAME_COLUMNS if frames else EVENT_COLUMNS), "error")
        write(",".join(self._columns) + "\n")

    def frame(self, source: str, frame: Prediction) -> None:
        row = frame_row(source, frame)
        score = "" if frame.score is None else f"{frame.score:.6f}"
        self._row({**row, "score": score, "unknown": str(frame.unknown).lower()})

    def video(self, prediction: VideoPrediction) -> None:
        if not self.wants_frames:
            for event in prediction.events:
                peak = {"peak_time": rounded(event.peak.time), "peak_score": event.peak.score}
                self._row({**event.to_dict(), **peak})
        if prediction.error is not None:
            self._row({"source": prediction.source, "error": prediction.error})

    def close(self) -> None:
        return None

    def _row(self, row: dict[str, Any]) -> None:
        cells = ["" if row.get(c) is None else harmless(str(row[c])) for c in self._columns]
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerow(cells)
        self._write(text.getvalue())


class WholeFile:
    """What is written when all videos are there: `text` makes it of their predictions."""

    def __init__(
        self, path: Path, text: Callable[[list[VideoPrediction]], str], *, single: bool = False
    ) -> None:
        self.wants_frames = False
        self._path, self._text, self._single = path, text, single
        self._videos: list[VideoPrediction] = []

    def frame(self, source: str, frame: Prediction) -> None:
        return None

    def video(self, prediction: VideoPrediction) -> None:
        if self._single and self._videos:
            raise SourceError(
                f"{self._path}: subtitles are of one video; give one, or write .jsonl, .csv or "
                ".html."
            )
        self._videos.append(prediction)

    def close(self) -> None:
        with writing(self._path):
            text = self._text(self._videos)
            write_atomically(self._path, text.encode("utf-8", "backslashreplace"))


class PageWriter:
    """A page with a timeline of each video."""

    wants_frames = True

    def __init__(self, path: Path, title: str) -> None:
        self._path, self._title = path, title
        self._videos: list[VideoTimeline] = []
        self._begin()

    def _begin(self) -> None:
        self._times: list[float] = []
        self._scores: dict[str, list[float]] = {}
        self._count, self._step = 0, 1  # frames so far; one of so many is held

    def frame(self, source: str, frame: Prediction) -> None:
        self._count += 1
        if (self._count - 1) % self._step:
            return
        time = frame.meta.get("time")
        self._times.append(float(time) if isinstance(time, (int, float)) else 0.0)
        for label, score in frame.probabilities.items():
            lane = self._scores.setdefault(label, [0.0] * (len(self._times) - 1))
            lane.append(score)
        for lane in self._scores.values():
            lane.extend([0.0] * (len(self._times) - len(lane)))
        if len(self._times) == MOST_TIMES:
            self._step *= 2
            for numbers in (self._times, *self._scores.values()):
                del numbers[1::2]

    def video(self, prediction: VideoPrediction) -> None:
        events: dict[str, list[tuple[float, float, float]]] = {}
        for event in prediction.events:
            events.setdefault(event.label, []).append((event.start, event.end, event.score))
        lanes = [
            Lane(label, self._scores.get(label, []), events.get(label, []))
            for label in dict.fromkeys([*events, *self._scores])
        ]
        source = Path(prediction.source)
        self._videos.append(
            VideoTimeline(
                prediction.source,
                prediction.seconds or 0.0,
                lanes,
                self._times,
                strip_of(source, prediction.seconds),
                link(source, self._path) if source.is_file() else None,
                prediction.label or "",
                prediction.error or "",
                source.suffix.lower() not in ANIMATIONS,
            )
        )
        self._begin()

    def close(self) -> None:
        with writing(self._path):
            timeline(self._path, self._title, self._videos)


def strip_of(path: Path, seconds: float | None) -> list[tuple[float, bytes]]:
    """Some small pictures of a video, with their times; as many as can be read."""
    from PIL import Image  # noqa: PLC0415 - a page alone needs it

    if not seconds:
        return []
    frames = frames_of(path, Sampling(every=seconds / STRIP), side=STRIP_SIDE)
    strip: list[tuple[float, bytes]] = []
    for frame in readable(frames, []):
        if frame.pixels is not None:
            strip.append((frame.time, thumbnail(Image.fromarray(frame.pixels), 2 * STRIP_SIDE)))
        elif strip:
            strip.append((frame.time, strip[-1][1]))
    return strip


def _json(videos: list[VideoPrediction]) -> str:
    return _dumped([video.to_dict() for video in videos])


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


# What a .json file holds → how it is made.
JSON_KINDS: dict[str, Callable[[list[VideoPrediction]], str]] = {
    "unseen": _json,
    "label-studio": lambda videos: _dumped(label_studio(videos)),
    "fiftyone": lambda videos: _dumped(fiftyone(videos)),
}
SUBTITLES: dict[str, Callable[[list[VideoPrediction]], str]] = {
    ".vtt": lambda videos: vtt(videos[0].events if videos else ()),
    ".srt": lambda videos: srt(videos[0].events if videos else ()),
}
LINES: dict[str, Callable[..., VideoWriter]] = {".jsonl": JsonLinesWriter, ".csv": CsvWriter}
SUFFIXES = (*LINES, ".json", *SUBTITLES, ".html")


def writer_of(path: Path, json_kind: str) -> VideoWriter:
    """What writes a file of .json, .vtt, .srt or .html; SourceError for another suffix."""
    suffix = path.suffix.lower()
    if suffix == ".json":
        return WholeFile(path, JSON_KINDS[json_kind])
    if suffix in SUBTITLES:
        return WholeFile(path, SUBTITLES[suffix], single=True)
    if suffix == ".html":
        return PageWriter(path, "Videos")
    raise SourceError(f"{path}: videos are written as {', '.join(SUFFIXES)}.")
