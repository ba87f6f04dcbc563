"""A connection to the host of a URL: the name, the address and the answer are bounded."""

from __future__ import annotations

import functools
import http.client
import io
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from unseen.errors import SourceError

if TYPE_CHECKING:
    from unseen.types import AddressCheck

HEAD_BYTES = 1 << 16  # status lines and headers of one answer, with all that is sent before them
ADDRESSES = 4  # of one name, that are tried in turn

# A name lookup cannot be cancelled, only abandoned: no more than these run at a time.
_LOOKUPS = threading.BoundedSemaphore(32)


class Target(NamedTuple):
    """A URL taken apart: what is checked is what is connected to."""

    scheme: str
    host: str
    port: int
    path: str
    url: str

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port."""
        return self[:3]


def connect(
    target: Target, deadline: float, max_seconds: float, check_address: AddressCheck | None
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
            raise too_slow(max_seconds) from None
        raise SourceError(f"cannot be reached: {error}.") from None


def _look_up(target: Target, deadline: float) -> list[Any]:
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

    if not _LOOKUPS.acquire(timeout=remaining_seconds(deadline)):
        raise TimeoutError("too many names are being looked up")
    thread = threading.Thread(target=look_up, name="unseen-lookup", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # no more threads
        _LOOKUPS.release()
        raise OSError(str(error)) from None
    thread.join(remaining_seconds(deadline))
    if thread.is_alive():
        raise TimeoutError("the name takes too long to look up")
    if errors:
        raise errors[0]
    return addresses


def _connect_first(addresses: list[Any], target: Target, deadline: float) -> socket.socket:
    last: OSError | None = None
    for index, (family, kind, protocol, _, address) in enumerate(addresses):
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as error:  # an address family that this machine does not have
            last = error
            continue
        try:
            # A silent address leaves time for the next.
            sock.settimeout(remaining_seconds(deadline) / (len(addresses) - index))
            sock.connect(address)
            sock.settimeout(remaining_seconds(deadline))
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


class BoundedSocket(io.RawIOBase):
    """What http.client takes for a socket: nothing outlasts the deadline, or comes without end."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self.budget = HEAD_BYTES
        self._sock = sock
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        """Send all of it, in time."""
        self._sock.settimeout(remaining_seconds(self._deadline))
        self._sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        """What the answer is read from."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """As a stream that is read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """What has come, in time, and no more than there is room for."""
        if self.budget <= 0:
            raise http.client.HTTPException("more than there is room for")
        self._sock.settimeout(remaining_seconds(self._deadline))
        count = self._sock.recv_into(memoryview(buffer)[: self.budget])
        self.budget -= count
        return count

    def close(self) -> None:
        """Left to whoever opened the socket: http.client closes before it reads the body."""


def too_slow(max_seconds: float) -> SourceError:
    """The error of an answer that is not whole in time."""
    return SourceError(f"no complete response within {max_seconds:g} s.")


def remaining_seconds(deadline: float) -> float:
    """Up to a time of the monotonic clock. TimeoutError where it is over."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds
