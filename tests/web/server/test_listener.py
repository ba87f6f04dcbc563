"""Clients that connect: what each costs before it has sent anything, and who is served first."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from unseen.web.server.connections import PROBE_CONNECTIONS, Connection, Waiting
from unseen.web.server.listener import ACCEPTED_AT_ONCE, BACKLOG, BEGUN_AT_ONCE, Listener

PROBE = b"GET /healthz HTTP/1.1\r\n\r\n"
OTHER = b"POST /v1/classify HTTP/1.1\r\n"
LONG = 20.0  # seconds that nothing here should take


class Listening:
    """A listener of its own, and what its clients have sent, in the order in which it came."""

    def __init__(self, head_seconds: float, max_connections: int) -> None:
        limits = {
            "head_seconds": head_seconds,
            "max_connections": max_connections,
            "waiting": Waiting(),
        }
        self.kind: type[Connection] = type("Kind", (Connection,), limits)
        self.connections: set[asyncio.Protocol] = set()
        self.received: list[bytes] = []
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self.listener = Listener(self.sock, self.kind, self.make, self.connections)

    def make(self) -> asyncio.Protocol:
        received, connections = self.received, self.connections

        class Reader(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                connections.add(self)

            def data_received(self, data: bytes) -> None:
                received.append(data)

            def connection_lost(self, exc: Exception | None) -> None:
                connections.discard(self)

        return Reader()

    def client(self, content: bytes = b"") -> socket.socket:
        client = socket.create_connection(self.sock.getsockname(), timeout=LONG)
        client.sendall(content)
        client.setblocking(False)
        return client

    @property
    def silent(self) -> int:
        return len(self.kind.waiting.accepted)


@asynccontextmanager
async def listening(
    head_seconds: float = LONG, max_connections: int = 1000
) -> AsyncIterator[Listening]:
    made = Listening(head_seconds, max_connections)
    try:
        yield made
    finally:
        made.listener.close()


async def until(what: Callable[[], bool]) -> None:
    while not what():
        await asyncio.sleep(0.01)


def run(work: Callable[[], object]) -> None:
    asyncio.run(asyncio.wait_for(work(), 3 * LONG))  # type: ignore[arg-type]


def is_closed(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_a_client_that_has_sent_nothing_has_no_connection() -> None:
    async def work() -> None:
        async with listening() as it:
            clients = [it.client() for _ in range(ACCEPTED_AT_ONCE + 10)]
            await until(lambda: it.silent == len(clients))
            assert not it.connections
            clients[3].sendall(OTHER)
            await until(lambda: it.received == [OTHER])
            assert len(it.connections) == 1 and it.silent == len(clients) - 1
            for client in clients:
                client.close()
            await until(lambda: it.silent == 0 and not it.connections)

    run(work)


def test_a_probe_goes_before_all_who_wait() -> None:
    async def work() -> None:
        async with listening() as it, contextlib.AsyncExitStack() as stack:
            for _ in range(50):  # the loop does not run meanwhile: they are there at once
                stack.enter_context(it.client(OTHER))
            stack.enter_context(it.client(PROBE))
            await until(lambda: len(it.received) == 51)
            assert it.received.index(PROBE) <= 2 * BEGUN_AT_ONCE

    run(work)


def test_who_sends_nothing_is_closed_in_time() -> None:
    async def work() -> None:
        async with listening(head_seconds=0.3) as it:
            with it.client() as first, it.client(OTHER) as other:
                await until(lambda: is_closed(first))
                with it.client() as second:  # another timer, when there is none left
                    await until(lambda: is_closed(second))
                assert not is_closed(other)
            assert it.silent == 0

    run(work)


def test_the_idlest_makes_room() -> None:
    async def work() -> None:
        async with listening(max_connections=10) as it, contextlib.AsyncExitStack() as stack:
            clients = [stack.enter_context(it.client()) for _ in range(30)]
            await until(lambda: all(map(is_closed, clients[:20])))
            assert it.silent == 10 and not any(map(is_closed, clients[20:]))

    run(work)


def test_where_nobody_can_make_room_some_are_left_for_probes() -> None:
    async def work() -> None:
        async with listening(max_connections=10) as it, contextlib.AsyncExitStack() as stack:
            for _ in range(10):  # these are at work, and not in `waiting`
                stack.enter_context(it.client(OTHER))
            await until(lambda: len(it.connections) == 10)
            more = [stack.enter_context(it.client(OTHER)) for _ in range(PROBE_CONNECTIONS + 5)]
            await until(lambda: len(it.connections) == 10 + PROBE_CONNECTIONS)
            await until(lambda: sum(map(is_closed, more)) == 5)

    run(work)


def test_at_the_end_all_who_have_connected_are_served() -> None:
    async def work() -> None:
        async with listening() as it, contextlib.AsyncExitStack() as stack:
            early = stack.enter_context(it.client())
            await until(lambda: it.silent == 1)
            for _ in range(2 * ACCEPTED_AT_ONCE):
                stack.enter_context(it.client(OTHER))
            it.listener.finish()
            it.listener.close()
            await until(lambda: len(it.connections) == 2 * ACCEPTED_AT_ONCE + 1)
            early.sendall(PROBE)
            await until(lambda: PROBE in it.received)
            assert it.silent == 0

    run(work)
