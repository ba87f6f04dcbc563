"""A connection of uvicorn that is closed when its client is too slow, or its head too long.

uvicorn itself waits without limit for a request to arrive, and for an answer to be read (measured
with 0.54: five kinds of slow clients were all still connected after 25 s), and takes heads without
limit (1.5 GB in 2.4 s).
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

REFUSED_SECONDS = 1.0  # that a client has to read why, and to stop sending
LINGER_SECONDS = 0.5  # that an idle connection stays open at the end: a request may be under way


class Connection(HttpToolsProtocol):
    """Closed when a request, or the reading of its answer, takes too long; 431 for a long head."""

    receive_seconds = 30.0
    max_connections = 1024
    head_bytes = 64 * 1024  # of a request before its body, and of what follows a body in chunks

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._deadline: asyncio.TimerHandle | None = None
        self._head = 0  # bytes since the last of a body, or since the request before
        self._refused = False
        self._last = False  # whether the next request is the last one

    def _start_deadline(self, seconds: float) -> None:
        self._stop_deadline()
        self._deadline = self.loop.call_later(seconds, self._too_slow)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        if self.transport is not None:
            self.transport.abort()  # close() would first send what is buffered

    # asyncio and httptools call these

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            transport.abort()
            return
        # asyncio does it only for sockets that name their protocol, which create_server's do not;
        # without it the second half of an answer waits 40 ms for the first to be acknowledged.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._start_deadline(self.receive_seconds)

    def data_received(self, data: bytes) -> None:
        while data and not self._refused and not self.transport.is_closing():
            room = self.head_bytes + 1 - self._head
            piece, data = data[:room], data[room:]
            self._head += len(piece)
            super().data_received(piece)  # on_body and the like begin to count anew
            if self._head > self.head_bytes:
                self._refuse_head()

    def _refuse_head(self) -> None:
        self._refused = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.abort()  # an answer to what came before may be half sent
            return
        detail = f"the head of the request has more than {self.head_bytes:,} bytes."
        self.transport.write(
            STATUS_LINE[431]
            + b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
            + f"content-length: {len(detail)}\r\n\r\n{detail}".encode("ascii")
        )
        # What still comes is read and dropped: closed at once, the client would see a reset alone.
        self.loop.call_later(REFUSED_SECONDS, self.transport.abort)

    def on_body(self, body: bytes) -> None:
        self._head = 0
        super().on_body(body)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._start_deadline(self.receive_seconds)

    def on_headers_complete(self) -> None:
        self._head = 0
        super().on_headers_complete()
        if self._last:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self._head = 0
        super().on_message_complete()
        self._stop_deadline()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_deadline(self.receive_seconds)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_deadline()
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
