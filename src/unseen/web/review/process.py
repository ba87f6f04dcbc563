"""From a labelling to a process that serves its page, on this machine only."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import threading
import webbrowser

import uvicorn

from unseen.errors import SourceError
from unseen.web.review.app import create_app
from unseen.web.review.session import ReviewSession
from unseen.web.server import process
from unseen.web.server.core.settings import ServerLimits, Settings

HOST = "127.0.0.1"
PORT = 8010  # the same each time where it is free, as what a browser keeps belongs to a port
LIMITS = ServerLimits(drain_seconds=3.0, connections=64)


class ReviewServer:
    """The server of one labelling, at an address with a random token."""

    def __init__(self, session: ReviewSession, port: int | None = None) -> None:
        """`port`: 0 is any; None: PORT, or any. SourceError where it is not available."""
        self.listener = _listen(port)
        token = secrets.token_hex(16)  # a terminal ends a link before a -
        self.address = f"http://{HOST}:{self.listener.getsockname()[1]}/?token={token}"
        self._app = create_app(session, token)

    @property
    def config(self) -> uvicorn.Config:
        """How uvicorn serves the application."""
        return process.uvicorn_config(self._app, Settings(limits=LIMITS))

    def open_page(self) -> None:
        """Open the page in a browser, without waiting for it."""
        threading.Thread(target=webbrowser.open, args=(self.address,), daemon=True).start()

    def serve(self) -> None:
        """Serves until Ctrl-C or SIGTERM. Requests that came before are answered."""
        with self.listener:
            process.Server(self.config).run(sockets=[self.listener])


def has_screen() -> bool:
    """Whether a browser would have a window: not over ssh, where it would take the terminal."""
    if sys.platform in ("win32", "darwin"):
        return "SSH_CONNECTION" not in os.environ
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _listen(port: int | None) -> socket.socket:
    try:
        return process.listen(Settings(host=HOST, port=PORT if port is None else port))
    except SourceError:
        if port is not None:
            raise
        return process.listen(Settings(host=HOST, port=0))
