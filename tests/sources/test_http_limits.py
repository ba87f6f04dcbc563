"""A fetch ends: in time whatever is slow, within its bytes whatever is sent, and sends no more."""

from __future__ import annotations

import contextlib
import gzip
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import unseen
import unseen.sources.hosts.connection
from raw_server import RawServer, answer
from unseen.sources.http import fetch

LIMITS: dict[str, Any] = {"max_bytes": 100_000, "max_seconds": 10, "max_redirects": 5}
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\n"
PLENTY = 5.0  # seconds, for what must end after half a one


@contextlib.contextmanager
def sending(*parts: bytes, drip: bytes = b"", every: float = 0.02) -> Iterator[RawServer]:
    """A server that sends `parts`, and then `drip` a byte at a time for as long as it may."""

    def send(connection: socket.socket, head: bytes) -> None:
        for part in parts:
            connection.sendall(part)
        while drip:
            for byte in drip:
                connection.sendall(bytes([byte]))
                if server.closing.wait(every):
                    return

    with RawServer(send) as server:
        yield server


def assert_ends_in_time(url: str, words: str = r"no complete response within 0\.5 s") -> None:
    start = time.monotonic()
    with pytest.raises(unseen.SourceError, match=words):
        fetch(url, **{**LIMITS, "max_seconds": 0.5})
    assert time.monotonic() - start < PLENTY


SLOW = {
    "the status line": (b"", b"H"),
    "one header": (HEAD, b"x"),
    "headers": (HEAD, b"A: b\r\n"),
    "one after another 100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "the headers of a 100 Continue": (b"HTTP/1.1 100 Continue\r\n", b"A: b\r\n"),
    "a body without a length": (HEAD + b"\r\n", b"x"),
    "a body with a length": (HEAD + b"Content-Length: 90000\r\n\r\n", b"x"),
    "chunks": (CHUNKED, b"1\r\nx\r\n"),
    "the length of a chunk": (CHUNKED, b"0"),
    "an extension of a chunk": (CHUNKED + b"5;", b"x"),
    "the inside of a chunk": (CHUNKED + b"ffff\r\n", b"x"),
    "what follows the last chunk": (CHUNKED + b"1\r\nx\r\n0\r\n", b"A: b\r\n"),
}


@pytest.mark.parametrize("what", SLOW)
def test_a_server_that_drips(what: str) -> None:
    sent, drip = SLOW[what]
    with sending(sent, drip=drip) as server:
        assert_ends_in_time(server.url)
        assert len(server.requests) == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_is_silent(scheme: str) -> None:
    """For https it is the handshake that never comes."""
    with RawServer(lambda *_: server.closing.wait() and None, reads=False) as server:  # type: ignore[func-returns-value]
        assert_ends_in_time(server.url.replace("http", scheme))


def test_a_handshake_that_drips() -> None:
    record = b"\x16\x03\x03\x40\x00"  # a handshake of 16 KB follows, it says

    def drip(connection: socket.socket, _: bytes) -> None:
        connection.sendall(record + b"\x02\x00\x3f\xfc")
        while not server.closing.wait(0.02):
            connection.sendall(b"\x03")

    with RawServer(drip, reads=False) as server:
        assert_ends_in_time(
            server.url.replace("http", "https"), "no complete response within|cannot"
        )


def test_redirects_share_the_time() -> None:
    def redirect(connection: socket.socket, head: bytes) -> None:
        if not server.closing.wait(0.2):
            connection.sendall(answer(b"", "Location: /again", status="302 Found"))

    with RawServer(redirect) as server:
        start = time.monotonic()
        with pytest.raises(unseen.SourceError, match=r"no complete response within 0\.5 s"):
            fetch(server.url, max_bytes=10, max_seconds=0.5, max_redirects=1000)
        assert time.monotonic() - start < PLENTY
        assert 1 < len(server.requests) < 10


@pytest.fixture
def silent_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """A name server that answers when the test is over."""
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(30) and [])
    before = {*threading.enumerate()}
    yield over.set
    over.set()
    for thread in {*threading.enumerate()} - before:
        thread.join()


@pytest.mark.usefixtures("silent_names")
def test_a_name_server_that_is_silent() -> None:
    assert_ends_in_time("http://slow.test/")


def test_look_ups_that_hang_do_not_pile_up(
    silent_names: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unseen.sources.hosts.connection, "_LOOKUPS", threading.BoundedSemaphore(2))
    for _ in range(5):
        with pytest.raises(unseen.SourceError, match="no complete response"):
            fetch("http://slow.test/", **{**LIMITS, "max_seconds": 0.05})
    running = [t for t in threading.enumerate() if t.name == "unseen-lookup"]
    assert len(running) == 2
    silent_names()
    for thread in running:
        thread.join()
    with pytest.raises(unseen.SourceError, match="no address"):  # there is room again
        fetch("http://slow.test/", **LIMITS)


def test_addresses_that_are_silent_leave_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    connect, tried = socket.socket.connect, []

    def reaches_only_loopback(sock: socket.socket, address: Any) -> None:
        tried.append(address[0])
        if address[0] == "127.0.0.1":
            return connect(sock, address)
        time.sleep(sock.gettimeout() or 60)
        raise TimeoutError

    monkeypatch.setattr(socket.socket, "connect", reaches_only_loopback)
    with sending(answer(b"here")) as server:

        def name(*addresses: str) -> None:
            infos = [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, server.port)) for a in addresses
            ]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: infos)

        name("192.0.2.1", "192.0.2.2", "127.0.0.1")
        assert fetch("http://several.test/", **{**LIMITS, "max_seconds": 1.5}) == b"here"
        name(*[f"192.0.2.{n}" for n in range(250)])
        assert_ends_in_time("http://silent.test/")
        # On a busy machine the time is over before the last of them.
        assert 3 < len(tried) <= 3 + unseen.sources.hosts.connection.ADDRESSES


# bytes


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"A" * 10**6,
        HEAD + b"A: " + b"b" * 70_000 + b"\r\n\r\n",
        HEAD + (b"A: " + b"b" * 50 + b"\r\n") * 20_000,
        HEAD + (b"A: " + b"b" * 1000 + b"\r\n") * 90 + b"\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000,
        (b"HTTP/1.1 100 Continue\r\n" + b"A: b\r\n" * 50 + b"\r\n") * 10_000,
        b"A" * 10**6,
    ],
    ids=["no line", "a long header", "many", "many long ones", "100s", "100s with headers", "none"],
)
def test_a_head_without_end(sent: bytes) -> None:
    with (
        sending(sent) as server,
        pytest.raises(unseen.SourceError, match="not HTTP, or it is incomplete"),
    ):
        fetch(server.url, **{**LIMITS, "max_bytes": 10**8})


def test_a_large_head_that_ends_is_read() -> None:
    with sending(answer(b"body", *[f"X-{n}: {'y' * 500}" for n in range(80)])) as server:
        assert fetch(server.url, **LIMITS) == b"body"


@pytest.mark.parametrize(
    "sent, words",
    [
        (HEAD + b"Content-Length: 100001\r\n\r\n", "more than 100,000 bytes"),  # none is waited for
        (HEAD + b"Content-Length: 99999999999999999999\r\n\r\nx", "more than 100,000 bytes"),
        (HEAD + b"\r\n" + b"x" * 10**6, "more than 100,000 bytes"),
        (HEAD + b"Content-Length: -1\r\n\r\n" + b"x" * 10**6, "more than 100,000 bytes"),
        (CHUNKED + b"f4240\r\n" + b"x" * 10**6 + b"\r\n0\r\n\r\n", "more than 100,000 bytes"),
        (CHUNKED + b"10\r\n" + b"x" * 16 + b"\r\n" + b"-5\r\n" + b"x" * 10**6, "more than 100,000"),
        (CHUNKED + b"1;" + b"e" * 50 + b"\r\nx\r\n" * 1, "incomplete"),
        (CHUNKED + (b"1;" + b"e" * 500 + b"\r\nx\r\n") * 9_000 + b"0\r\n\r\n", "incomplete"),
        (CHUNKED + b"5\r\nxx", "incomplete"),
        (CHUNKED + b"no number\r\nxx", "incomplete"),
        (CHUNKED + b"5" * 70_000, "incomplete"),
        (HEAD + b"Content-Length: 500\r\n\r\nxx", "incomplete"),
        (b"", "incomplete"),
        (b"HTTP/1.1 2", "incomplete"),
        (b"HTTP/1.1 two\r\n\r\n", "not HTTP"),
        (b"GIF89a", "not HTTP"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "answers 204"),
        (b"HTTP/1.1 206 Partial Content\r\nContent-Length: 2\r\n\r\nxx", "answers 206"),
        (b"HTTP/1.1 302 Found\r\n\r\n", "answers 302"),
    ],
)  # fmt: skip
def test_lengths_that_lie(sent: bytes, words: str) -> None:
    with sending(sent) as server, pytest.raises(unseen.SourceError, match=words):
        fetch(server.url, **LIMITS)


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"Content-Length: 5\r\n\r\nwhole and more",
        HEAD + b"\r\nwhole",
        CHUNKED + b"2\r\nwh\r\n3;ext\r\nole\r\n0\r\nTrailer: x\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 5 + HEAD + b"Content-Length: 5\r\n\r\nwhole",
        b"HTTP/1.0 200 OK\r\n\r\nwhole",
    ],
)
def test_whole_answers(sent: bytes) -> None:
    with sending(sent) as server:
        assert fetch(server.url, **LIMITS) == b"whole"


@pytest.mark.parametrize("size", [99_999, 100_000, 100_001])
def test_the_limit_itself(size: int) -> None:
    body = b"x" * size
    small = b"".join(b"10\r\n" + b"x" * 16 + b"\r\n" for _ in range(size // 16))
    chunks = CHUNKED + small + b"%x\r\n" % (size % 16) + b"x" * (size % 16) + b"\r\n0\r\n\r\n"
    for sent in (answer(body), HEAD + b"\r\n" + body, chunks if size % 16 else answer(body)):
        with sending(sent) as server:
            if size > 100_000:
                with pytest.raises(unseen.SourceError, match="more than 100,000 bytes"):
                    fetch(server.url, **LIMITS)
            else:
                assert fetch(server.url, **LIMITS) == body


def test_nothing_is_unpacked() -> None:
    packed = gzip.compress(b"\0" * 10**7)
    with sending(answer(packed, "Content-Encoding: gzip")) as server:
        assert fetch(server.url, **LIMITS) == packed
        assert b"accept-encoding: identity\r\n" in server.requests[0].lower()


@pytest.mark.parametrize("location", ["/a\tb", "/a b", "\\\\a.test\\", "/\x01", "/\x85", "/\xa0"])
def test_redirects_that_parsers_read_differently_are_not_followed(location: str) -> None:
    redirect = b"HTTP/1.1 302 Found\r\nLocation: " + location.encode("latin-1") + b"\r\n\r\n"
    with sending(redirect) as server:
        with pytest.raises(unseen.SourceError, match="redirect is not followed: spaces"):
            fetch(server.url, **LIMITS)
        assert len(server.requests) == 1


def test_a_path_that_is_not_ascii() -> None:
    with sending(answer(b"x")) as server:
        with pytest.raises(unseen.SourceError, match="percent-encode"):
            fetch(f"{server.url}/é", **LIMITS)
        assert fetch(f"{server.url}/%C3%A9", **LIMITS) == b"x"


# what is sent


def test_only_these_headers_are_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    def redirect(connection: socket.socket, head: bytes) -> None:
        again = answer(b"", "Location: /end", "Set-Cookie: a=b; Path=/", status="302 Found")
        connection.sendall(answer(b"x") if b"/end" in head else again)

    with RawServer(redirect) as server:
        fetch(server.url, **LIMITS)
        for head in server.requests:
            names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:] if line]
            assert sorted(names) == [b"accept-encoding", b"connection", b"host", b"user-agent"]
        assert len(server.requests) == 2


def test_given_headers_go_to_their_origin_and_to_no_other() -> None:
    def has_token(server: RawServer) -> list[bool]:
        return [b"Authorization: Token secret" in head for head in server.requests]

    def redirect(connection: socket.socket, head: bytes) -> None:
        to = {b"/": "/here", b"/here": f"{other.url}/there"}.get(head.split(b" ")[1])
        connection.sendall(
            answer(b"", f"Location: {to}", status="307 Moved") if to else answer(b"back")
        )

    def send_back(connection: socket.socket, head: bytes) -> None:
        connection.sendall(answer(b"", f"Location: {first.url}/end", status="307 Moved"))

    with RawServer(redirect) as first, RawServer(send_back) as other:
        assert fetch(first.url, headers={"Authorization": "Token secret"}, **LIMITS) == b"back"
        assert has_token(first) == [True, True, False]  # not when it is sent back, either
        assert has_token(other) == [False]


def test_headers_of_several_lines_are_not_sent() -> None:
    with sending(answer(b"x")) as server:
        with pytest.raises(unseen.SourceError):
            fetch(server.url, headers={"A": "b\r\nC: d"}, **LIMITS)
        assert server.requests in ([], [b""])


def test_passwords_are_neither_sent_nor_shown() -> None:
    with sending(answer(b"x")) as server:
        with pytest.raises(unseen.SourceError, match="password") as error:
            fetch(server.url.replace("//", "//me:secret@"), **LIMITS)
        assert "secret" not in str(error.value)
        assert server.requests == []


def test_urls_in_messages_are_short_and_on_one_line() -> None:
    for url in ("http://a.test/\x1b[2J\n", "http://a.test/" + "b" * 100_000, "http://a b/"):
        with pytest.raises(unseen.SourceError) as error:
            fetch(url, **LIMITS)
        assert str(error.value).isprintable()
        assert len(str(error.value)) < 200


# https


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """For a server that calls itself localhost, and for a client that believes it."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext"
    files = ["-keyout", str(key), "-out", str(certificate)]
    command = ["openssl", *words.split(), "subjectAltName=DNS:localhost", *files]
    subprocess.run(command, check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    return server, ssl.create_default_context(cafile=str(certificate))


def test_https_stays_https(
    tls: tuple[ssl.SSLContext, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    server_side, client_side = tls
    monkeypatch.setattr(unseen.sources.hosts.connection, "_tls", lambda: client_side)

    def send(connection: socket.socket, _: bytes) -> None:
        connection.settimeout(5)
        with server_side.wrap_socket(connection, server_side=True) as inside:
            path = inside.recv(65536).split(b" ")[1].decode()
            to = {"/down": plain.url, "/up": f"{secure}/"}.get(path)
            inside.sendall(
                answer(b"", f"Location: {to}", status="302 Found") if to else answer(b"sealed")
            )

    with (
        sending(answer(b"open")) as plain,
        RawServer(send, reads=False) as server,
    ):
        secure = f"https://localhost:{server.port}"
        assert fetch(f"{secure}/", **LIMITS) == b"sealed"
        assert fetch(f"{secure}/up", **LIMITS) == b"sealed"
        with pytest.raises(unseen.SourceError, match="from https to http"):
            fetch(f"{secure}/down", **LIMITS)
        assert plain.requests == []
        with pytest.raises(unseen.SourceError, match="CERTIFICATE_VERIFY_FAILED"):
            fetch(f"https://127.0.0.1:{server.port}/", **LIMITS)  # the certificate is localhost's


def test_certificates_are_checked() -> None:
    context = unseen.sources.hosts.connection._tls()
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
