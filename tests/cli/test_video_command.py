"""`unseen video`: rows, formats, resume, what is broken; and videos in the other commands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from films import encode, gif, story
from running import unseen as run
from unseen.images.open import open_image

RED, BLUE, GREEN = "a red circle", "a blue square", "a green star"
LABELS = f"{RED},{BLUE},{GREEN}"
FAST = ("--every", "250ms", "--min-seconds", "1")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    encode(folder / "a.mp4", story([(RED, 30), (BLUE, 30)]), gop=10)
    encode(folder / "b.mkv", story([(GREEN, 40)]), gop=10)
    (folder / "c.mp4").write_bytes(b"no video")
    return folder


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_rows_are_as_promised_and_a_broken_file_is_one(
    films: Path, tmp_path: Path, shapes_clip: Path
) -> None:
    out = tmp_path / "out.jsonl"
    done = run("video", films, "-l", LABELS, "-m", shapes_clip, *FAST, "-o", out, code=1)
    events = [row for row in rows(out) if row["type"] == "event"]
    assert [(e["label"], Path(e["source"]).name) for e in events] == [
        (RED, "a.mp4"), (BLUE, "a.mp4"), (GREEN, "b.mkv")
    ]  # fmt: skip
    assert [*events[0]] == ["type", "id", "source", "label", "start", "end", "score", "peak"]
    clips = [row for row in rows(out) if row["type"] == "clip"]
    assert len(clips) == 3 and "no video that can be read" in clips[2]["error"]
    assert "c.mp4" in done.stderr and "3 videos; 3 events" in done.stderr
    assert json.loads((tmp_path / "out.jsonl.run.json").read_text())["complete"] is True


def test_a_run_goes_on_where_it_stopped(films: Path, tmp_path: Path, shapes_clip: Path) -> None:
    out = tmp_path / "out.jsonl"
    one = ("video", films / "a.mp4", "-l", LABELS, "-m", shapes_clip, *FAST, "--frames")
    run(*one, "-o", out)
    whole = out.read_text("utf-8")
    assert whole.count('"frame"') == 24
    # Rows of a video that did not end, and half a row.
    first = whole.splitlines(keepends=True)[0].replace("a.mp4", "b.mkv")
    out.write_text(whole + first + first[:30], "utf-8")
    both = ("video", films / "a.mp4", films / "b.mkv", *one[2:])
    again = run(*both, "-o", out, "--resume")
    assert "1 done before" in again.stderr
    assert out.read_text("utf-8").startswith(whole)
    assert [row["source"] for row in rows(out) if row["type"] == "clip"] == [
        str(films / "a.mp4"), str(films / "b.mkv")
    ]  # fmt: skip
    assert "Nothing left to do" in run(*both, "-o", out, "--resume").stderr
    other = run(*both[:-1], "-o", out, "--resume", code=2)
    assert "options" in other.stderr
    assert "already exists" in run(*both, "-o", out, code=2).stderr


@pytest.mark.parametrize(
    ("suffix", "start"),
    [
        (".vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:0"),
        (".srt", "1\n00:00:00,000 --> 00:00:0"),
        (".csv", "source,label,start,end,score,peak_time,peak_score,id,error\n"),
        (".html", "<!doctype html>"),
        (".json", "[\n"),
    ],
)
def test_formats(suffix: str, start: str, films: Path, tmp_path: Path, shapes_clip: Path) -> None:
    out = tmp_path / f"out{suffix}"
    run("video", films / "a.mp4", "-l", LABELS, "-m", shapes_clip, *FAST, "-o", out)
    assert out.read_text("utf-8").startswith(start) and RED in out.read_text("utf-8")


def test_clips_and_the_label_of_the_whole(films: Path, tmp_path: Path, shapes_clip: Path) -> None:
    clips = tmp_path / "clips"
    one = ("video", films / "a.mp4", "-l", LABELS, "-m", shapes_clip)
    done = run(*one, *FAST, "--clips", clips, "--jsonl")
    assert len([*clips.iterdir()]) == 2 and "2 clips" in done.stderr
    assert [json.loads(line)["type"] for line in done.stdout.splitlines()][-1] == "clip"
    alone = run("video", films / "b.mkv", "-l", LABELS, "-m", shapes_clip, "--clip-label")
    assert alone.stdout.splitlines() == [alone.stdout.strip()] and GREEN in alone.stdout


def test_for_people_and_for_programs(films: Path, tmp_path: Path, shapes_clip: Path) -> None:
    path = gif(tmp_path / "a.gif", story([(RED, 4), (BLUE, 4)]), 500)
    shown = run("video", path, "-l", LABELS, "-m", shapes_clip, "--min-seconds", "1").stdout
    assert "  00:00:00.000  00:00:02.000  " in shown and shown.count("\n") == 3
    (whole,) = json.loads(run("video", path, "-l", LABELS, "-m", shapes_clip, "--json").stdout)
    assert whole["type"] == "clip" and len(whole["events"]) == 2
    spans = tmp_path / "tasks.json"
    run(
        "video", path, "-l", LABELS, "-m", shapes_clip, "--spans", "label-studio", "-o", spans
    )  # fmt: skip
    assert json.loads(spans.read_text())[0]["predictions"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--every", "soon"), "--every is 'soon'; give a time, such as 1s"),
        (("--every", "0"), "--every is '0'"),
        (("--keyframes", "--all"), "give one of --keyframes and --all"),
        (("--json", "--jsonl"), "give one of --json, --jsonl and -o"),
        (("--resume",), "--resume needs a file"),
        (("--spans", "xml"), "choose one of: unseen, label-studio, fiftyone"),
        (("-o", "out.xml"), "videos are written as .jsonl"),
        (("-o", "out.vtt"), "subtitles are of one video, and 3 were given"),
        (("-o", "out.csv", "--resume"), "--resume needs a .jsonl file"),
    ],
)
def test_mistakes_are_one_sentence(
    options: tuple[str, ...], words: str, films: Path, shapes_clip: Path
) -> None:
    done = run("video", films, "-l", LABELS, "-m", shapes_clip, *options, code=2)
    assert words in done.stderr and done.stderr.count("\n") <= 2


def test_without_pyav_the_line_to_install_it(films: Path) -> None:
    code = (
        "import sys; sys.modules['av'] = None; sys.argv = ['unseen', 'video', "
        f"{str(films / 'a.mp4')!r}, '-l', 'cat,dog']; from unseen.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert 'reading a video needs av, which is not installed: pip install "unseen[video]"' in (
        done.stderr
    )


# the other commands


def test_classify_and_embed_take_a_video(films: Path, tmp_path: Path, shapes_clip: Path) -> None:
    out = tmp_path / "out.csv"
    run("classify", films / "a.mp4", "-l", LABELS, "-m", shapes_clip, "-o", out)
    lines = out.read_text("utf-8").splitlines()
    assert lines[0].startswith("source,label,score,unknown,error,video,time,until")
    assert len(lines) == 7 and f"{films / 'a.mp4'} at 00:00:03,a blue square" in lines[4]
    vectors = tmp_path / "v.npy"
    run("embed", films / "a.mp4", "-o", vectors, "-m", shapes_clip)
    assert len(np.load(vectors)) == 6


def test_an_index_answers_with_a_time(films: Path, tmp_path: Path, shapes_clip: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    for name in ("a.mp4", "b.mkv"):
        (folder / name).write_bytes((films / name).read_bytes())
    (folder / "photo.jpg").write_bytes(Path("examples/cat.jpg").read_bytes())
    first = json.loads(run("index", folder, "--videos", "-m", shapes_clip, "--json").stdout)
    assert (first["encoded"], first["videos"], first["frames"]) == (1, 2, 10)
    found = run("search", BLUE, "--index", folder, "--top", "3").stdout.splitlines()
    assert all("a.mp4 at 00:00:0" in line for line in found)
    page = tmp_path / "found.html"
    run("search", GREEN, "--index", folder, "--top", "2", "--html", page)
    assert "b.mkv#t=" in page.read_text("utf-8") and "image/jpeg" in page.read_text("utf-8")
    # Nothing changed; then one is moved, one is gone, one is broken.
    second = json.loads(run("index", folder, "-m", shapes_clip, "--json").stdout)
    assert (second["unchanged"], second["videos"], second["missing"]) == (3, 0, 0)
    (folder / "a.mp4").rename(folder / "moved.mp4")
    (folder / "b.mkv").unlink()
    (folder / "c.mp4").write_bytes(b"no video")
    third = json.loads(run("index", folder, "-m", shapes_clip, "--json", code=1).stdout)
    assert (third["known"], third["videos"], third["failed"]) == (1, 1, 1)
    assert third["missing"] == 10
    found = run("search", BLUE, "--index", folder, "--top", "3").stdout.splitlines()
    assert len(found) == 3 and all("moved.mp4 at 00:00:0" in line for line in found)
    answers = run("classify", folder, "-l", LABELS, "-m", shapes_clip, "--jsonl", code=1).stdout
    answered = [json.loads(line) for line in answers.splitlines()]
    assert sum("moved.mp4 at" in row["source"] for row in answered) == 6
    assert any(row.get("meta", {}).get("time") == 3.0 for row in answered)


def test_what_differs_in_a_video_is_labelled(
    films: Path, tmp_path: Path, shapes_clip: Path
) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes((films / "a.mp4").read_bytes())
    done = run("label", path, "-l", LABELS, "-m", shapes_clip)
    files = sorted((tmp_path / "clip-frames").glob("*.jpg"))
    assert 2 <= len(files) <= 6 and f"{len(files)} frames that differ" in done.stderr
    assert np.asarray(open_image(files[0])).shape == (96, 96, 3)
    labelled = json.loads(run("label", "info", tmp_path / "clip-frames", "--json").stdout)
    assert sum(labelled["piles"].values()) == len(files)
