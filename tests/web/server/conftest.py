"""What the tests of this folder share: servers, and a wall around loopback."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import unseen
from asking import KEY
from serving import Served, serving
from unseen.load_options import LoadOptions
from unseen.web.server.core.settings import ServerLimits, Settings
from unseen.web.server.http import keys


@pytest.fixture(scope="session")
def server(shapes_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Of the small trained CLIP, open to all."""
    store = tmp_path_factory.mktemp("served") / "labelsets.sqlite"
    with serving(Settings(LoadOptions(str(shapes_clip)), label_store=store)) as served:
        yield served


@pytest.fixture
def client(server: Served) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture(scope="session")
def url(server: Served) -> str:
    """Where the open server is."""
    return server.url


@pytest.fixture(scope="session")
def locked_url(shapes_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where one is behind a key."""
    store = tmp_path_factory.mktemp("locked") / "labelsets.sqlite"
    hashes = (keys.digest(KEY),)
    settings = Settings(LoadOptions(str(shapes_clip)), label_store=store, key_hashes=hashes)
    with serving(settings) as served:
        yield served.url


@pytest.fixture(scope="session")
def busy_url(shapes_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a thousand pictures are on their way already: it refuses all work."""
    store = tmp_path_factory.mktemp("busy") / "labelsets.sqlite"
    limits = ServerLimits(queue_seconds=0.0)
    with serving(
        Settings(LoadOptions(str(shapes_clip)), label_store=store, limits=limits)
    ) as served:
        images = served.app.state.service.images
        images.assume(0.0005)  # seconds a picture, whatever else this machine does
        images.expect(1000)
        yield served.url


@pytest.fixture(scope="session")
def classifier(shapes_clip: Path) -> unseen.Classifier:
    """What the servers must agree with."""
    return unseen.load(shapes_clip)


@pytest.fixture
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that would report to somebody fails its test."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def connect_here(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1"):
            pytest.fail(f"a connection to {address!r}")
        connect(self, address)

    def look_up_here(host: Any, *rest: Any, **named: Any) -> Any:
        if host not in (None, "", "127.0.0.1", "::1", "localhost", b"127.0.0.1"):
            pytest.fail(f"a look-up of {host!r}")
        return look_up(host, *rest, **named)

    monkeypatch.setattr(socket.socket, "connect", connect_here)
    monkeypatch.setattr(socket, "getaddrinfo", look_up_here)
