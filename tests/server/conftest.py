"""What tests of the server share: servers on loopback, and a wall around loopback."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import unseen
from serving import KEY, serving
from unseen.server import keys
from unseen.server.settings import ServerLimits, Settings


@pytest.fixture(autouse=True)
def _nothing_leaves_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients report to nobody: whoever tries fails the test, or at least learns nothing."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def only_loopback(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1"):
            pytest.fail(f"a connection to {address!r}")
        connect(self, address)

    def only_known(host: Any, *rest: Any, **named: Any) -> Any:
        if host not in (None, "", "127.0.0.1", "::1", "localhost", b"127.0.0.1"):
            pytest.fail(f"a look-up of {host!r}")
        return look_up(host, *rest, **named)

    monkeypatch.setattr(socket.socket, "connect", only_loopback)
    monkeypatch.setattr(socket, "getaddrinfo", only_known)


@pytest.fixture(scope="session")
def url(shapes_clip: Path) -> Iterator[str]:
    """An open server with the small trained CLIP."""
    with serving(Settings(model=str(shapes_clip))) as address:
        yield address


@pytest.fixture(scope="session")
def locked_url(shapes_clip: Path) -> Iterator[str]:
    """The same behind a key."""
    with serving(Settings(model=str(shapes_clip), key_hashes=(keys.digest(KEY),))) as address:
        yield address


@pytest.fixture(scope="session")
def busy_url(shapes_clip: Path) -> Iterator[str]:
    """The same, for whose queue every wait is too long: it refuses all work."""
    limits = ServerLimits(queue_seconds=-1.0)
    with serving(Settings(model=str(shapes_clip), limits=limits)) as address:
        yield address


@pytest.fixture(scope="session")
def classifier(shapes_clip: Path) -> unseen.Classifier:
    """What the servers must agree with."""
    return unseen.load(shapes_clip)
