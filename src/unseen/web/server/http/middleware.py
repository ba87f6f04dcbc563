"""What every request passes: who asks, how much, how long, and what is written down of it.

It reads the body, within limits, before a route sees the request; so a route works on what is
there, and a client that has gone away is noticed while the route works.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unseen.web.server.core.keys import Keys
from unseen.web.server.core.logs import LOGGER
from unseen.web.server.core.metrics import Metrics
from unseen.web.server.core.problems import Problem, Shape, answer, overloaded, rfc9457
from unseen.web.server.core.settings import ServerLimits

logger = logging.getLogger(LOGGER)

METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
PROBES = frozenset({"/healthz", "/readyz", "/metrics"})  # asked by whatever name, or address
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
SHOWN = 200  # characters of a path that is no route's, in the log
GONE = 499  # what the log calls a request whose client went away


@dataclass(frozen=True)
class Rules:
    """What the door needs to know of the routes, by path."""

    shape: Callable[[str, str], Shape] = lambda method, path: rfc9457
    route: Callable[[Scope], str] = lambda scope: "other"
    works: Callable[[str, str], bool] = lambda method, path: False  # asks for the networks
    key_in_body: Callable[[str], bool] = lambda path: False
    public: Callable[[str, str], bool] = lambda method, path: False  # needs no key


@dataclass
class _Record:
    """One request, for its line in the log."""

    method: str
    start: float = field(default_factory=time.perf_counter)
    status: int = GONE
    received: int = 0
    key: str | None = None
    error: str | None = None


class Door:
    """ASGI middleware around the whole application."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        limits: ServerLimits,
        keys: Keys,
        rules: Rules,
        hosts: frozenset[str] | None,
        origins: frozenset[str],
        admit: Callable[[], None],
    ) -> None:
        """`hosts`: the names that clients may call this server by; None: any. `origins`: of other
        sites whose pages may ask. `admit` raises the Problem of a server that has no room."""
        self._app = app
        self._metrics = metrics
        self._limits = limits
        self._keys = keys
        self._rules = rules
        self._hosts = hosts
        self._origins = origins
        self._admit = admit
        self._buffered = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        record = _Record(method if method in METHODS else "other")
        if method == "HEAD":  # a GET whose body is left out
            scope = {**scope, "method": "GET"}
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
                    (b"x-content-type-options", b"nosniff"),
                    (b"cross-origin-resource-policy", b"same-origin"),
                ]
            elif method == "HEAD":
                message["body"] = b""
            await send(message)

        try:
            await self._let_in(scope, receive, sending, record)
        except Problem as problem:
            record.error = problem.code
            if not started:
                response = answer(problem, self._rules.shape(method, path))
                with suppress(OSError):
                    await response(scope, receive, sending)
        except _GoneError:
            record.status = GONE
        except Exception:
            record.error = "bug"
            logger.exception("error", extra={"fields": {"request": request_id}})
            if started:
                raise
            bug = Problem(500, f"an error of the server, which has been logged: {request_id}.")
            await answer(bug, self._rules.shape(method, path))(scope, receive, sending)
        finally:
            self._write_down(scope, record, request_id)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send, record: _Record) -> None:
        method, path = scope["method"], scope["path"]
        headers = dict(scope["headers"])
        if path not in PROBES:
            self._check_host(headers.get(b"host", b"").decode("latin-1"))
        self._check_origin(method, headers)
        if self._rules.works(method, path):
            self._admit()
        needs_key = bool(self._keys) and not self._rules.public(method, path)
        in_body = needs_key and self._rules.key_in_body(path)
        if needs_key and not in_body:
            record.key = self._known(given_key(headers, scope["query_string"]))
        body = await self._body(receive, headers, record)
        try:
            if in_body:
                given = given_key(headers, scope["query_string"]) or key_of_body(body)
                record.key = self._known(given)
            scope["unseen.key"] = record.key
            await self._run(scope, receive, send, body)
        finally:
            self._buffered -= len(body)

    def _check_host(self, host: str) -> None:
        """A page of another site must not reach a server at home by a name of its own."""
        if self._hosts is None:
            return
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        if name.lower().rstrip(".") not in self._hosts:
            raise Problem(
                421,
                "this server is not called by that name: `unseen serve --allow-host NAME`.",
                code="unknown_host",
            )

    def _check_origin(self, method: str, headers: dict[bytes, bytes]) -> None:
        """A page of another site must not make a browser work or write here, unseen."""
        foreign = headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin")
        origin = headers.get(b"origin", b"").decode("latin-1")
        if (
            foreign
            and method not in ("GET", "HEAD", "OPTIONS")
            and not (self._origins & {origin, "*"})
        ):
            raise Problem(
                403,
                "pages of other sites may not ask this server: `unseen serve --cors ORIGIN`.",
                code="foreign_origin",
            )

    def _known(self, key: str | None) -> str:
        name = self._keys.name_of(key)
        if name is None:
            self._metrics.rejected.labels("key").inc()
            what = "a key is needed" if key is None else "this key is not known"
            raise Problem(
                401,
                f"{what}: send it as `Authorization: Bearer KEY`.",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return name

    async def _body(self, receive: Receive, headers: dict[bytes, bytes], record: _Record) -> bytes:
        """All of it, or the Problem of a body that is too large. Counted in `_buffered`."""
        most = self._limits.body_bytes
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > most:
            raise self._too_large()
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise Problem(415, "a body with a content-encoding is not read: send it as it is.")
        parts: list[bytes] = []
        size = 0
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _GoneError
                part = message.get("body", b"")
                size += len(part)
                self._buffered += len(part)
                parts.append(part)
                if size > most:
                    raise self._too_large()
                if self._buffered > self._limits.buffered_bytes:
                    self._metrics.rejected.labels("memory").inc()
                    raise overloaded(1.0)
                if not message.get("more_body", False):
                    break
        except BaseException:
            self._buffered -= size
            raise
        record.received = size
        self._metrics.stage_seconds.labels("receive").observe(time.perf_counter() - record.start)
        return b"".join(parts) if len(parts) > 1 else parts[0]

    def _too_large(self) -> Problem:
        self._metrics.rejected.labels("size").inc()
        most = self._limits.body_bytes
        # The connection stays: to close it on a client that still sends would lose it this answer.
        return Problem(413, f"the body has more than {most:,} bytes.", code="too_large")

    async def _run(self, scope: Scope, receive: Receive, send: Send, body: bytes) -> None:
        """The application, until it has answered, its client has gone, or its time is up."""
        given = False
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def replay() -> Message:
            nonlocal given
            if not given:
                given = True
                return {"type": "http.request", "body": body, "more_body": False}
            await waiting  # for ever: this door sees to clients that go away
            return {"type": "http.disconnect"}

        work = asyncio.ensure_future(self._app(scope, replay, send))
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait(
                {work, gone}, timeout=self._limits.seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if work.done():
                return work.result()
            if gone.done():
                raise _GoneError
            self._metrics.rejected.labels("time").inc()
            raise Problem(
                503,
                f"no answer within {self._limits.seconds:g} s: the server is busy, or too much was "
                "asked for at once.",
                code="timeout",
                retry_after=self._limits.seconds / 4,
            )
        finally:
            gone.cancel()
            if not work.done():
                work.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await work

    def _write_down(self, scope: Scope, record: _Record, request_id: str) -> None:
        seconds = time.perf_counter() - record.start
        route = self._rules.route(scope)
        self._metrics.requests.labels(route, record.method, str(record.status)).inc()
        self._metrics.request_seconds.labels(route).observe(seconds)
        fields: dict[str, Any] = {
            "request": request_id,
            "method": record.method,
            "route": route,
            "status": record.status,
            "ms": round(1000 * seconds, 1),
            "bytes": record.received,
        }
        if route == "other":
            fields["path"] = scope["path"][:SHOWN]
        if record.key is not None:
            fields["key"] = record.key
        if record.error is not None:
            fields["error"] = record.error
        fields.update(scope.get("unseen.log", {}))
        logger.info("request", extra={"fields": fields})


class _GoneError(Exception):
    """The client has gone away."""


async def _disconnected(receive: Callable[[], Awaitable[Message]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def given_key(headers: dict[bytes, bytes], query: bytes) -> str | None:
    """The key of a request's head: `Authorization: Bearer KEY`, or `?api_key=KEY`.

    Or the password of `Authorization: Basic`, which is all that some tools can send.
    """
    scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"basic":
        key = _password(key)
    if scheme.lower() in (b"bearer", b"basic") and key.strip():
        return key.strip().decode("latin-1")
    try:
        found = parse_qs(query.decode("latin-1"), max_num_fields=100).get("api_key", [])
    except ValueError:  # more fields than that
        return None
    return found[0] if found else None


def _password(credentials: bytes) -> bytes:
    with suppress(ValueError):
        return base64.b64decode(credentials.strip(), validate=True).partition(b":")[2]
    return b""


def key_of_body(body: bytes) -> str | None:
    """The `api_key` of a JSON body."""
    try:
        found = json.loads(body)["api_key"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, str) else None
