"""Sources followed: streams that break, networks that are slow, folders that are filled."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cameras import Colours, Sender, coloured, http_camera, transport_stream
from films import encode, gif
from unseen.errors import SourceError
from unseen.monitoring.backoff import Backoff
from unseen.monitoring.readers import Reading
from unseen.monitoring.rules import Rule
from unseen.monitoring.watching import Watch, WatchOptions

QUICK = Reading(every=0.1, backoff=lambda: Backoff(0.05, 0.3), settled=0.1)
OPTIONS = WatchOptions(min_seconds=0.5, reading=QUICK)
DEADLINE = 60.0  # seconds: far more than any of this takes


def until(watch: Watch, done: Any) -> list[dict[str, Any]]:
    """All messages, until `done` of them says so; then it is stopped."""
    timer = threading.Timer(DEADLINE, watch.stop)
    timer.start()
    messages: list[dict[str, Any]] = []
    for message in watch:
        messages.append(message)
        if done(messages):
            watch.stop()
    timer.cancel()
    return messages


def of_type(messages: list[dict[str, Any]], *kinds: str) -> list[tuple[str, str]]:
    return [(m["type"], m["label"]) for m in messages if m["type"] in kinds]


def states(messages: list[dict[str, Any]]) -> list[str]:
    return [m["state"] for m in messages if m["type"] == "health"]


def test_a_stream_that_breaks_and_comes_back_loses_no_event(tmp_path: Path) -> None:
    """Red goes on after the break, and is one event."""
    first = transport_stream(tmp_path / "a.ts", [("red", 12)])
    second = transport_stream(tmp_path / "b.ts", [("red", 10), ("blue", 14), ("grey", 14)])
    camera = Sender()

    def send() -> None:
        camera.send(first, 1.2)
        camera.send(second, 3.8)

    threading.Thread(target=send, daemon=True).start()
    watch = Watch([f"door={camera.url}"], Colours(), OPTIONS)
    messages = until(watch, lambda all_: states(all_).count("lost") == 2)
    camera.close()
    assert of_type(messages, "new", "end") == [
        ("new", "red"), ("end", "red"), ("new", "blue"), ("end", "blue")
    ]  # fmt: skip
    assert states(messages)[:3] == ["connected", "lost", "connected"]
    ids = [m["id"] for m in messages if m["type"] == "new"]
    assert len(set(ids)) == 2 and {m["source"] for m in messages} == {"door"}
    ends = [m for m in messages if m["type"] == "end"]
    assert [m["id"] for m in ends] == ids and ends[0]["end"] - ends[0]["start"] > 1.2
    assert abs(ends[0]["start"] - time.time()) < 2 * DEADLINE
    assert watch.counts["door"].connections == 2


def test_a_slow_network_never_blocks_the_sender(tmp_path: Path) -> None:
    """Every packet is read, though one sample in ten can be looked at; the newest is."""
    content = transport_stream(tmp_path / "a.ts", [("red", 40), ("blue", 40)], noise=True)
    camera, sent = Sender(), threading.Event()

    def send() -> None:
        camera.send(content, 4.0)
        sent.set()

    threading.Thread(target=send, daemon=True).start()
    reading = Reading(every=0.05, backoff=QUICK.backoff)
    options = WatchOptions(min_seconds=0.1, reading=reading, slow_seconds=1.0)
    watch = Watch([camera.url], Colours(seconds=0.4), options)
    messages = until(watch, lambda all_: "lost" in states(all_))
    camera.close()
    counts = watch.counts[camera.url]
    assert sent.is_set() and counts.frames == 80
    assert 0 < counts.samples < counts.due / 2 and counts.shed == counts.due - counts.samples
    assert ("new", "blue") in of_type(messages, "new")
    slow = next(m for m in messages if m.get("state") == "slow")
    assert "looked at" in slow["detail"] and "samples" in watch.summary()[0]


def test_a_stream_may_come_to_us(tmp_path: Path) -> None:
    """`?listen=1`: the camera connects."""
    content = transport_stream(tmp_path / "a.ts", [("green", 20)])
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    watch = Watch([f"tcp://127.0.0.1:{port}?listen=1"], Colours(), OPTIONS)

    def send() -> None:
        for _ in range(100):
            try:
                with socket.create_connection(("127.0.0.1", port)) as connection:
                    connection.sendall(content)
                    return
            except OSError:
                time.sleep(0.05)

    threading.Thread(target=send, daemon=True).start()
    messages = until(watch, lambda all_: "lost" in states(all_))
    assert ("new", "green") in of_type(messages, "new")


def test_mjpeg_and_a_picture_that_is_fetched_again(tmp_path: Path) -> None:
    with http_camera(["red"] * 15 + ["blue"] * 15) as url:
        watch = Watch([f"a={url}/stream", f"b={url}/still.jpg"], Colours(), OPTIONS)
        messages = until(
            watch, lambda all_: ("lost" in states(all_)) and watch.counts["b"].samples > 8
        )
    news = {(m["source"], m["label"]) for m in messages if m["type"] == "new"}
    assert {("a", "red"), ("a", "blue"), ("b", "red")} <= news


def test_what_is_not_there_is_tried_again_and_said_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    watch = Watch([f"rtsp://user:secret@127.0.0.1:{port}/x"], Colours(), OPTIONS)
    threading.Timer(1.5, watch.stop).start()
    messages = list(watch)
    assert states(messages) == ["lost"]
    assert "secret" not in str(messages) and "secret" not in str(watch.summary())


def test_an_animation_in_a_folder_is_a_video_and_a_still_one_a_picture(tmp_path: Path) -> None:
    pictures = [coloured("red")] * 2 + [coloured("blue")] * 2
    gif(tmp_path / "a.webp", pictures, 500)
    gif(tmp_path / "b.webp", [coloured("green")], 500)
    watch = Watch([tmp_path], Colours(), OPTIONS)
    messages = until(watch, lambda all_: states(all_).count("done") == 2)
    news = {(Path(m["source"]).name, m["label"]) for m in messages if m["type"] == "new"}
    assert {("a.webp", "red"), ("a.webp", "blue")} <= news
    assert not any(name == "b.webp" for name, _ in news)


def test_a_folder_that_is_being_filled(tmp_path: Path) -> None:
    """Files are looked at once, when they are complete; one that is there is, too."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "notes.txt").write_text("no picture")
    Image.fromarray(coloured("red")).save(folder / "a.jpg")

    def fill() -> None:
        time.sleep(0.4)
        film = encode(tmp_path / "b.mp4", [coloured("blue")] * 20).read_bytes()
        with (folder / "b.mp4").open("wb") as file:
            file.write(film[: len(film) // 2])
            file.flush()
            time.sleep(0.05)
            file.write(film[len(film) // 2 :])

    threading.Thread(target=fill).start()
    watch = Watch([folder], Colours(), OPTIONS)
    messages = until(watch, lambda all_: states(all_).count("done") == 2)
    assert "damaged" not in states(messages)
    news = [(Path(m["source"]).name, m["label"]) for m in messages if m["type"] == "new"]
    assert sorted(news) == [("b.mp4", "blue"), ("folder", "red")]
    assert {m["watched"] for m in messages} == {str(folder)}
    done = [m["source"] for m in messages if m.get("state") == "done"]
    again = Watch(
        [folder], Colours(), WatchOptions(reading=Reading(every=0.1, settled=0.1, done=done))
    )
    threading.Timer(0.8, again.stop).start()
    assert [m["type"] for m in again] == ["health"]


def test_a_file_is_a_rehearsal_of_rules(tmp_path: Path) -> None:
    """All samples of it are looked at, however slow that is; its times are those of the file."""
    film = encode(tmp_path / "a.mp4", [coloured("red")] * 20 + [coloured("blue")] * 30)
    rule = Rule("blue for long", ("blue",), seconds=2.0, gone=0.5)
    reading = Reading(every=0.2, begins=1000.0)
    watch = Watch([film], Colours(), WatchOptions(0.6, (rule,), reading=reading))
    messages = until(watch, lambda all_: False)
    alarms = [m for m in messages if m.get("rule")]
    assert [(m["type"], m["rule"]) for m in alarms] == [
        ("new", "blue for long"), ("end", "blue for long")
    ]  # fmt: skip
    assert alarms[0]["start"] == pytest.approx(2.0, abs=0.2)
    assert alarms[0]["start_time"].startswith("1970-01-01T00:16:42")
    assert watch.counts[str(film)].shed == 0
    first = [m["id"] for m in messages if m["type"] == "new"]
    again = Watch([film], Colours(), WatchOptions(0.6, (rule,), reading=reading))
    assert [m["id"] for m in again if m["type"] == "new"] == first


def test_a_broken_file_is_said_and_the_others_go_on(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no film" * 100)
    film = encode(tmp_path / "good.mp4", [coloured("red")] * 20)
    messages = until(Watch([broken, film], Colours(), OPTIONS), lambda all_: False)
    damaged = [m for m in messages if m.get("state") == "damaged"]
    assert len(damaged) == 1 and "broken.mp4" in damaged[0]["detail"]
    assert of_type(messages, "new") == [("new", "red")]


def test_what_is_no_source_is_refused(tmp_path: Path) -> None:
    for given, words in (
        (["nowhere.mp4"], "no such file"),
        ([], "no source"),
        ([tmp_path, tmp_path], "give each a name of its own"),
        (["door=nowhere"], "no such file"),
    ):
        with pytest.raises(SourceError, match=words):
            Watch(given, Colours(), OPTIONS)
    with pytest.raises(SourceError, match="every"):
        WatchOptions(reading=Reading(every=0))
