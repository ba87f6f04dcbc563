"""`GET /v1/watch`: messages as they come, to listeners who come, go, come back and do not read."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from asking import KEY
from films import encode, story
from serving import Served, commanded, serving, until
from unseen.load_options import LoadOptions
from unseen.web.server.core.settings import ServerLimits, Settings
from unseen.web.server.core.video import watch_service
from unseen.web.server.core.video.watch_service import UNREAD, Listener
from unseen.web.server.http import keys

LABELS = "a red circle\na blue square\na green star\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That is being filled."""
    folder = tmp_path_factory.mktemp("watched")
    (folder / "door").mkdir()
    (folder / "shapes.txt").write_text(LABELS)
    return folder


@pytest.fixture(scope="module")
def watching(shapes_clip: Path, folder: Path) -> Iterator[Served]:
    settings = Settings(
        LoadOptions(str(shapes_clip)),
        labels=(folder / "shapes.txt",),
        label_store=folder / "sets.sqlite",
        watch=(f"door={folder / 'door'}",),
        limits=ServerLimits(listeners=3, seconds=4.0),
    )
    with serving(settings) as served:
        yield served


def fill(folder: Path, name: str, *labels: str) -> None:
    part = folder / f".{name}"
    encode(part.with_suffix(".mp4"), story([(label, 50) for label in labels]), gop=5)
    part.with_suffix(".mp4").rename(folder / "door" / f"{name}.mp4")


@contextlib.contextmanager
def listening(served: Served, **headers: str) -> Iterator[Iterator[dict[str, Any]]]:
    """The events, as a client of server-sent events has them; comments are left out."""
    timeout = httpx.Timeout(30)
    with httpx.stream("GET", f"{served.url}/v1/watch", headers=headers, timeout=timeout) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")

        def events() -> Iterator[dict[str, Any]]:
            event: dict[str, Any] = {}
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if line and name:
                    event[name] = value
                elif event:
                    yield event | {"data": json.loads(event["data"])}
                    event = {}

        yield events()


def test_messages_come_and_a_client_comes_back(watching: Served, folder: Path) -> None:
    with listening(watching) as events:
        time.sleep(0.3)
        fill(folder, "one", "a red circle", "a blue square")
        first: list[dict[str, Any]] = []
        for event in events:
            first.append(event)
            if event["data"].get("state") == "done":
                break
    told = [(e["event"], e["data"]["label"]) for e in first if e["event"] in ("new", "end")]
    assert told == [
        ("new", "a red circle"), ("end", "a red circle"),
        ("new", "a blue square"), ("end", "a blue square"),
    ]  # fmt: skip
    assert {e["data"]["watched"] for e in first} == {"door"}
    assert len({e["id"] for e in first}) == len(first)
    with listening(watching, **{"Last-Event-ID": first[1]["id"]}) as events:
        again = [next(events) for _ in first[2:]]
    assert again == first[2:]
    with listening(watching, **{"Last-Event-ID": "another-run-7"}) as events:
        assert next(events)["data"] == {"missed": None}
        assert next(events)["data"]["type"] == "health"


def test_an_answer_goes_on_longer_than_a_request_may(watching: Served, folder: Path) -> None:
    """The limit of this server is four seconds."""
    with listening(watching) as events:
        time.sleep(5)
        fill(folder, "two", "a green star")
        kinds = [event["event"] for _, event in zip(range(2), events, strict=False)]
    assert kinds[0] == "new"


def test_listeners_are_bounded_and_leave(watching: Served) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(listening(watching))
        refused = httpx.get(f"{watching.url}/v1/watch")
        assert refused.status_code == 503 and refused.headers["retry-after"]
        assert refused.json()["code"] == "too_many_listeners"

    def room() -> bool:
        with httpx.stream("GET", f"{watching.url}/v1/watch") as answer:
            return answer.status_code == 200

    until(room)


def test_head_ends(watching: Served) -> None:
    answer = httpx.head(f"{watching.url}/v1/watch")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")


def test_pictures_are_answered_meanwhile(watching: Served) -> None:
    with listening(watching), watching.client() as client:
        listed = client.get("/v1/labelsets").json()["labelsets"]
        assert [one["name"] for one in listed] == ["shapes"]


def test_where_nothing_is_watched(client: httpx.Client) -> None:
    answer = client.get("/v1/watch")
    assert answer.status_code == 404 and "--watch" in answer.json()["detail"]


def test_a_key_is_needed_and_may_stand_in_the_address(
    shapes_clip: Path, folder: Path, tmp_path: Path
) -> None:
    settings = Settings(
        LoadOptions(str(shapes_clip)),
        labels=(folder / "shapes.txt",),
        label_store=tmp_path / "sets.sqlite",
        watch=(str(folder / "door"),),
        key_hashes=(keys.digest(KEY),),
    )
    with serving(settings) as served:
        assert httpx.get(f"{served.url}/v1/watch").status_code == 401
        with httpx.stream("GET", f"{served.url}/v1/watch?api_key={KEY}") as answer:
            assert answer.status_code == 200


async def lines(listener: Listener) -> list[str]:
    return [line async for line in listener.lines()]


def test_who_does_not_read_is_dropped_and_told() -> None:
    import asyncio

    async def run() -> list[str]:
        listener = Listener()
        for number in range(UNREAD + 1):
            listener.tell(f"data: {number}\n\n")
        assert listener.closed
        return await lines(listener)

    sent = asyncio.run(run())
    assert len(sent) == 2 and "event: dropped" in sent[1] and str(UNREAD + 1) in sent[1]


def test_a_line_says_that_it_lives(watching: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_service, "HEARTBEAT", 0.2)
    with httpx.stream("GET", f"{watching.url}/v1/watch") as answer:
        alive = [line for _, line in zip(range(8), answer.iter_lines(), strict=False)]
    assert alive.count(": alive") >= 3


def test_a_client_who_never_reads_holds_nobody_up(watching: Served, folder: Path) -> None:
    host, port = watching.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as stuck:
        stuck.sendall(b"GET /v1/watch HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        with listening(watching) as events:
            threading.Timer(0.3, fill, [folder, "three", "a red circle"]).start()
            assert any(e["event"] == "end" for _, e in zip(range(20), events, strict=False))


def test_the_end_of_the_server_ends_the_stream(
    shapes_clip: Path, folder: Path, tmp_path: Path
) -> None:
    options = [
        "-m",
        str(shapes_clip),
        "-l",
        str(folder / "shapes.txt"),
        "--watch",
        str(folder / "door"),
    ]
    with commanded(*options, UNSEEN_HOME=str(tmp_path)) as served, listening(served) as events:
        assert served.command is not None
        began = time.monotonic()
        served.command.send_signal(signal.SIGTERM)
        assert [*events][-1]["event"] == "bye"
        assert served.command.wait(30) == 0
        assert time.monotonic() - began < ServerLimits().drain_seconds, "listeners hold nothing up"
