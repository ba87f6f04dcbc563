"""Servers for the tests: in a thread of this process, or as the command in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from unseen.web.server import process
from unseen.web.server.app import create_app
from unseen.web.server.core.settings import Settings


@dataclass
class Served:
    """A server that is ready."""

    url: str
    app: Any = None
    command: subprocess.Popen[bytes] | None = None
    log: Path | None = None
    server: uvicorn.Server | None = None

    def lines(self) -> list[dict[str, Any]]:
        """What the command has written to its log, as JSON; a line that is being written may end at
        a page of the file, and is left out."""
        text = self.log.read_text("utf-8") if self.log else ""
        text = text[: text.rfind("\n") + 1]
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=120, **options)


@contextlib.contextmanager
def serving(
    settings: Settings, *, before: Callable[[Any], None] = lambda app: None, wait: bool = True
) -> Iterator[Served]:
    """In a thread, with the connections and limits of the real thing. `before`: done to the
    application before it starts; `wait`: until it is ready."""
    app = create_app(settings)
    before(app)
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    server = process.Server(process.uvicorn_config(app, settings))
    runner = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    runner.start()
    served = Served(f"http://127.0.0.1:{listener.getsockname()[1]}", app, server=server)
    try:
        if wait:
            until_ready(served.url)
        yield served
    finally:
        server.should_exit = True
        runner.join(120)
        assert not runner.is_alive()


@contextlib.contextmanager
def commanded(*options: str, **environment: str) -> Iterator[Served]:
    """`unseen serve` as a process."""
    log = Path(tempfile.mkstemp(suffix=".log")[1])  # a pipe would be full, and stop it
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with log.open("wb") as file:
        command = subprocess.Popen(
            [sys.executable, "-m", "unseen", "serve", "--port", str(port), *options],
            stderr=file,
            env={**os.environ, **environment},
        )
    url = f"http://127.0.0.1:{port}"
    try:
        until_ready(url, command, log)
        yield Served(url, command=command, log=log)
    finally:
        if command.poll() is None:
            command.terminate()
        command.wait(120)
        log.unlink()


@contextlib.contextmanager
def stopping() -> Iterator[threading.Event]:
    """An event that is set at the end, whatever that is: a pool waits for its threads for ever."""
    stop = threading.Event()
    try:
        yield stop
    finally:
        stop.set()


def until(what: Callable[[], Any], seconds: float = 180) -> None:
    """Waits for something to be so; the seconds are for a machine that is busy with other work."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited for in vain"
        time.sleep(0.02)


def until_ready(
    url: str, command: subprocess.Popen[bytes] | None = None, log: Path | None = None
) -> None:
    end = time.monotonic() + 300
    while time.monotonic() < end:
        assert command is None or command.poll() is None, log and log.read_text("utf-8")
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz", timeout=60).status_code == 200:
                return
        time.sleep(0.05)
    raise AssertionError("the server was not ready in time")
