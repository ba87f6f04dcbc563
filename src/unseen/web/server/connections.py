"""A connection of uvicorn that is closed when its client is too slow, or its head too long.

uvicorn itself waits without limit for a request to arrive, and for an answer to be read (measured
with 0.54: five kinds of slow clients were all still connected after 25 s), and takes heads without
limit (1.5 GB in 2.4 s). Where there is no room for another connection, the idlest is closed.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from typing import Any, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from unseen.web.server.core.settings import PROBES

REFUSED_SECONDS = 1.0  # that a client has to read why, and to stop sending
LINGER_SECONDS = 0.5  # that an idle connection stays open at the end: a request may be under way
PROBE_CONNECTIONS = 64  # beyond all others, for probes alone


class Client(Protocol):
    """One end of a connection, as `Waiting` knows it."""

    def abort(self) -> None:
        """Closes it at once."""


Group = dict[Client, float]


class Waiting:
    """The connections that wait for their clients → since when; the first is closed first."""

    def __init__(self) -> None:
        self.new: Group = {}  # that have sent no request yet
        self.idle: Group = {}  # between two requests
        self.slow: Group = {}  # for the rest of a body, or to be read
        self.accepted: set[Client] = set()  # clients that have no `Connection` yet

    def put(self, client: Client, group: Group | None) -> None:
        """Enters what is waited for; None: it is the server's turn."""
        for other in (self.new, self.idle, self.slow):
            if other is not group:
                other.pop(client, None)
        if group is not None:
            group.setdefault(client, time.monotonic())

    def make_room(self, seconds: float) -> bool:
        """Closes the connection that waits longest, a slow one only if it has waited for so many
        seconds; whether there was one."""
        for group in (self.new, self.idle, self.slow):
            for client, since in group.items():
                if group is self.slow and since > time.monotonic() - seconds:
                    break
                self.put(client, None)
                client.abort()
                return True
        return False


class Connection(HttpToolsProtocol):
    """Closed when a request, or the reading of its answer, takes too long; 431 for a long head.

    The two have a timer each: a client that reads does not get more time to send, or the other way
    round.
    """

    head_seconds = 5.0  # until the end of a head, from its first byte; the first, from connecting
    receive_seconds = 30.0  # until the end of a request; and to read an answer
    max_connections = 1024
    head_bytes = 64 * 1024  # of a request before its body, and of what follows a body in chunks
    waiting = Waiting()  # `uvicorn_config` makes one for each server

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._receiving: asyncio.TimerHandle | None = None
        self._sending: asyncio.TimerHandle | None = None
        self._head = 0  # bytes since the last of a body, or since the request before
        self._in_body = False
        self._refused = False
        self._probes_only = False
        self._last = False  # whether the next request is the last one

    # what a client owes

    def _receive_within(self, seconds: float) -> None:
        self._stop_receiving()
        self._receiving = self.loop.call_later(seconds, self._receive_ended, seconds)

    def _stop_receiving(self) -> None:
        if self._receiving is not None:
            self._receiving.cancel()
            self._receiving = None

    def _receive_ended(self, seconds: float) -> None:
        if self.flow.read_paused:  # it is this server that does not read: requests in a pipeline
            self._receive_within(seconds)
        else:
            self.transport.abort()  # close() would first send what is buffered

    def _send_within(self, seconds: float) -> None:
        self._stop_sending()
        self._sending = self.loop.call_later(seconds, self._send_ended)

    def _stop_sending(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None

    def _send_ended(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()

    def _enter(self) -> None:
        """Enters in `waiting` what this connection waits for."""
        waiting = self.waiting
        if self._in_body or self.transport.get_write_buffer_size():
            waiting.put(self, waiting.slow)
        elif self.cycle is None:
            waiting.put(self, waiting.new)
        elif self.cycle.response_complete and not self.pipeline:
            waiting.put(self, waiting.idle)
        else:
            waiting.put(self, None)

    def abort(self) -> None:
        """Closes it at once, to make room for another."""
        self.transport.abort()

    # asyncio and httptools call these

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        more = len(self.connections) + len(self.waiting.accepted) - self.max_connections
        if more > 0 and not self.waiting.make_room(self.head_seconds):
            self._probes_only = True
            if more > PROBE_CONNECTIONS:
                transport.abort()
                return
        # asyncio does it only for sockets that name their protocol, which create_server's do not;
        # without it the second half of an answer waits 40 ms for the first to be acknowledged.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._enter()
        self._receive_within(self.head_seconds)

    def data_received(self, data: bytes) -> None:
        while data and not self._refused and not self.transport.is_closing():
            room = self.head_bytes + 1 - self._head
            piece, data = data[:room], data[room:]
            self._head += len(piece)
            super().data_received(piece)  # on_body and the like begin to count anew
            if self._head > self.head_bytes:
                detail = f"the head of the request has more than {self.head_bytes:,} bytes."
                self._refuse(431, detail)

    def _refuse(self, status: int, detail: str, *headers: str) -> None:
        """Answers what no application will see, and ends the connection."""
        self._refused = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.abort()  # an answer to what came before may be half sent
            return
        body = json.dumps({"error": detail, "message": detail, "detail": detail})
        head = [
            "content-type: application/json",
            "connection: close",
            *headers,
            f"content-length: {len(body)}",
        ]
        lines = "\r\n".join([*head, "", body])
        self.transport.write(STATUS_LINE[status] + lines.encode("ascii"))
        # What still comes is read and dropped: closed at once, the client would see a reset alone.
        self.loop.call_later(REFUSED_SECONDS, self.transport.abort)

    def on_body(self, body: bytes) -> None:
        self._head = 0
        if not self._refused:
            super().on_body(body)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._receive_within(self.head_seconds)

    def on_headers_complete(self) -> None:
        self._head = 0
        if self._probes_only and self.url.partition(b"?")[0].decode("latin-1") not in PROBES:
            detail = "the server has no room for more connections; try again later."
            self._refuse(503, detail, "retry-after: 1")
            return
        super().on_headers_complete()
        self._in_body = True
        self._enter()
        self._receive_within(self.receive_seconds)
        if self._last:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self._head = 0
        if self._refused:
            return
        super().on_message_complete()
        self._in_body = False
        self._enter()
        self._stop_receiving()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._enter()
        if self.transport.get_write_buffer_size():
            self._send_within(self.receive_seconds)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._enter()
        self._send_within(self.receive_seconds)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._enter()
        self._send_within(self.receive_seconds)  # for the rest of it

    def connection_lost(self, exc: Exception | None) -> None:
        self.waiting.put(self, None)
        self._stop_receiving()
        self._stop_sending()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """When the server ends: an idle connection stays a moment, for what is on its way.

        That is answered with `Connection: close`, so that its client knows not to send more.
        """
        self._last = True
        if self.cycle is None or self.cycle.response_complete:
            self._unset_keepalive_if_required()
            self.loop.call_later(LINGER_SECONDS, self._end)
        else:
            super().shutdown()

    def _end(self) -> None:
        if not self.transport.is_closing():
            super().shutdown()
