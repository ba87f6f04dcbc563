"""What the tests of the review page share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from reviewing import Birds, Serve, Served, doubtful, flock
from unseen.web.review.session import ReviewSession


@pytest.fixture
def birds(tmp_path: Path) -> Birds:
    """Six that are doubtful and eight that are sure, five of these herons."""
    sure = [(f"sure{i}.png", "sure", "heron", 0.9 + i / 100) for i in range(5)]
    sure += [(f"tall{i}.png", "sure", "crane", 0.95) for i in range(3)]
    return flock(tmp_path / "birds", [*doubtful(6), *sure])


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves a labelling; ended with the test."""
    with contextlib.ExitStack() as stack:

        def start(birds: Birds, port: int = 0) -> Served:
            served = Served(ReviewSession(birds.folder), port)
            stack.callback(served.stop)
            return served

        yield start


@pytest.fixture
def served(birds: Birds, serve: Serve) -> Served:
    return serve(birds)


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    with served.client() as client:
        yield client
