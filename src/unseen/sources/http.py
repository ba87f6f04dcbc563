"""A URL → bytes, within limits: size, total time, redirects, schemes."""

from __future__ import annotations

import functools
import http.client
import io
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast
from urllib.parse import urljoin, urlsplit

from unseen import __version__
from unseen.errors import SourceError
from unseen.sources.item import name_of

PORTS = {"http": 80, "https": 443}
REDIRECTS = {301, 302, 303, 307, 308}
CHUNK = 1 << 16
URL_LENGTH = 8192
HEAD_BYTES = 1 << 16  # status lines and headers of one answer, with all that is sent before them
ADDRESSES = 4  # of one name, that are tried in turn

# Given the host and port of a URL and an address of the host; raises SourceError to refuse it.
AddressCheck = Callable[[str, int, str], None]

# Name lookups cannot be given up, only left alone: no more than these run at a time.
_LOOKUPS = threading.BoundedSemaphore(32)


class _Target(NamedTuple):
    scheme: str
    host: str
    port: int
    path: str
    url: str

    @property
    def origin(self) -> tuple[str, str, int]:
        return self[:3]


def fetch(
    url: str,
    *,
    max_bytes: int,
    max_seconds: float,
    max_redirects: int,
    check_address: AddressCheck | None = None,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """The body at an http or https URL, as it was sent. Raises SourceError.

    `max_seconds` is for everything: looking the name up, redirects, the last byte. A redirect from
    https to http is refused. No cookies and no credentials are sent, but `headers`: to the origin
    (scheme, host, port) of `url`, until the first redirect to another one.

    `check_address` is asked about every address of a host, on every redirect again, and one that it
    refuses refuses the host. What it has seen is what is connected to: a name that resolves
    differently the second time gains nothing.

    With `check_address`, messages tell a stranger nothing of the network here: one and the same is
    raised for a name that is unknown, an address or port that is refused, and a host that does not
    answer; why stands in `__cause__`, which is for the log. Told are what is wrong with the URL
    itself, and of a host that was allowed and did answer its status, or that it was too slow, too
    large, or no HTTP. Nothing that a server sent is repeated, the target of a redirect included.
    How long a refusal takes is not hidden.
    """
    deadline = time.monotonic() + max_seconds
    try:
        target = _target(url)
        for _ in range(max_redirects + 1):
            with _connect(target, deadline, max_seconds, check_address) as sock:
                answer = _ask(sock, target, deadline, max_seconds, max_bytes, headers or {})
            if isinstance(answer, bytes):
                return answer
            before, target = target, _redirected(target, answer)
            if target.origin != before.origin:
                headers = None
        raise SourceError(f"more than {max_redirects} redirects.")
    except SourceError as error:
        raise SourceError(f"{_shown(url)}: {error}") from error.__cause__


# URLs


def _target(url: str) -> _Target:
    """A URL, taken apart once: what is checked is what is connected to."""
    _check_text(url)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # brackets that do not match, a port that is no number
        raise SourceError("this is no URL.") from None
    if parts.scheme not in PORTS or not host:
        raise SourceError("only http and https URLs with a host are fetched.")
    if "@" in parts.netloc:
        raise SourceError("a user name or password in a URL is not sent; leave it out.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not path.isascii():
        raise SourceError("what is not ASCII in the path of a URL must be percent-encoded.")
    return _Target(parts.scheme, host, PORTS[parts.scheme] if port is None else port, path, url)


def _redirected(target: _Target, location: str) -> _Target:
    try:
        _check_text(location)  # before urljoin, which drops tabs and line breaks
        to = _target(urljoin(target.url, location))
    except (SourceError, ValueError) as error:
        raise SourceError(f"its redirect is not followed: {error}") from None
    if (target.scheme, to.scheme) == ("https", "http"):
        raise SourceError("its redirect is not followed: it leads from https to http.")
    return to


def _check_text(url: str) -> None:
    if len(url) > URL_LENGTH:
        raise SourceError(f"a URL of more than {URL_LENGTH:,} characters is not fetched.")
    if not url.isprintable() or " " in url or "\\" in url:
        raise SourceError("spaces, control characters and backslashes are not part of a URL.")


def _shown(url: str) -> str:
    """A URL for messages: on one line, not too long, and without a password."""
    name = name_of(re.sub(r"//[^/?#]*@", "//…@", url), 0)
    return name if name.isprintable() else repr(name)


# connections


def _connect(
    target: _Target, deadline: float, max_seconds: float, check_address: AddressCheck | None
) -> socket.socket:
    """A socket to the first address that takes the connection; the one that was checked."""
    try:
        found = _look_up(target, deadline)
        if check_address is not None:
            for *_, address in found:  # all of them, before the first is connected to
                check_address(target.host, target.port, str(address[0]))
        return _first_of(found[:ADDRESSES], target, deadline)
    except (SourceError, OSError, ValueError) as error:
        if check_address is not None:
            raise SourceError(
                "cannot be fetched from here: nothing that may be asked answers."
            ) from error
        if isinstance(error, TimeoutError):
            raise _too_slow(max_seconds) from None
        raise SourceError(f"cannot be reached: {error}.") from None


def _look_up(target: _Target, deadline: float) -> list[Any]:
    """`socket.getaddrinfo`, which has no time limit, left alone when it takes too long."""
    found: list[Any] = []
    failed: list[Exception] = []

    def look_up() -> None:
        try:
            found.extend(socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM))
        except Exception as error:  # every kind is raised in the thread that waits
            failed.append(error)
        finally:
            _LOOKUPS.release()

    if not _LOOKUPS.acquire(timeout=_left(deadline)):
        raise TimeoutError("too many names are being looked up")
    thread = threading.Thread(target=look_up, name="unseen-lookup", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # no more threads
        _LOOKUPS.release()
        raise OSError(str(error)) from None
    thread.join(_left(deadline))
    if thread.is_alive():
        raise TimeoutError("the name takes too long to look up")
    if failed:
        raise failed[0]
    return found


def _first_of(found: list[Any], target: _Target, deadline: float) -> socket.socket:
    last: OSError | None = None
    for index, (family, kind, protocol, _, address) in enumerate(found):
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as error:  # a family that this machine has not
            last = error
            continue
        try:
            # A silent address leaves time for the next.
            sock.settimeout(_left(deadline) / (len(found) - index))
            sock.connect(address)
            sock.settimeout(_left(deadline))
            if target.scheme == "https":
                return _tls().wrap_socket(sock, server_hostname=target.host)
            return sock
        except OSError as error:
            sock.close()
            last = error
        except BaseException:
            sock.close()
            raise
    raise last or OSError("the name has no address")


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()  # reads every certificate there is: once


# one request and its answer


class _Wire(io.RawIOBase):
    """What http.client takes for a socket: nothing outlasts the deadline, or comes without end."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self.room = HEAD_BYTES
        self._sock = sock
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(_left(self._deadline))
        self._sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.room <= 0:
            raise http.client.HTTPException("more than there is room for")
        self._sock.settimeout(_left(self._deadline))  # of what is left, each time
        count = self._sock.recv_into(memoryview(buffer)[: self.room])
        self.room -= count
        return count

    def close(self) -> None:
        """Left to whoever opened the socket: http.client closes before it reads the body."""


def _ask(
    sock: socket.socket,
    target: _Target,
    deadline: float,
    max_seconds: float,
    max_bytes: int,
    headers: Mapping[str, str],
) -> bytes | str:
    """One request → the body, or the Location of a redirect."""
    connection = http.client.HTTPConnection(target.host, target.port)
    wire = _Wire(sock, deadline)
    connection.sock = cast(socket.socket, wire)
    ours = {"User-Agent": f"unseen/{__version__}", "Connection": "close"}
    try:
        connection.request("GET", target.path, headers={**headers, **ours})
        with connection.getresponse() as answer:
            location = answer.getheader("Location")
            if answer.status in REDIRECTS and location:
                return location
            if answer.status != 200:
                raise SourceError(f"the server answers {answer.status}.")
            wire.room = 2 * max_bytes + HEAD_BYTES  # chunks have heads, too
            return _body(answer, max_bytes)
    except TimeoutError:
        raise _too_slow(max_seconds) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        # Not its text: it may hold what the server sent.
        raise SourceError("what answers there is no HTTP, or breaks off.") from error


def _body(answer: http.client.HTTPResponse, max_bytes: int) -> bytes:
    too_large = SourceError(f"more than {max_bytes:,} bytes; raise max_bytes to allow it.")
    if (answer.length or 0) > max_bytes:
        raise too_large
    body = bytearray()
    while chunk := answer.read1(min(CHUNK, max_bytes + 1 - len(body))):
        body += chunk
        if len(body) > max_bytes:
            raise too_large
    if answer.length:
        raise http.client.IncompleteRead(b"", answer.length)
    return bytes(body)


def _too_slow(max_seconds: float) -> SourceError:
    return SourceError(f"no whole answer within {max_seconds:g} s.")


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
