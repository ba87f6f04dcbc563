"""A server on a port of loopback, in a thread of this process; and what to ask it."""

from __future__ import annotations

import base64
import io
import json
import socket
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from email.message import Message
from pathlib import Path
from typing import Any

import uvicorn

import shapes
from unseen.server.app import create_app
from unseen.server.connections import Connection
from unseen.server.settings import Settings

KEY = "a key for tests"
START_SECONDS = 60.0


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """The address of a server that is ready, http://127.0.0.1:PORT; `settings.port` is not heeded.

    Label sets are kept in a folder of their own unless the settings name a file.
    """
    with tempfile.TemporaryDirectory(prefix="unseen-serving-") as folder:
        if settings.label_store is None:
            settings = replace(settings, label_store=Path(folder) / "labelsets.sqlite")
        limits = settings.limits
        protocol = type(
            "Connection",
            (Connection,),
            {"receive_seconds": limits.receive_seconds, "most": limits.connections},
        )
        config = uvicorn.Config(
            create_app(settings),
            http=protocol,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on",
            timeout_graceful_shutdown=2,
        )
        server = uvicorn.Server(config)
        listener = socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            _wait_until_ready(url, thread)
            yield url
        finally:
            server.should_exit = True
            thread.join()
            listener.close()


def _wait_until_ready(url: str, thread: threading.Thread) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and thread.is_alive():
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5):
                return
        except OSError:  # refused, or 503: not yet
            time.sleep(0.05)
    raise RuntimeError("the server did not become ready")


def ask(
    url: str, body: Any = None, method: str | None = None, **headers: str
) -> tuple[int, Any, Message]:
    """POST of JSON or bytes, GET without a body, or `method` → status, JSON or text, headers."""
    content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(
        url, content, {"Content-Type": "application/json", **headers}, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, _read(answer), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _read(error), error.headers


def _read(answer: Any) -> Any:
    content = answer.read().decode()
    return json.loads(content) if "json" in answer.headers["Content-Type"] else content


def png(label: str, seed: int = 0) -> bytes:
    """A picture of "a red circle" and such."""
    file = io.BytesIO()
    shapes.draw(shapes.scene(label), seed).save(file, "PNG")
    return file.getvalue()


def b64(label: str, seed: int = 0) -> str:
    return base64.b64encode(png(label, seed)).decode()
