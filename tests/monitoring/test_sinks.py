"""Who is told: a webhook that is away, a program that hangs, a file that cannot be written."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from unseen.errors import SourceError
from unseen.monitoring.backoff import Backoff
from unseen.monitoring.sinks import Queued, journal, program, wants
from unseen.monitoring.webhook import Webhook
from unseen.sources.address_policy import PublicHosts

SOON = 30.0  # seconds: far more than any of this takes


def message(number: int, kind: str = "new", **more: Any) -> dict[str, Any]:
    facts = {"type": kind, "id": f"{number:016x}", "source": "door", "label": "été", "rule": None}
    return facts | {"start": float(number), "end": float(number)} | more


def wait(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Receiver:
    """What was posted; it answers with the statuses in turn, then 204."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.requests: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def delivered(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, body in self.requests]

    @contextmanager
    def serving(self, port: int) -> Iterator[None]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.statuses.pop(0) if receiver.statuses else 204
                if status < 300:
                    receiver.requests.append((self.path, dict(self.headers), body))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def webhook(port: int, spool: Path, **options: Any) -> Webhook:
    backoff = Backoff(0.02, 0.2)
    return Webhook(f"http://127.0.0.1:{port}/in?a=1", spool=spool, backoff=backoff, **options)


def test_a_webhook_that_is_away_gets_each_message_once(tmp_path: Path, port: int) -> None:
    sink = webhook(port, tmp_path, secret="key")
    for number in range(10):
        sink.put(message(number))
    wait(lambda: bool(lines := sink.problems()) and "cannot be reached" in lines[0])
    receiver = Receiver(503, 429, 307)
    with receiver.serving(port):
        for number in range(10, 15):
            sink.put(message(number))
        wait(lambda: len(receiver.requests) == 15)
        sink.close(5)
    assert [m["start"] for m in receiver.delivered] == list(range(15))
    path, headers, body = receiver.requests[0]
    assert path == "/in?a=1" and receiver.delivered[0]["label"] == "été"
    expected = hmac.new(b"key", body, hashlib.sha256).hexdigest()
    assert headers["X-Unseen-Signature"] == f"sha256={expected}"
    keys = [headers["Idempotency-Key"] for _, headers, _ in receiver.requests]
    assert keys[3] == f"{3:016x}-new" and len(set(keys)) == 15
    assert not list(tmp_path.glob("*.json"))


def test_what_was_not_delivered_waits_for_the_next_start(tmp_path: Path, port: int) -> None:
    first = webhook(port, tmp_path)
    for number in range(3):
        first.put(message(number))
    first.close(0)
    assert "3 messages wait for the next start" in first.problems()[-1]
    receiver = Receiver()
    with receiver.serving(port):
        second = webhook(port, tmp_path)
        second.put(message(3))
        wait(lambda: len(receiver.requests) == 4)
        second.close(5)
    assert [m["start"] for m in receiver.delivered] == [0, 1, 2, 3]


def test_a_spool_that_is_full_gives_up_the_oldest(tmp_path: Path, port: int) -> None:
    sink = webhook(port, tmp_path, spool_bytes=2_000)
    for number in range(100):
        sink.put(message(number))
    sink.close(0)
    files = sorted(tmp_path.glob("*.json"))
    assert sum(file.stat().st_size for file in files) <= 2_000
    assert json.loads(files[-1].read_text("utf-8"))["start"] == 99
    assert any("given up; the spool is full" in line for line in sink.problems())


def test_a_message_that_is_refused_does_not_stop_the_next(tmp_path: Path, port: int) -> None:
    receiver = Receiver(422)
    with receiver.serving(port):
        sink = webhook(port, tmp_path)
        sink.put(message(0))
        sink.put(message(1))
        wait(lambda: len(receiver.requests) == 1)
        sink.close(5)
    assert receiver.delivered[0]["start"] == 1
    assert any("answers 422; a message was given up" in line for line in sink.problems())


def test_two_that_post_to_one_address_do_not_share_a_spool(tmp_path: Path, port: int) -> None:
    first, second = webhook(port, tmp_path / "spool"), webhook(port, tmp_path / "spool")
    first.put(message(0))
    second.put(message(1))
    first.close(0)
    second.close(0)
    assert {p.name for p in tmp_path.iterdir()} == {"spool", "spool-1"}


def test_the_rules_for_addresses_are_those_of_fetch(tmp_path: Path, port: int) -> None:
    for url in ("ftp://example.org/", "http://user:secret@example.org/", "file:///etc/passwd"):
        with pytest.raises(SourceError) as caught:
            Webhook(url, spool=tmp_path)
        assert "secret" not in str(caught.value)
    receiver = Receiver()
    with receiver.serving(port):
        sink = webhook(port, tmp_path, check_address=PublicHosts().check)
        sink.put(message(0))
        wait(lambda: bool(sink.problems()))
        sink.close(0)
    assert receiver.requests == []


def test_a_program_has_a_message_on_its_standard_input(tmp_path: Path) -> None:
    script, out = tmp_path / "notify.py", tmp_path / "out.txt"
    script.write_text(
        "import sys, json, pathlib\nm = json.load(sys.stdin.buffer)\n"
        f"pathlib.Path({str(out)!r}).write_text(sys.argv[1] + ' ' + m['id'])\n"
    )
    sink = program(f'"{sys.executable}" "{script}" "a b; $HOME"'.replace("\\", "/"))
    sink.put(message(5))
    sink.close(SOON)
    assert out.read_text() == f"a b; $HOME {5:016x}" and sink.problems() == []


def test_a_program_that_hangs_or_fails_is_said_once(tmp_path: Path) -> None:
    hangs = program(f"{sys.executable} -c 'import time; time.sleep(60)'", seconds=0.3)
    fails = program(f"{sys.executable} -c 'raise SystemExit(3)'")
    for number in range(2):
        hangs.put(message(number))
        fails.put(message(number))
    hangs.close(SOON)
    fails.close(SOON)
    assert [line.endswith("was ended after 0.3 s.") for line in hangs.problems()] == [True]
    assert [line.endswith("ended with 3.") for line in fails.problems()] == [True]
    for wrong in ("no-such-program-at-all", "", "'"):
        with pytest.raises(SourceError, match="--exec"):
            program(wrong)


def test_a_slow_sink_keeps_the_newest_and_says_what_it_gave_up() -> None:
    begun, release, delivered = threading.Event(), threading.Event(), []

    def deliver(one: dict[str, Any]) -> None:
        begun.set()
        release.wait(SOON)
        delivered.append(one["start"])

    sink = Queued("slow", deliver)
    sink.put(message(-1))
    begun.wait(SOON)
    for number in range(3_000):
        sink.put(message(number))
    assert sink.problems() == ["slow: 2000 messages were given up; it is too slow."]
    release.set()
    sink.close(SOON)
    assert delivered == [-1, *range(2_000, 3_000)]


def test_a_file_is_added_to_and_may_be_moved_away(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("{}\n")
    sink = journal(path)
    sink.put(message(0))
    wait(lambda: len(path.read_text("utf-8").splitlines()) == 2)
    path.rename(tmp_path / "events.jsonl.1")
    sink.put(message(1))
    sink.close(SOON)
    assert json.loads(path.read_text("utf-8")) == message(1)
    with pytest.raises(SourceError, match="cannot be written"):
        journal(tmp_path / "no" / "folder.jsonl")


def test_who_is_told_of_what(tmp_path: Path) -> None:
    by_name = {name: Queued(name, print) for name in ("jsonl", "webhook", "mqtt", "exec")}

    def told(one: dict[str, Any], **rules: tuple[str, ...] | None) -> list[str]:
        return [name for name, sink in by_name.items() if wants(sink, one, rules=rules)]

    assert told(message(0)) == ["jsonl", "webhook", "mqtt", "exec"]
    assert told(message(0), night=None) == ["jsonl", "mqtt"]
    assert told(message(0, rule="night"), night=None) == ["jsonl", "webhook", "mqtt", "exec"]
    assert told(message(0, rule="night"), night=("exec",)) == ["jsonl", "exec"]
    assert told({"type": "health", "state": "lost"}, night=None) == list(by_name)
    assert told({"type": "health", "state": "done"}) == ["jsonl"]
    for sink in by_name.values():
        sink.close(SOON)
