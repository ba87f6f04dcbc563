"""Lists of addresses: few connections to a host, and asking again when a server says so."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import unseen
from raw_server import RawServer, answer
from unseen.sources.http import PER_HOST, fetch


def get(url: str, seconds: float = 10.0, **more: object) -> bytes:
    return fetch(url, max_bytes=1000, max_seconds=seconds, max_redirects=3, **more)  # type: ignore[arg-type]


def test_a_host_never_sees_more_than_a_few_connections() -> None:
    lock, now, most = threading.Lock(), 0, 0

    def slowly(connection: socket.socket, _: bytes) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.05)
        with lock:
            now -= 1
        connection.sendall(answer(b"here"))

    with RawServer(slowly) as server, ThreadPoolExecutor(16) as pool:
        assert [*pool.map(get, [server.url] * 40)] == [b"here"] * 40
        assert most == PER_HOST
        # Addresses of strangers have limits of their own, where one host must not hold up others.
        most = 0
        [*pool.map(lambda url: get(url, check_address=lambda *_: None), [server.url] * 40)]
        assert most > PER_HOST


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
