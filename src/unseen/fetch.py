"""A URL → bytes, within limits: size, total time, redirects, schemes."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

from unseen import __version__
from unseen.errors import SourceError

REDIRECTS = {301, 302, 303, 307, 308}
CHUNK = 1 << 16

# Given each address before it is connected to; raises to refuse it.
AddressCheck = Callable[[str], None]


def fetch(
    url: str,
    *,
    max_bytes: int,
    max_seconds: float,
    max_redirects: int,
    check_address: AddressCheck | None = None,
) -> bytes:
    """The body at an http or https URL. Raises SourceError.

    `check_address` sees the address that is then connected to, on every redirect too: a name that
    resolves differently the second time gains nothing.
    """
    deadline = time.monotonic() + max_seconds
    at = url
    for _ in range(max_redirects + 1):
        try:
            status, location, body = _get(at, deadline, max_bytes, check_address)
        except (TimeoutError, socket.timeout):  # noqa: UP041 - two classes before Python 3.11
            raise SourceError(f"{url}: no whole answer within {max_seconds:g} s.") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise SourceError(f"{url}: cannot be reached: {error}.") from None
        if status in REDIRECTS and location:
            at = urljoin(at, location)
            continue
        if status != 200:
            raise SourceError(f"{url}: the server answers {status}.")
        if len(body) > max_bytes:
            raise SourceError(f"{url}: more than {max_bytes:,} bytes; raise max_bytes to allow it.")
        return body
    raise SourceError(f"{url}: more than {max_redirects} redirects.")


def _get(
    url: str, deadline: float, max_bytes: int, check_address: AddressCheck | None
) -> tuple[int, str | None, bytes]:
    """One request → status, Location, and at most max_bytes + 1 bytes of the body."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SourceError(f"{url}: only http and https URLs with a host are fetched.")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    connection = http.client.HTTPConnection(parts.hostname, port)
    sock = _connect(parts.scheme, parts.hostname, port, deadline, check_address)
    connection.sock = sock
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", target, headers={"User-Agent": f"unseen/{__version__}"})
        answer = connection.getresponse()
        body = bytearray()
        while answer.status == 200 and len(body) <= max_bytes:
            sock.settimeout(_left(deadline))  # a drip of bytes must not outlast it
            chunk = answer.read1(min(CHUNK, max_bytes + 1 - len(body)))
            if not chunk:
                break
            body += chunk
        return answer.status, answer.getheader("Location"), bytes(body)
    finally:
        connection.close()
        sock.close()


def _connect(
    scheme: str, host: str, port: int, deadline: float, check_address: AddressCheck | None
) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    if check_address is not None:
        for *_, address in found:
            check_address(str(address[0]))
    last: OSError | None = None
    for family, kind, protocol, _, address in found:
        sock = socket.socket(family, kind, protocol)
        sock.settimeout(_left(deadline))
        try:
            sock.connect(address)
            if scheme == "https":
                return ssl.create_default_context().wrap_socket(sock, server_hostname=host)
            return sock
        except OSError as error:
            sock.close()
            last = error
    raise last or OSError("the name has no address")


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
