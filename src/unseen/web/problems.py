"""An error as the answer to a request: a status, a sentence, and a body.

Each client shows people another field of an error's body, so each foreign API has its own shape;
everything else has RFC 9457's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from unseen.errors import (
    ImageError,
    LabelError,
    SourceError,
    StoreError,
    UnseenError,
)
from unseen.system.sqlite import DiskFullError

OVERLOADED = "overloaded"  # the code of a request that is refused because of others
PROBLEM_TYPE = "application/problem+json"

# The status for each error of the library.
STATUSES: dict[type[UnseenError], int] = {
    ImageError: 400,
    SourceError: 400,
    LabelError: 422,
    DiskFullError: 507,
    StoreError: 409,
}


class Problem(Exception):  # noqa: N818 - RFC 9457's word
    """A request that is answered with an error."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        code: str | None = None,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`code` names the kind for programs; `retry_after` is in seconds."""
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.code = code or _code(status)
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(max(1, math.ceil(retry_after)))

    @classmethod
    def of(cls, error: UnseenError) -> Problem:
        """An error of the library, as a problem of the request."""
        status = next((s for kind, s in STATUSES.items() if isinstance(error, kind)), 500)
        return cls(status, str(error))


def overloaded(wait: float) -> Problem:
    """Too much waits already."""
    return Problem(
        503,
        f"the server is busy: new work would wait about {wait:.1f} s; try again later.",
        code=OVERLOADED,
        retry_after=wait,
    )


def _code(status: int) -> str:
    return HTTPStatus(status).phrase.lower().replace(" ", "_").replace("'", "")


# A problem → the body that a client understands.
ErrorBody = Callable[[Problem], Any]


def rfc9457(problem: Problem) -> dict[str, Any]:
    """https://www.rfc-editor.org/rfc/rfc9457"""
    return {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
    }


def problem_response(problem: Problem, body: ErrorBody = rfc9457) -> Response:
    """The response; ASCII JSON, so that half a character of a client cannot break it."""
    content = json.dumps(body(problem)).encode("ascii")
    kind = PROBLEM_TYPE if body is rfc9457 else "application/json"
    return Response(content, problem.status, problem.headers, kind)
