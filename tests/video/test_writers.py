"""What is written of videos: rows, subtitles, spans, a page."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

from films import counting, encode
from unseen.errors import SourceError
from unseen.prediction.prediction import Prediction, Scored
from unseen.video.prediction import Event, Peak, VideoPrediction
from unseen.video.spans import fiftyone, label_studio
from unseen.video.subtitles import srt, vtt
from unseen.video.writers import (
    MOST_TIMES,
    CsvWriter,
    JsonLinesWriter,
    PageWriter,
    strip_of,
    writer_of,
)

NASTY = "</script><b> & --> =1+1\n\n2"


def event(label: str = "a dog", start: float = 1.0, end: float = 2.5) -> Event:
    return Event("clip.mp4", label, start, end, 0.9, Peak(start, 0.95))


def prediction(*events: Event, source: str = "clip.mp4") -> VideoPrediction:
    clip = Prediction(source, (Scored("a dog", 0.8, 0.3),))
    return VideoPrediction(source, clip, events, seconds=10.0, rate=10.0, samples=10, embedded=4)


def test_vtt_is_what_the_standard_says() -> None:
    text = vtt([event(), event(NASTY, 3661.0, 3662.25)])
    assert text.startswith("WEBVTT\n\n00:00:01.000 --> 00:00:02.500\na dog\n\n01:01:01.000 --> ")
    cue = text.split("\n\n")[2]
    assert cue.count("\n") <= 2 and "&lt;/script&gt;&lt;b&gt; &amp; -&gt;" in cue


def test_srt_has_numbers_and_commas() -> None:
    assert srt([event(), event("x", 3, 4)]) == (
        "1\n00:00:01,000 --> 00:00:02,500\na dog\n\n2\n00:00:03,000 --> 00:00:04,000\nx\n"
    )


def test_json_lines_end_with_the_video() -> None:
    lines: list[str] = []
    writer = JsonLinesWriter(lines.append, frames=True)
    frame = Prediction("clip.mp4 at 00:00:01", (Scored("a dog", 0.8, 0.3),), meta={"time": 1.0})
    writer.frame("clip.mp4", frame)
    writer.video(prediction(event()))
    rows = [json.loads(line) for line in lines]
    assert [row["type"] for row in rows] == ["frame", "event", "clip"]
    assert rows[0]["time"] == 1.0 and all(row["source"] == "clip.mp4" for row in rows)


def test_csv_does_no_harm_in_a_spreadsheet() -> None:
    lines: list[str] = []
    writer = CsvWriter(lines.append, frames=False)
    writer.video(prediction(event("=HYPERLINK(1)"), event(NASTY)))
    writer.video(VideoPrediction("b.mp4", error="b.mp4: broken."))
    rows = [*csv.DictReader(io.StringIO("".join(lines), newline=""))]
    assert rows[0]["label"] == "'=HYPERLINK(1)" and rows[1]["label"] == NASTY
    assert float(rows[0]["peak_score"]) == 0.95 and rows[0]["id"] == event("=HYPERLINK(1)").id
    assert rows[2]["source"] == "b.mp4" and rows[2]["error"] == "b.mp4: broken."


def test_frames_in_a_csv() -> None:
    lines: list[str] = []
    writer = CsvWriter(lines.append, frames=True)
    writer.frame("a.mp4", Prediction("x", (Scored("a dog", 0.8, 0.3),), meta={"time": 1.5}))
    (row,) = csv.DictReader(io.StringIO("".join(lines)))
    assert (row["source"], row["time"], row["label"], row["unknown"]) == (
        "a.mp4", "1.5", "a dog", "false"
    )  # fmt: skip


def test_label_studio_counts_frames_from_one() -> None:
    (task,) = label_studio([prediction(event("x", 0.0, 1.0), event("y", 1.0, 2.5))])
    first, second = task["predictions"][0]["result"]
    assert first["value"] == {"ranges": [{"start": 1, "end": 10}], "timelinelabels": ["x"]}
    assert second["value"]["ranges"] == [{"start": 11, "end": 25}]
    assert first["type"] == "timelinelabels" and task["data"]["video"] == "clip.mp4"


def test_fiftyone_has_classes_and_seconds() -> None:
    labels = fiftyone([prediction(event("b"), event("a", 3, 4)), prediction(source="v/c.mp4")])
    assert labels["classes"] == ["a", "b"] and labels["labels"]["v/c"] == []
    assert labels["labels"]["clip"][0] == {
        "label": 1, "timestamps": [1.0, 2.5], "confidence": 0.9
    }  # fmt: skip


def test_fiftyone_does_not_take_two_videos_for_one() -> None:
    ours = fiftyone([prediction(source="x/a.mp4"), prediction(event("b"), source="y/a.mp4")])
    assert [*ours["labels"]] == ["x/a", "y/a"] and len(ours["labels"]["y/a"]) == 1
    assert [*fiftyone([prediction(source="x/y/a.b.mp4")])["labels"]] == ["a.b"]
    with pytest.raises(SourceError, match="FiftyOne knows a video by its name without"):
        fiftyone([prediction(source="a.mkv"), prediction(source="a.mp4")])


def test_a_page_of_a_long_video_holds_some_of_its_times(tmp_path: Path) -> None:
    writer = PageWriter(tmp_path / "out.html", "x")
    for time in range(3 * MOST_TIMES):
        rising = Prediction("x", (Scored("a", time / 12_000, 0.1),), meta={"time": float(time)})
        writer.frame("x", rising)
    assert MOST_TIMES / 2 <= len(writer._times) < MOST_TIMES
    assert writer._times[-1] > 3 * MOST_TIMES - 10
    scores = [time / 12_000 for time in writer._times]
    assert writer._scores["a"] == pytest.approx(scores)


def test_a_page_holds_its_pictures_and_nothing_that_runs(tmp_path: Path) -> None:
    clip = encode(tmp_path / "clip.mp4", counting(30))
    writer = writer_of(tmp_path / "out.html", "unseen")
    for second in range(3):
        meta = {"time": float(second)}
        writer.frame(str(clip), Prediction("x", (Scored(NASTY, 0.4, 0.1),), meta=meta))
    shown = VideoPrediction(
        str(clip), Prediction("x", (Scored(NASTY, 0.8, 0.3),)), (event(NASTY),), seconds=3.0
    )
    writer.video(shown)
    writer.close()
    page = (tmp_path / "out.html").read_text("utf-8")
    data = json.loads(re.findall(r'id="video-0">(.*?)</script>', page, re.DOTALL)[0])
    assert data["href"] == "clip.mp4" and len(data["strip"]) >= 3
    (lane,) = data["lanes"]
    assert lane["label"] == NASTY and lane["scores"] == [0.4] * 3
    assert lane["events"] == [[1.0, 2.5, 0.9]]
    assert page.count("<script") == 3 and "media-src 'self' file:" in page
    assert not re.search(r"https?:|innerHTML|url\(", page)


def test_a_strip_is_short_however_long_the_video(tmp_path: Path) -> None:
    clip = encode(tmp_path / "clip.mp4", counting(300), gop=10)
    strip = strip_of(clip, 30.0)
    assert 15 <= len(strip) <= 36 and all(picture.startswith(b"\xff\xd8") for _, picture in strip)
    assert strip_of(tmp_path / "none.mp4", 3.0) == []


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"written as \.jsonl, \.csv, \.json"):
        writer_of(tmp_path / "out.xml", "unseen")
    writer = writer_of(tmp_path / "out.vtt", "unseen")
    writer.video(prediction())
    with pytest.raises(SourceError, match="subtitles are of one video"):
        writer.video(prediction())
