"""What every API of this server has: its routes, the shape of its errors, its rules at the door."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel

from unseen.web.server.core.problems import Shape
from unseen.web.server.core.service import Service
from unseen.web.server.http import request_parsing

FAILURES = {
    400: "An image, base64 or JSON that cannot be read.",
    401: "A key is needed, or is not known.",
    403: "Asked by a page of another site.",
    404: "No such thing here.",
    409: "Not as things are.",
    413: "Too large, or too many.",
    415: "A media type that is not read.",
    421: "The server is not called by that name.",
    422: "Of another shape.",
    500: "An error of the server.",
    503: "Busy, or not warm yet: see Retry-After.",
}


@dataclass(frozen=True)
class Api:
    """One API. Of `paths`, one that ends in / (and is more) stands for all that begins so."""

    router: APIRouter
    shape: Shape
    paths: tuple[str, ...]
    working: tuple[str, ...]  # POSTs that the networks answer
    key_in_body: bool = False  # `api_key` of a JSON body is a key, too

    def has(self, path: str) -> bool:
        """Whether a path is one of this API."""
        return any(
            path == own or (own.endswith("/") and own != "/" and path.startswith(own))
            for own in self.paths
        )


def failures(name: str, error: type[BaseModel], kind: str) -> dict[int | str, dict[str, Any]]:
    """`responses` of a router: every error has this body, which the document calls `name`."""
    reference = request_parsing.component(error, name)
    return {
        status: {"description": text, "content": {kind: {"schema": reference}}}
        for status, text in FAILURES.items()
    }


def service(request: Request) -> Service:
    """The service of the application."""
    found: Service = request.app.state.service
    return found


def said(request: Request, **fields: Any) -> None:
    """More for this request's line in the log."""
    request.scope.setdefault("unseen.log", {}).update(fields)
