"""Lists of addresses: few connections to a host, and asking again when a server says so."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import hostile
import unseen
from raw_server import RawServer, answer
from unseen.sources.hosts.turns import PER_HOST
from unseen.sources.http import fetch, fetch_for_use


def get(url: str, seconds: float = 10.0, **more: object) -> bytes:
    return fetch(url, max_bytes=1000, max_seconds=seconds, max_redirects=3, **more)  # type: ignore[arg-type]


class Slow:
    """Answers after a while, and counts how many wait for that at once."""

    def __init__(self) -> None:
        self._lock, self._now, self.most = threading.Lock(), 0, 0

    def __call__(self, connection: socket.socket, _: bytes) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(0.05)
        with self._lock:
            self._now -= 1
        connection.sendall(answer(b"here"))


@pytest.fixture(autouse=True)
def own_slots(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Slots of a test alone: those of this host are shared with the tests beside it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # of the processes that it starts


def test_a_host_never_sees_more_than_a_few_connections() -> None:
    slow = Slow()
    with RawServer(slow) as server, ThreadPoolExecutor(16) as pool:
        assert [*pool.map(get, [server.url] * 40)] == [b"here"] * 40
        assert slow.most == PER_HOST
        # Addresses of strangers have limits of their own, where one host must not hold up others.
        slow.most = 0
        [*pool.map(lambda url: get(url, check_address=lambda *_: None), [server.url] * 40)]
        assert slow.most > PER_HOST


def test_retry_after_is_obeyed_within_the_time() -> None:
    times: list[float] = []

    def later(connection: socket.socket, _: bytes) -> None:
        times.append(time.monotonic())
        if len(times) < 3:
            connection.sendall(
                b"HTTP/1.1 429 Too Many\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
            )
        else:
            connection.sendall(answer(b"here"))

    with RawServer(later) as server:
        assert get(server.url) == b"here"
        assert len(times) == 3 and times[1] - times[0] >= 1 and times[2] - times[1] >= 1


@pytest.mark.parametrize("header", ["Retry-After: 3600", "Retry-After: soon", "X-None: 0"])
def test_a_server_that_asks_for_too_much_is_an_error_at_once(header: str) -> None:
    refusal = f"HTTP/1.1 503 Busy\r\n{header}\r\nContent-Length: 0\r\n\r\n".encode()
    with RawServer(lambda connection, _: connection.sendall(refusal)) as server:
        start = time.monotonic()
        with pytest.raises(unseen.SourceError, match="the server answers 503"):
            get(server.url)
        assert time.monotonic() - start < 5 and len(server.requests) == 1


def test_a_server_that_is_always_busy_is_asked_three_times() -> None:
    refusal = b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"
    with RawServer(lambda connection, _: connection.sendall(refusal)) as server:
        with pytest.raises(unseen.SourceError, match="the server answers 503"):
            get(server.url)
        assert len(server.requests) == 3


WORKER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from unseen.sources.http import fetch, fetch_for_use
with ThreadPoolExecutor(8) as pool:
    urls = [sys.argv[1]] * 16
    list(pool.map(lambda url: fetch(url, max_bytes=9, max_seconds=30, max_redirects=0), urls))
"""


def test_the_processes_of_a_machine_share_the_connections() -> None:
    slow = Slow()
    with RawServer(slow) as server:
        workers = [subprocess.Popen([sys.executable, "-c", WORKER, server.url]) for _ in range(2)]
        assert [worker.wait(60) for worker in workers] == [0, 0]
        assert len(server.requests) == 32 and 1 < slow.most <= PER_HOST


def test_a_slot_is_given_back_by_a_process_that_is_killed() -> None:
    with RawServer(lambda connection, _: connection.sendall(answer(b"here"))) as server:
        hold = "from unseen.sources.hosts.turns import turn\nfrom contextlib import ExitStack\n"
        hold += "stack = ExitStack()\nfor _ in range(4): stack.enter_context(turn('127.0.0.1'))\n"
        hold += "print('held', flush=True)\nimport time\ntime.sleep(60)"
        holder = subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE)
        try:
            assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
            with ThreadPoolExecutor(1) as pool:
                waiting = pool.submit(get, server.url, 30.0)
                time.sleep(0.3)
                assert not waiting.done() and not server.requests
                holder.kill()
                assert waiting.result(30) == b"here"
        finally:
            holder.kill()
            holder.wait()
            holder.stdout.close()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("tags", "is_refused"),
    [
        (["noai"], True),
        (["all", "NoImageAI, max-snippet: 5"], True),
        (["unseen: noindex"], True),
        (["otherbot: noai"], False),
        (["nofollow, noarchive"], False),
        ([], False),
    ],
)
def test_what_a_server_refuses_is_not_used(
    tags: list[str], is_refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = hostile.encoded("PNG")
    headers = [f"X-Robots-Tag: {tag}" for tag in tags]
    with RawServer(lambda one, _: one.sendall(answer(picture, *headers))) as server:
        if is_refused:
            with pytest.raises(unseen.SourceError, match="UNSEEN_ROBOTS=ignore"):
                unseen.open_image(server.url)
            monkeypatch.setenv("UNSEEN_ROBOTS", "ignore")
        assert unseen.open_image(server.url).size == hostile.SIZE
        # Who asks for one picture on a server of ours answers for it.
        assert unseen.open_image(server.url, check_address=lambda *_: None).size == hostile.SIZE


def test_what_has_not_changed_is_not_sent_again() -> None:
    limits = {"max_bytes": 1000, "max_redirects": 1, "max_seconds": 10.0}

    def respond(connection: socket.socket, head: bytes) -> None:
        same = b'If-None-Match: "one"' in head and b"If-Modified-Since: Mon, 30" in head
        headers = ('ETag: "one"', "Last-Modified: Mon, 30 Nov 2026 00:00:00 GMT")
        status = "304 Not Modified" if same else "200 OK"
        connection.sendall(answer(b"" if same else b"here", *headers, status=status))

    with RawServer(respond) as server:
        first = fetch_for_use(server.url, **limits)  # type: ignore[arg-type]
        assert first.body == b"here" and first.version
        again = fetch_for_use(server.url, version=first.version, **limits)  # type: ignore[arg-type]
        assert again.body is None and again.version == first.version
        for version in ("", "no version", '{"Host": "evil"}', "[1]", '{"If-None-Match": 1}'):
            assert fetch_for_use(server.url, version=version, **limits).body == b"here"  # type: ignore[arg-type]
        assert not any(b"evil" in request for request in server.requests)
