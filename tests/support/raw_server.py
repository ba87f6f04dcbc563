"""A server on this machine that answers each connection with whatever a function writes."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable
from typing import Any

HEAD_END = b"\r\n\r\n"


class RawServer:
    """`requests` has the head of every request; a connection without one counts as empty."""

    def __init__(self, answer: Callable[[socket.socket, bytes], None], reads: bool = True) -> None:
        self.requests: list[bytes] = []
        self.closing = threading.Event()
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):  # the client has had enough
                    head = _head(self.request) if reads else b""
                    outer.requests.append(head)
                    if head or not reads:
                        answer(self.request, head)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> RawServer:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _head(connection: Any) -> bytes:
    """Empty for a client that says nothing, or begins with a handshake of TLS."""
    head = b""
    while HEAD_END not in head and (more := connection.recv(65536)):
        head += more
        if head.startswith(b"\x16"):
            return b""
    return head


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """The bytes of a whole answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + HEAD_END + body
