"""What every request passes: host, origin, key, limits of size and time, and the log.

It reads the body, within limits, before a route sees the request; so a route has the
whole body at once, and a client that disconnects is noticed while the route works.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unseen.errors import without_frames
from unseen.web.problems import (
    OVERLOADED,
    ErrorBody,
    Problem,
    overloaded,
    problem_response,
    rfc9457,
)
from unseen.web.security import RESPONSE_HEADERS, host_name, is_cross_site
from unseen.web.server.core.logs import LOGGER
from unseen.web.server.core.memory import give_back
from unseen.web.server.core.metrics import Metrics
from unseen.web.server.core.settings import PROBES, ServerLimits
from unseen.web.server.http.keys import Keys
from unseen.web.server.http.refusals import RefusalPace
from unseen.web.server.http.turns import Turns

logger = logging.getLogger(LOGGER)

METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
LOGGED_PATH_CHARS = 200  # of a path that has no route
UPLOADS = ("multipart/form-data", "image/", "application/octet-stream")  # media types of bytes
KEY_IN_BODY = re.compile(rb'"api_key"\s{0,8}:\s{0,8}("(?:[^"\\]|\\.){0,1000}")')
RELEASED_BYTES = 64 * 1024 * 1024  # of bodies, after which memory is given back
KEYS_IN_BODY = 8  # that are tried
AT_ONCE = 8  # requests that begin, or lose their client, in a turn of the loop: 0.4 ms each
HEADERS = [(name.encode(), value.encode()) for name, value in RESPONSE_HEADERS.items()]
CLIENT_CLOSED = 499  # the status in the log where the client disconnected (as nginx has it)


@dataclass(frozen=True)
class RouteRules:
    """What the middleware needs to know of the routes, by path."""

    error_body: Callable[[str], ErrorBody] = lambda path: rfc9457
    route: Callable[[Scope], str] = lambda scope: "other"
    runs_network: Callable[[str, str], bool] = lambda method, path: False
    key_in_body: Callable[[str], bool] = lambda path: False
    streams: Callable[[str], bool] = lambda path: False  # its answers may take for ever
    public: Callable[[str, str], bool] = lambda method, path: False  # needs no key, and no model
    wrong_method: Callable[[Scope], bool] = lambda scope: False  # will be a 405


@dataclass
class _Record:
    """One request, for its line in the log."""

    method: str
    start: float = field(default_factory=time.perf_counter)
    status: int = CLIENT_CLOSED
    received: int = 0
    key: str | None = None
    error: str | None = None


class ServerMiddleware:
    """ASGI middleware around the whole application."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        limits: ServerLimits,
        keys: Keys,
        rules: RouteRules,
        hosts: frozenset[str] | None,
        origins: frozenset[str],
        until_ready: Callable[[], Awaitable[None]],
        admit: Callable[[], None],
        admitted: Callable[[], AbstractContextManager[None]],
        pace: RefusalPace,
    ) -> None:
        """`hosts`: the names by which clients may call this server; None: any. `origins`: of other
        sites whose pages may send requests. `until_ready` waits for the model; `admit` raises the
        Problem of an overloaded server, which is sent when `pace` lets it: before the body is read,
        and by `admitted`, which keeps room for a request, before it is parsed."""
        self._app = app
        self._metrics = metrics
        self._limits = limits
        self._keys = keys
        self._rules = rules
        self._hosts = hosts
        self._origins = origins
        self._until_ready = until_ready
        self._admit = admit
        self._admitted = admitted
        self._pace = pace
        self._turns = Turns(AT_ONCE)
        self._buffered = 0  # bytes of bodies at present
        self._released = 0  # and of those that are gone, since memory was given back

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        record = _Record(method if method in METHODS else "other")
        if method == "HEAD":  # a GET without its body
            scope = {**scope, "method": "GET", "unseen.head": True}
        request_id = uuid.uuid4().hex[:16]
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                record.status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", request_id.encode()),
                    *HEADERS,
                ]
            elif method == "HEAD":
                message["body"] = b""
            await send(message)

        try:
            if path not in PROBES:
                await self._turns.wait()
            await self._handle(scope, receive, sending, record)
        except Problem as problem:
            record.error = problem.code
            if problem.code == OVERLOADED:
                without_frames(problem)  # while it is held: they have the body
                await self._pace.wait()
            if not started:
                response = problem_response(problem, self._rules.error_body(path))
                with suppress(OSError):
                    await response(scope, receive, sending)
        except _DisconnectedError:
            record.status = CLIENT_CLOSED
            await self._turns.wait()
        except Exception:
            record.error = "bug"
            logger.exception("error", extra={"fields": {"request": request_id}})
            if started:
                raise
            bug = Problem(500, f"internal error; the server's log has it as request {request_id}.")
            body = self._rules.error_body(path)
            await problem_response(bug, body)(scope, receive, sending)
        finally:
            self._log(scope, record, request_id)

    async def _handle(self, scope: Scope, receive: Receive, send: Send, record: _Record) -> None:
        method, path = scope["method"], scope["path"]
        headers = dict(scope["headers"])
        if sum(name == b"host" for name, _ in scope["headers"]) > 1:  # RFC 9112, 3.2
            raise Problem(400, "the request has several Host headers; send one.", code="two_hosts")
        if path not in PROBES:
            self._check_host(headers)
        self._check_origin(method, headers)
        public = self._rules.public(method, path)
        needs_key = bool(self._keys) and not public
        in_body = needs_key and self._rules.key_in_body(path)
        if needs_key and not in_body:
            key = key_of_headers(headers, scope["query_string"])
            record.key = self._key_name(scope, key)
        if not public:
            await self._until_ready()
        runs_network = self._rules.runs_network(method, path)
        if runs_network:
            self._admit()
        uploads = not self._rules.key_in_body(path) and _is_upload(headers)
        body = await self._body(receive, headers, record, uploads=uploads)
        try:
            if in_body:
                key = key_of_headers(headers, scope["query_string"])
                key = self._known_key(body) if key is None else key
                record.key = self._key_name(scope, key)
            scope["unseen.key"], scope["unseen.body"] = record.key, body
            with self._admitted() if runs_network else nullcontext():
                await self._run(scope, receive, send)
        finally:
            scope.pop("unseen.body", None)
            self._release(len(body))
            del body

    def _release(self, size: int) -> None:
        """Counts a body as gone. After large ones their memory is given back, when none is left."""
        self._buffered -= size
        self._released += size
        if self._released > RELEASED_BYTES and self._buffered < RELEASED_BYTES / 8:
            self._released = 0
            loop = asyncio.get_running_loop()  # a little later, when what was made of them is gone
            loop.call_later(1, loop.run_in_executor, None, give_back)

    def _check_host(self, headers: dict[bytes, bytes]) -> None:
        """A page of another site must not reach a server on loopback by a name of its own."""
        if self._hosts is not None and host_name(headers).rstrip(".") not in self._hosts:
            raise Problem(
                421,
                "unknown host name; `unseen serve --allow-host NAME` allows it.",
                code="unknown_host",
            )

    def _check_origin(self, method: str, headers: dict[bytes, bytes]) -> None:
        """A page of another site must not make a browser write here, or run a network."""
        origin = headers.get(b"origin", b"").decode("latin-1")
        if (
            is_cross_site(headers)
            and method not in ("GET", "HEAD", "OPTIONS")
            and not (self._origins & {origin, "*"})
        ):
            raise Problem(
                403,
                "this page is of another site; `unseen serve --cors ORIGIN` allows it.",
                code="foreign_origin",
            )

    def _key_name(self, scope: Scope, key: str | None) -> str | None:
        """Whose key it is. Problem 401 for none, or an unknown one; who asks for a method that a
        path does not have is told that first, and needs none."""
        name = self._keys.name_of(key)
        if name is None and not self._rules.wrong_method(scope):
            self._metrics.rejected.labels("key").inc()
            what = "missing API key" if key is None else "unknown API key"
            raise Problem(
                401,
                f"{what}; send `Authorization: Bearer KEY`.",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return name

    def _known_key(self, body: bytearray) -> str | None:
        """The first `api_key` of a JSON body that is known, else the first."""
        keys = keys_of_body(body)
        return next((key for key in keys if self._keys.name_of(key)), keys[0] if keys else None)

    async def _body(
        self, receive: Receive, headers: dict[bytes, bytes], record: _Record, *, uploads: bool
    ) -> bytearray:
        """All of it, or the Problem of a body that is too large. Counted in `_buffered`."""
        max_bytes = self._limits.body_bytes
        if not uploads:
            max_bytes = min(max_bytes, self._limits.json_bytes)
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > max_bytes:
            raise self._too_large(max_bytes)
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise Problem(415, "unknown content-encoding; send the body uncompressed.")
        body = bytearray()  # and no list of parts to be joined, which would be there twice
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _DisconnectedError
                part = message.get("body", b"")
                body += part
                self._buffered += len(part)
                if len(body) > max_bytes:
                    raise self._too_large(max_bytes)
                if self._buffered > self._limits.buffered_bytes:
                    self._metrics.rejected.labels("memory").inc()
                    raise overloaded(1.0)
                if not message.get("more_body", False):
                    break
        except BaseException:
            self._release(len(body))
            raise
        record.received = len(body)
        self._metrics.stage_seconds.labels("receive").observe(time.perf_counter() - record.start)
        return body

    def _too_large(self, max_bytes: int) -> Problem:
        self._metrics.rejected.labels("size").inc()
        # The connection stays open: a client that still sends would not read the answer otherwise.
        return Problem(413, f"the body has more than {max_bytes:,} bytes.", code="too_large")

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application, until it has answered, its client disconnects, or its time is up."""
        sent = False
        never: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def replay() -> Message:
            nonlocal sent
            if not sent:
                sent = True
                return {"type": "http.request", "body": b""}  # routes have it from the scope
            await never  # this middleware itself watches for clients that disconnect
            return {"type": "http.disconnect"}

        work = asyncio.ensure_future(self._app(scope, replay, send))
        disconnect = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait(
                {work, disconnect},
                timeout=None if self._rules.streams(scope["path"]) else self._limits.seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if work.done():
                return work.result()
            if disconnect.done():
                raise _DisconnectedError
            self._metrics.rejected.labels("time").inc()
            raise Problem(
                503,
                f"no answer within {self._limits.seconds:g} s: the server is busy, or the "
                "request is too large.",
                code="timeout",
                retry_after=self._limits.seconds / 4,
            )
        finally:
            disconnect.cancel()
            if not work.done():
                work.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await work

    def _log(self, scope: Scope, record: _Record, request_id: str) -> None:
        seconds = time.perf_counter() - record.start
        route = self._rules.route(scope)
        self._metrics.requests.labels(route, record.method, str(record.status)).inc()
        self._metrics.request_seconds.labels(route).observe(seconds)
        if scope["path"] in PROBES:
            return
        fields: dict[str, Any] = {
            "request": request_id,
            "method": record.method,
            "route": route,
            "status": record.status,
            "ms": round(1000 * seconds, 1),
            "bytes": record.received,
        }
        if route == "other":
            fields["path"] = scope["path"][:LOGGED_PATH_CHARS]
        if record.key is not None:
            fields["key"] = record.key
        if record.error is not None:
            fields["error"] = record.error
        fields.update(scope.get("unseen.log", {}))
        logger.info("request", extra={"fields": fields})


class _DisconnectedError(Exception):
    """The client has closed the connection."""


async def _disconnected(receive: Callable[[], Awaitable[Message]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def key_of_headers(headers: dict[bytes, bytes], query: bytes) -> str | None:
    """The key of a request's head: `Authorization: Bearer KEY`, or `?api_key=KEY`.

    Or the password of `Authorization: Basic`, which is all that some tools can send.
    """
    scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"basic":
        key = _password(key)
    if scheme.lower() in (b"bearer", b"basic") and key.strip():
        return key.strip().decode("latin-1")
    try:
        keys = parse_qs(query.decode("latin-1"), max_num_fields=100).get("api_key", [])
    except ValueError:  # more fields than that
        return None
    return keys[0] if keys else None


def _password(credentials: bytes) -> bytes:
    with suppress(ValueError):
        return base64.b64decode(credentials.strip(), validate=True).partition(b":")[2]
    return b""


def keys_of_body(body: bytes | bytearray) -> list[str]:
    """The first values of `api_key` in a JSON body, wherever they stand: it is not parsed yet.

    A key that is known proves who sends it in any place, so the body needs no parser before.
    """
    keys = []
    for match in islice(KEY_IN_BODY.finditer(body), KEYS_IN_BODY):
        with suppress(ValueError):
            keys.append(json.loads(match[1]))
    return keys


def _is_upload(headers: dict[bytes, bytes]) -> bool:
    """Whether a body holds pictures as bytes; any other is JSON, or refused."""
    media_type = headers.get(b"content-type", b"").decode("latin-1").strip().lower()
    return not media_type or media_type.startswith(UPLOADS)
