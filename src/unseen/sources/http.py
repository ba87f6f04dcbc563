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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import urljoin, urlsplit

from unseen import __version__
from unseen.errors import SourceError
from unseen.sources.item import name_of

if TYPE_CHECKING:
    from unseen.types import AddressCheck

PORTS = {"http": 80, "https": 443}
REDIRECTS = {301, 302, 303, 307, 308}
CHUNK = 1 << 16
URL_LENGTH = 8192
HEAD_BYTES = 1 << 16  # status lines and headers of one answer, with all that is sent before them
FIXED = {"User-Agent": f"unseen/{__version__}", "Connection": "close"}
ADDRESSES = 4  # of one name, that are tried in turn

LATER = {429, 503}  # with Retry-After: the server says when to ask again
TRIES = 3  # of an address whose server says so
PER_HOST = 4  # connections at a time

_LOCK = threading.Lock()
_TURNS: dict[str, tuple[threading.BoundedSemaphore, int]] = {}  # host → its turns, and their users

# A name lookup cannot be cancelled, only abandoned: no more than these run at a time.
_LOOKUPS = threading.BoundedSemaphore(32)


class _Later(NamedTuple):
    status: int
    seconds: float


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
    """Fetch the body at an http or https URL, as it was sent.

    A redirect from https to http is refused. No cookies are sent, and no credentials but `headers`.
    Without `check_address` a host has no more than four connections at a time, and one that answers
    429 or 503 with Retry-After is asked again then, twice at most and within the time.

    Parameters
    ----------
    url : str
        Without a user name or password.
    max_bytes : int
        Of the body.
    max_seconds : float
        For everything: looking the name up, redirects, the last byte.
    max_redirects : int
        How many redirects are followed.
    check_address : callable, optional
        Called with host, port and address for every address of a host, and again on every redirect;
        it raises SourceError to refuse the host. The address that was checked is the one connected
        to: a name that resolves differently the second time gains nothing.
    headers : Mapping[str, str], optional
        Sent to the origin (scheme, host, port) of `url`, until the first redirect to another one.

    Returns
    -------
    bytes
        The body.

    Raises
    ------
    SourceError
        If nothing was fetched. With `check_address`, the message tells a stranger nothing of the
        network here: it is the same for an unknown name, a refused address or port, and a host that
        does not accept a connection; the reason is the `__cause__`, which is for the log. It does
        say what is wrong with the URL itself, and of an allowed host its status, or that its
        response is too slow, too large or not HTTP. Nothing that a server sent is repeated, the
        target of a redirect included. How long a refusal takes is not hidden.
    """
    try:
        target = _target(url)
        if check_address is not None:  # a stranger's: one slow host must not hold the others up
            return _fetch(target, max_bytes, max_seconds, max_redirects, check_address, headers)
        with _turn(target.host):
            return _fetch(target, max_bytes, max_seconds, max_redirects, None, headers, tries=TRIES)
    except SourceError as error:
        raise SourceError(f"{_shown(url)}: {error}") from error.__cause__


def _fetch(
    target: _Target,
    max_bytes: int,
    max_seconds: float,
    max_redirects: int,
    check_address: AddressCheck | None,
    headers: Mapping[str, str] | None,
    tries: int = 1,
) -> bytes:
    deadline = time.monotonic() + max_seconds
    for _ in range(max_redirects + tries):
        with _connect(target, deadline, max_seconds, check_address) as sock:
            answer = _request(sock, target, deadline, max_seconds, max_bytes, headers or {})
        if isinstance(answer, bytes):
            return answer
        if isinstance(answer, _Later):
            tries -= 1
            if tries < 1 or answer.seconds >= deadline - time.monotonic():
                raise SourceError(f"the server answers {answer.status}.")
            time.sleep(answer.seconds)
            continue
        before, target = target, _redirected(target, answer)
        if target.origin != before.origin:
            headers = None
    raise SourceError(f"more than {max_redirects} redirects.")


@contextmanager
def _turn(host: str) -> Iterator[None]:
    """A list of addresses is mostly one of a single host: no more than a few connections to it."""
    with _LOCK:
        turns, users = _TURNS.get(host, (threading.BoundedSemaphore(PER_HOST), 0))
        _TURNS[host] = (turns, users + 1)
    try:
        with turns:
            yield
    finally:
        with _LOCK:
            turns, users = _TURNS.pop(host)
            if users > 1:
                _TURNS[host] = (turns, users - 1)


def post(
    url: str,
    body: bytes,
    *,
    max_seconds: float,
    check_address: AddressCheck | None = None,
    headers: Mapping[str, str] | None = None,
) -> int:
    """Post a body to an http or https URL. A redirect is not followed.

    Parameters
    ----------
    url : str
        Without a user name or password.
    body : bytes
        What is sent.
    max_seconds : float
        For everything: looking the name up, the last byte of the answer's head.
    check_address : callable, optional
        As of `fetch`.
    headers : Mapping[str, str], optional
        Sent with it.

    Returns
    -------
    int
        The status of the answer, whose body is not read.

    Raises
    ------
    SourceError
        If there is no answer; with what `fetch` would say.
    """
    deadline = time.monotonic() + max_seconds
    try:
        target = _target(url)
        with _connect(target, deadline, max_seconds, check_address) as sock:
            connection = http.client.HTTPConnection(target.host, target.port)
            connection.sock = cast(socket.socket, _BoundedSocket(sock, deadline))
            try:
                connection.request("POST", target.path, body, {**(headers or {}), **FIXED})
                with connection.getresponse() as answer:
                    return answer.status
            except TimeoutError:
                raise _too_slow(max_seconds) from None
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise SourceError("the response is not HTTP, or it is incomplete.") from error
    except SourceError as error:
        raise SourceError(f"{_shown(url)}: {error}") from error.__cause__


def check_url(url: str) -> None:
    """SourceError for what is no http or https URL that can be fetched."""
    try:
        _target(url)
    except SourceError as error:
        raise SourceError(f"{_shown(url)}: {error}") from None


# URLs


def _target(url: str) -> _Target:
    """A URL, taken apart once: what is checked is what is connected to."""
    _check_text(url)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # brackets that do not match, a port that is no number
        raise SourceError("this is not a valid URL.") from None
    if parts.scheme not in PORTS or not host:
        raise SourceError("only http and https URLs with a host are fetched.")
    if "@" in parts.netloc:
        raise SourceError("a user name or password in a URL is not sent; leave it out.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not path.isascii():
        raise SourceError("percent-encode the non-ASCII characters in the path of this URL.")
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
        raise SourceError(f"the URL is longer than {URL_LENGTH:,} characters.")
    if not url.isprintable() or " " in url or "\\" in url:
        raise SourceError("spaces, control characters and backslashes are not allowed in a URL.")


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
        addresses = _look_up(target, deadline)
        if check_address is not None:
            for *_, address in addresses:  # all of them, before the first is connected to
                check_address(target.host, target.port, str(address[0]))
        return _connect_first(addresses[:ADDRESSES], target, deadline)
    except (SourceError, OSError, ValueError) as error:
        if check_address is not None:
            raise SourceError("none of its public addresses accepts a connection.") from error
        if isinstance(error, TimeoutError):
            raise _too_slow(max_seconds) from None
        raise SourceError(f"cannot be reached: {error}.") from None


def _look_up(target: _Target, deadline: float) -> list[Any]:
    """`socket.getaddrinfo`, which has no time limit, left alone when it takes too long."""
    addresses: list[Any] = []
    errors: list[Exception] = []

    def look_up() -> None:
        try:
            addresses.extend(socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM))
        except Exception as error:  # every kind is raised in the thread that waits
            errors.append(error)
        finally:
            _LOOKUPS.release()

    if not _LOOKUPS.acquire(timeout=_remaining_seconds(deadline)):
        raise TimeoutError("too many names are being looked up")
    thread = threading.Thread(target=look_up, name="unseen-lookup", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # no more threads
        _LOOKUPS.release()
        raise OSError(str(error)) from None
    thread.join(_remaining_seconds(deadline))
    if thread.is_alive():
        raise TimeoutError("the name takes too long to look up")
    if errors:
        raise errors[0]
    return addresses


def _connect_first(addresses: list[Any], target: _Target, deadline: float) -> socket.socket:
    last: OSError | None = None
    for index, (family, kind, protocol, _, address) in enumerate(addresses):
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as error:  # an address family that this machine does not have
            last = error
            continue
        try:
            # A silent address leaves time for the next.
            sock.settimeout(_remaining_seconds(deadline) / (len(addresses) - index))
            sock.connect(address)
            sock.settimeout(_remaining_seconds(deadline))
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


class _BoundedSocket(io.RawIOBase):
    """What http.client takes for a socket: nothing outlasts the deadline, or comes without end."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self.budget = HEAD_BYTES
        self._sock = sock
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(_remaining_seconds(self._deadline))
        self._sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.budget <= 0:
            raise http.client.HTTPException("more than there is room for")
        self._sock.settimeout(_remaining_seconds(self._deadline))
        count = self._sock.recv_into(memoryview(buffer)[: self.budget])
        self.budget -= count
        return count

    def close(self) -> None:
        """Left to whoever opened the socket: http.client closes before it reads the body."""


def _request(
    sock: socket.socket,
    target: _Target,
    deadline: float,
    max_seconds: float,
    max_bytes: int,
    headers: Mapping[str, str],
) -> bytes | str | _Later:
    """One request → the body, or the Location of a redirect, or when to ask again."""
    connection = http.client.HTTPConnection(target.host, target.port)
    wire = _BoundedSocket(sock, deadline)
    connection.sock = cast(socket.socket, wire)
    try:
        connection.request("GET", target.path, headers={**headers, **FIXED})
        with connection.getresponse() as answer:
            location = answer.getheader("Location")
            if answer.status in REDIRECTS and location:
                return location
            after = answer.getheader("Retry-After", "")
            if answer.status in LATER and after.isdecimal() and len(after) < 7:
                return _Later(answer.status, float(after))
            if answer.status != 200:
                raise SourceError(f"the server answers {answer.status}.")
            wire.budget = 2 * max_bytes + HEAD_BYTES  # chunks have heads, too
            return _body(answer, max_bytes)
    except TimeoutError:
        raise _too_slow(max_seconds) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        # Not its text: it may hold what the server sent.
        raise SourceError("the response is not HTTP, or it is incomplete.") from error


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
    return SourceError(f"no complete response within {max_seconds:g} s.")


def _remaining_seconds(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds
