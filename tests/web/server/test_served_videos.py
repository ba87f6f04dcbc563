"""`POST /v1/video`: what it says is what the library says; what a stranger sends harms nobody."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

import unseen
from asking import png
from films import counting, encode, gif, story
from serving import Served, serving, until
from unseen import video
from unseen.load_options import LoadOptions
from unseen.web.server.apis.schemas import GIF
from unseen.web.server.core.settings import ServerLimits, Settings

LABELS = ["a red circle", "a blue square", "a green star"]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pictures = story([("a red circle", 50), ("a blue square", 70)])
    return encode(tmp_path_factory.mktemp("film") / "film.mp4", pictures, gop=10)


@pytest.fixture(scope="module")
def narrow(shapes_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Of low limits."""
    limits = ServerLimits(
        video_samples=6, video_pixels=200 * 200, video_seconds=60.0, body_bytes=2**20
    )
    store = tmp_path_factory.mktemp("narrow") / "labelsets.sqlite"
    settings = Settings(LoadOptions(str(shapes_clip)), label_store=store, limits=limits)
    with serving(settings) as served:
        yield served


def post(client: httpx.Client, content: bytes, name: str = "film.mp4", **fields: Any) -> Any:
    data = {"labels": ",".join(LABELS), **fields}
    return client.post("/v1/video", files={"video": (name, content)}, data=data, timeout=60)


def test_it_says_what_the_library_says(
    client: httpx.Client, classifier: unseen.Classifier, film: Path
) -> None:
    answer = post(client, film.read_bytes(), frames="true", min_seconds="1.5", every="0.5")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    expected = video.classify(
        film,
        LABELS,
        classifier=classifier,
        sampling=video.Sampling(every=0.5),
        min_seconds=1.5,
    )
    assert body["fingerprint"] == classifier.model.fingerprint and body["warnings"] == []
    assert [(e["label"], e["start"], e["end"]) for e in body["events"]] == [
        (e.label, e.start, e.end) for e in expected.events
    ]
    assert [e["label"] for e in body["events"]] == LABELS[:2]
    for event, other in zip(body["events"], expected.events, strict=True):
        assert event["type"] == "event" and event["source"] == "film.mp4"
        assert event["score"] == pytest.approx(other.score, abs=1e-4)
    clip = expected.clip_row()
    assert body["clip"].keys() == clip.keys()
    for key in ("type", "label", "seconds", "samples", "embedded", "left_out"):
        assert body["clip"][key] == clip[key], key
    assert [f["time"] for f in body["frames"]] == [f.meta["time"] for f in expected.frames]
    assert [f["label"] for f in body["frames"]] == [f.label for f in expected.frames]


def test_json_an_animation_and_a_stored_set(client: httpx.Client, tmp_path: Path) -> None:
    put = client.put("/v1/labelsets/shapes", json={"labels": LABELS})
    assert put.status_code in (200, 201)
    path = gif(tmp_path / "a.gif", story([("a red circle", 4), ("a green star", 4)]), 1000)
    text = base64.b64encode(path.read_bytes()).decode()
    for sent in (text, f"data:image/gif;base64,{text}"):
        body = client.post("/v1/video", json={"video": sent, "labelset": "shapes"}).json()
        assert [e["label"] for e in body["events"]] == ["a red circle", "a green star"]
        assert body["labelset"]["name"] == "shapes" and "frames" not in body
        assert body["clip"]["source"] == "video"


def test_options_are_those_of_classify(client: httpx.Client, film: Path) -> None:
    several = post(client, film.read_bytes(), multi_label="true").json()
    assert {e["label"] for e in several["events"]} == set(LABELS[:2])
    few = post(client, film.read_bytes(), top_k="1", frames="true", keyframes="true").json()
    assert {len(f["ranking"]) for f in few["frames"]} == {1}
    assert len(few["frames"]) == 12
    none = post(client, film.read_bytes(), unknown="auto").json()
    assert "evidence" in none["clip"]


def test_a_cut_video_is_an_answer_with_its_error(client: httpx.Client, tmp_path: Path) -> None:
    whole = encode(tmp_path / "a.mkv", story([("a red circle", 200)])).read_bytes()
    answer = post(client, whole[: len(whole) // 2], "../holiday.mkv")
    assert answer.status_code == 200
    body = answer.json()
    assert body["clip"]["error"].startswith("holiday.mkv: ") and body["clip"]["samples"] >= 2
    assert [e["label"] for e in body["events"]] == ["a red circle"]


@pytest.mark.parametrize(
    "content",
    [b"", b"no video at all", b"GIF89a" + b"\0" * 40, b"#EXTM3U\nhttp://127.0.0.1/a.ts\n"],
)
def test_what_is_no_video(client: httpx.Client, content: bytes) -> None:
    answer = post(client, content)
    assert answer.status_code == 400, answer.text
    body = answer.json()
    assert body["code"] == "bad_video" and body["detail"].startswith("film.mp4: ")
    assert "/tmp" not in body["detail"]


def test_what_does_not_fit_the_schema(client: httpx.Client) -> None:
    for body, words in (
        ({"labels": LABELS}, "video"),
        ({"video": GIF, "labels": LABELS, "every": 0}, "every"),
        ({"video": GIF, "labels": LABELS, "min_seconds": -1}, "min_seconds"),
        ({"video": GIF}, "labels"),
    ):
        answer = client.post("/v1/video", json=body)
        assert answer.status_code == 422 and words in answer.json()["detail"]
    assert client.post("/v1/video", json={"video": "?", "labels": LABELS}).status_code == 400
    two = [("video", ("a", b"a")), ("video", ("b", b"b"))]
    answer = client.post("/v1/video", files=two, data={"labels": "a,b"})
    assert answer.status_code == 413
    url = client.post("/v1/video", json={"video": "http://127.0.0.1/a.mp4", "labels": LABELS})
    assert url.status_code == 400 and "--urls" in url.json()["detail"]


def test_limits(narrow: Served, film: Path, tmp_path: Path) -> None:
    with narrow.client() as client:
        answer = post(client, film.read_bytes())
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["clip"]["samples"] == 6 and "more than 6 samples" in body["clip"]["error"]
        large = encode(tmp_path / "a.mp4", counting(5, 240, 320)).read_bytes()
        answer = post(client, large)
        assert answer.status_code == 400 and "more than 40,000 pixels" in answer.json()["detail"]
        long = encode(tmp_path / "b.mp4", counting(3), times=[0, 100, 70_000]).read_bytes()
        answer = post(client, long)
        assert answer.status_code == 400 and "hours" in answer.json()["detail"]
        assert post(client, b"\0" * 2**20).status_code == 413


def test_one_at_a_time_and_pictures_go_on(narrow: Served, tmp_path: Path) -> None:
    """Videos wait for one another, and are refused when too many wait; a picture is not."""
    path = encode(tmp_path / "a.avi", counting(300, 190, 190), codec="mjpeg", rate=10)
    content = path.read_bytes()
    assert len(content) < 2**20
    answers: list[int] = []
    with ThreadPoolExecutor(8) as pool, narrow.client() as client:
        asked = [pool.submit(post, client, content, every="0.01") for _ in range(8)]
        picture = {"image": base64.b64encode(png("a red circle")).decode(), "labels": LABELS}
        while not all(one.done() for one in asked):
            answers.append(client.post("/v1/classify", json=picture).status_code)
            time.sleep(0.05)
        statuses = sorted(one.result().status_code for one in asked)
    assert statuses[:3] == [200] * 3 and statuses[-1] == 503 and set(statuses) == {200, 503}
    assert set(answers) == {200}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_client_who_goes_away_leaves_no_process(server: Served, tmp_path: Path) -> None:
    content = encode(tmp_path / "a.avi", counting(3000), codec="mjpeg", rate=100).read_bytes()

    def decoders() -> int:
        """Of this process: others may run tests, too."""
        number = 0
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                code = b"unseen.video.isolated import send"
                number += parent == os.getpid() and code in (entry / "cmdline").read_bytes()
        return number

    with server.client() as client:
        sent = client.build_request(
            "POST",
            "/v1/video",
            files={"video": ("a.avi", content)},
            data={"labels": "a,b", "every": "0.01"},
        )
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.headers.items())
    with socket.create_connection((sent.url.host, sent.url.port), timeout=60) as sock:
        sock.sendall(f"POST /v1/video HTTP/1.1\r\n{head}\r\n".encode() + sent.read())
        until(lambda: decoders() > 0)
    until(lambda: decoders() == 0)
    with server.client() as client:
        again = client.post("/v1/video", json={"video": GIF, "labels": LABELS}, timeout=60)
    assert again.status_code == 200


def test_without_pyav_the_extra_is_named(
    client: httpx.Client, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    answer = post(client, film.read_bytes())
    assert answer.status_code == 501 and answer.json()["code"] == "missing_extra"
    assert 'pip install "unseen[video]"' in answer.json()["detail"]
