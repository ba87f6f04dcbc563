"""Clients accepted in small bites: one that has sent nothing is a socket, and no more.

asyncio makes a task, a transport and a protocol of each client at once, and a flood of clients is
a pause for all others: 2,500 that came together kept a probe waiting for 0.2 s. Here these are made
when the first bytes have come: at once for a probe, for others a few in each turn of the loop.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections import deque
from collections.abc import Callable, Sized

from unseen.web.server.connections import PROBE_CONNECTIONS, Connection
from unseen.web.server.core.settings import PROBES

BACKLOG = 2048  # clients that may wait to be accepted
ACCEPTED_AT_ONCE = 64  # in a turn of the loop
BEGUN_AT_ONCE = 4  # connections that are made in a turn, and the requests that they bring
RETRY_SECONDS = 0.5  # until more are accepted, where the system had no room for them
NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
PROBE_LINES = tuple(f"GET {path} ".encode() for path in sorted(PROBES))
PEEKED = max(map(len, PROBE_LINES))


class Silent:
    """A client that has connected, and sent nothing yet."""

    def __init__(self, client: socket.socket, forget: Callable[[Silent], None]) -> None:
        self.socket = client
        self._forget = forget

    def abort(self) -> None:
        """Closes it, to make room for another, or because its time is up."""
        self._forget(self)
        self.socket.close()


class Listener:
    """Accepts the clients of a listening socket. For one event loop.

    Parameters
    ----------
    listening : socket.socket
        Bound, and listening; `close` closes it.
    kind : type of Connection
        What serves a client, with its limits.
    make : callable
        Makes one.
    connections : sized
        All that there are.

    Raises
    ------
    NotImplementedError
        Where the event loop watches no sockets, as that of Windows.
    """

    def __init__(
        self,
        listening: socket.socket,
        kind: type[Connection],
        make: Callable[[], asyncio.Protocol],
        connections: Sized,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listening = listening
        self._kind = kind
        self._waiting = kind.waiting
        self._make = make
        self._connections = connections
        self._silent: dict[Silent, float] = {}  # since when; the first is the first to go
        self._begun: deque[Silent] = deque()  # have sent something, and wait for their turn
        self._expiry: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        listening.setblocking(False)
        self._loop.add_reader(listening, self._accept)

    # who connects

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            if not self._accept_one():
                return

    def _accept_one(self) -> bool:
        """Whether there may be another."""
        try:
            client, _ = self._listening.accept()
        except ConnectionAbortedError:
            return True
        except OSError as error:  # mostly: nobody is there
            if error.errno in NO_ROOM:  # else the loop would try again at once, for ever
                self._loop.remove_reader(self._listening)
                self._loop.call_later(RETRY_SECONDS, self._accept_again)
            return False
        client.setblocking(False)
        more = len(self._connections) + len(self._waiting.accepted) + 1 - self._kind.max_connections
        has_room = more <= 0 or self._waiting.make_room(self._kind.head_seconds)
        if not has_room and more > PROBE_CONNECTIONS:
            client.close()
            return True
        silent = Silent(client, self._forget)
        self._waiting.accepted.add(silent)
        self._look(silent)
        return True

    def _accept_again(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._listening, self._accept)

    # who has sent something

    def _look(self, silent: Silent) -> None:
        """Nothing may have come yet, or a probe, another request, or the end."""
        try:
            first = silent.socket.recv(PEEKED, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            self._wait_for(silent)
            return
        except OSError:
            first = b""
        if not first:
            silent.abort()
        elif first.startswith(PROBE_LINES):
            self._begin(silent)
        else:
            self._stop_waiting(silent)
            if not self._begun:
                self._loop.call_soon(self._begin_some)
            self._begun.append(silent)

    def _wait_for(self, silent: Silent) -> None:
        if silent in self._silent:
            return
        self._silent[silent] = time.monotonic()
        self._waiting.put(silent, self._waiting.new)
        self._loop.add_reader(silent.socket, self._look, silent)
        if self._expiry is None:
            self._expiry = self._loop.call_later(self._kind.head_seconds, self._expire)

    def _stop_waiting(self, silent: Silent) -> None:
        if self._silent.pop(silent, None) is not None:
            self._loop.remove_reader(silent.socket)
            self._waiting.put(silent, None)

    def _forget(self, silent: Silent) -> None:
        self._stop_waiting(silent)
        self._waiting.accepted.discard(silent)

    def _expire(self) -> None:
        """Closes those that have sent nothing for too long."""
        self._expiry = None
        last = time.monotonic() - self._kind.head_seconds
        for silent, since in list(self._silent.items()):
            if since > last:
                self._expiry = self._loop.call_later(since - last, self._expire)
                return
            silent.abort()

    def _begin_some(self) -> None:
        for _ in range(min(BEGUN_AT_ONCE, len(self._begun))):
            self._begin(self._begun.popleft())
        if self._begun:
            self._loop.call_soon(self._begin_some)

    def _begin(self, silent: Silent) -> None:
        self._stop_waiting(silent)
        task = self._loop.create_task(self._connect(silent))
        self._tasks.add(task)  # the loop itself keeps only weak references
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, silent: Silent) -> None:
        def make() -> asyncio.Protocol:
            # Just before `connection_made`, so that it is counted once.
            self._loop.call_soon(self._waiting.accepted.discard, silent)
            return self._make()

        try:
            await self._loop.connect_accepted_socket(make, silent.socket)
        except OSError:  # it has gone
            silent.socket.close()

    # the end; uvicorn calls the last two, as those of an asyncio.Server

    def finish(self) -> None:
        """Makes connections of all clients that are there: these wait for what is on its way."""
        for _ in range(BACKLOG):
            if not self._accept_one():
                break
        for silent in (*self._silent, *self._begun):
            self._begin(silent)
        self._begun.clear()

    def close(self) -> None:
        """Accepts nobody any more."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._listening)
        self._listening.close()
        if self._expiry is not None:
            self._expiry.cancel()
        for silent in (*self._silent, *self._begun):
            silent.abort()
        self._begun.clear()

    async def wait_closed(self) -> None:
        """Nothing is left to wait for."""
