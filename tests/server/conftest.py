"""A server that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from serving import Served, serving
from unseen.server.settings import Settings


@pytest.fixture(scope="session")
def server(shapes_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Of the small trained CLIP, open to all."""
    store = tmp_path_factory.mktemp("served") / "labelsets.sqlite"
    with serving(Settings(model=str(shapes_clip), label_store=store)) as served:
        yield served


@pytest.fixture
def client(server: Served) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client
