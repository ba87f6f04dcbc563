"""A URL → bytes, within limits: size, total time, redirects, schemes."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, cast
from urllib.parse import urljoin, urlsplit

from unseen import __version__
from unseen.errors import SourceError
from unseen.sources.hosts import robots
from unseen.sources.hosts.connection import (
    HEAD_BYTES,
    BoundedSocket,
    Target,
    connect,
    too_slow,
)
from unseen.sources.hosts.turns import turn
from unseen.sources.item import name_of

if TYPE_CHECKING:
    from unseen.types import AddressCheck

PORTS = {"http": 80, "https": 443}
REDIRECTS = {301, 302, 303, 307, 308}
CHUNK = 1 << 16
URL_LENGTH = 8192
FIXED = {"User-Agent": f"unseen/{__version__}", "Connection": "close"}

LATER = {429, 503}  # with Retry-After: the server says when to ask again
TRIES = 3  # of an address whose server says so
NOT_MODIFIED = 304
# What an answer says of its version → the header that asks whether there is another by now.
VALIDATORS = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}
VALIDATOR_LENGTH = 1024


class _Later(NamedTuple):
    status: int
    seconds: float


class Answer(NamedTuple):
    """What a server sent.

    `body`: None where nothing has changed since the version that was named. `version`: what names
    this one when it is asked for again; "" where the server gives it no name. `address`: where it
    came from, after redirects.
    """

    body: bytes | None
    version: str
    address: str


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
    Without `check_address` a host has no more than four connections at a time, of all processes of
    this machine together, and one that answers 429 or 503 with Retry-After is asked again then,
    twice at most and within the time.

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
            answer = _fetch(target, max_bytes, max_seconds, max_redirects, check_address, headers)
        else:
            with turn(target.host):
                answer = _fetch(
                    target, max_bytes, max_seconds, max_redirects, None, headers, tries=TRIES
                )
    except SourceError as error:
        raise SourceError(f"{_shown(url)}: {error}") from error.__cause__
    return answer.body or b""


def fetch_for_use(
    url: str, *, max_bytes: int, max_seconds: float, max_redirects: int, version: str = ""
) -> Answer:
    """Fetch what is to be classified or kept: as `fetch`, where its server does not refuse that.

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
    version : str
        `Answer.version` of an earlier answer. If the server still has that one, nothing is sent.

    Returns
    -------
    Answer

    Raises
    ------
    SourceError
        As of `fetch`, and where the answer has an X-Robots-Tag that refuses: `hosts.robots`.
    """
    try:
        target = _target(url)
        with turn(target.host):
            return _fetch(
                target, max_bytes, max_seconds, max_redirects, None, _conditions(version),
                tries=TRIES, heeds_robots=True,
            )  # fmt: skip
    except SourceError as error:
        raise SourceError(f"{_shown(url)}: {error}") from error.__cause__


def _conditions(version: str) -> dict[str, str]:
    """The headers that ask for another version than this; none for what is no version."""
    try:
        headers = json.loads(version) if version else {}
    except ValueError:
        return {}
    is_valid = isinstance(headers, dict) and headers.keys() <= {*VALIDATORS.values()}
    return headers if is_valid and all(isinstance(one, str) for one in headers.values()) else {}


def _version(answer: http.client.HTTPResponse) -> str:
    """The headers that `_conditions` gives, as one string."""
    values = ((sent, answer.getheader(name, "")) for name, sent in VALIDATORS.items())
    headers = {sent: value for sent, value in values if 0 < len(value) <= VALIDATOR_LENGTH}
    return json.dumps(headers) if headers else ""


def _fetch(
    target: Target,
    max_bytes: int,
    max_seconds: float,
    max_redirects: int,
    check_address: AddressCheck | None,
    headers: Mapping[str, str] | None,
    tries: int = 1,
    heeds_robots: bool = False,
) -> Answer:
    deadline = time.monotonic() + max_seconds
    for _ in range(max_redirects + tries):
        with connect(target, deadline, max_seconds, check_address) as sock:
            answer = _request(
                sock, target, deadline, max_seconds, max_bytes, headers or {}, heeds_robots
            )
        if isinstance(answer, Answer):
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
        with connect(target, deadline, max_seconds, check_address) as sock:
            connection = http.client.HTTPConnection(target.host, target.port)
            connection.sock = cast(socket.socket, BoundedSocket(sock, deadline))
            try:
                connection.request("POST", target.path, body, {**(headers or {}), **FIXED})
                with connection.getresponse() as answer:
                    return answer.status
            except TimeoutError:
                raise too_slow(max_seconds) from None
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


def _target(url: str) -> Target:
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
    return Target(parts.scheme, host, PORTS[parts.scheme] if port is None else port, path, url)


def _redirected(target: Target, location: str) -> Target:
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


# one request and its answer


def _request(
    sock: socket.socket,
    target: Target,
    deadline: float,
    max_seconds: float,
    max_bytes: int,
    headers: Mapping[str, str],
    heeds_robots: bool = False,
) -> Answer | str | _Later:
    """One request → the answer, or the Location of a redirect, or when to ask again."""
    connection = http.client.HTTPConnection(target.host, target.port)
    wire = BoundedSocket(sock, deadline)
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
            if answer.status == NOT_MODIFIED and headers.keys() & {*VALIDATORS.values()}:
                return Answer(None, json.dumps({**headers}), target.url)
            if answer.status != 200:
                raise SourceError(f"the server answers {answer.status}.")
            if heeds_robots:
                robots.check(answer.headers.get_all("X-Robots-Tag", ()))
            wire.budget = 2 * max_bytes + HEAD_BYTES  # chunks have heads, too
            return Answer(_body(answer, max_bytes), _version(answer), target.url)
    except TimeoutError:
        raise too_slow(max_seconds) from None
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
