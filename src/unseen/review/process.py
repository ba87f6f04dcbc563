"""From a labelling to a process that serves its page, on this machine only."""

from __future__ import annotations

import secrets
import socket

from unseen.errors import SourceError
from unseen.review.app import create_app
from unseen.review.desk import Desk
from unseen.server import process
from unseen.server.settings import ServerLimits, Settings

HOST = "127.0.0.1"
PORT = 8010  # the same each time where it is free, as what a browser keeps belongs to a port
DRAIN_SECONDS = 3.0


class Page:
    """The page of a labelling at an address of its own, with a token that nobody can guess."""

    def __init__(self, desk: Desk, port: int | None = None) -> None:
        """`port`: 0 is any; None: PORT, or any. SourceError where there is none to have."""
        self._desk = desk
        self._token = secrets.token_urlsafe(24)
        self._listener = _listen(port)
        self.address = f"http://{HOST}:{self._listener.getsockname()[1]}/?token={self._token}"

    def serve(self) -> None:
        """Until Ctrl-C or SIGTERM. Requests that came before are answered."""
        limits = ServerLimits(drain_seconds=DRAIN_SECONDS, connections=64)
        with self._listener:
            config = process.config_of(create_app(self._desk, self._token), Settings(limits=limits))
            process.Server(config).run(sockets=[self._listener])


def _listen(port: int | None) -> socket.socket:
    try:
        return process.listen(Settings(host=HOST, port=PORT if port is None else port))
    except SourceError:
        if port is not None:
            raise
        return process.listen(Settings(host=HOST, port=0))
