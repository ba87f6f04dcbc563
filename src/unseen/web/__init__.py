"""The HTTP server and the review page."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from unseen.errors import MissingExtraError

REVIEW_LIBRARIES = ("starlette", "uvicorn", "httptools")
SERVER_LIBRARIES = ("fastapi", "uvicorn", "httptools", "prometheus_client", "python_multipart")


def check_libraries(command: str, libraries: Iterable[str]) -> None:
    """MissingExtraError for the first library that `command` needs and that is not installed."""
    for library in libraries:
        if find_spec(library) is None:
            raise MissingExtraError(command, library=library, extra="serve")
