"""What every request passes: only the person who has the address, from the page itself.

The address holds a random token, which the browser then keeps as a cookie; nothing is answered
without it. Host and Sec-Fetch-Site keep out pages of other sites, of other ports too (a cookie
belongs to a host, whatever the port), and names that are made to point here (DNS rebinding).
"""

from __future__ import annotations

import hmac
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unseen.web.problems import Problem, problem_response
from unseen.web.security import (
    LOOPBACK_NAMES,
    RESPONSE_HEADERS,
    host_name,
    is_cross_site,
    page_headers,
)

BODY_BYTES = 256 * 1024  # of a hundred decisions there are 20 kB
CHANGE = b"x-unseen-review"  # no form and no picture of another page can send this header
HEADERS = {"cache-control": "no-store", **page_headers(), **RESPONSE_HEADERS}


class ReviewMiddleware:
    """ASGI middleware around the review page: lets in who has the token, and no other site."""

    def __init__(self, app: ASGIApp, *, token: str) -> None:
        self._app = app
        self._token = token.encode("ascii")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        name = cookie_name(scope)
        entering = False
        received = 0

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                more = dict(HEADERS)
                if entering:
                    token = self._token.decode("ascii")
                    more["set-cookie"] = f"{name}={token}; Path=/; HttpOnly; SameSite=Strict"
                headers = list(message.get("headers", ()))
                present = {key for key, _ in headers}
                added = ((k.encode(), v.encode()) for k, v in more.items())
                message["headers"] = headers + [pair for pair in added if pair[0] not in present]
            await send(message)

        async def receiving() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > BODY_BYTES:
                raise Problem(413, f"the body has more than {BODY_BYTES:,} bytes.")
            return message

        try:
            _check_host(headers)
            entering = _is_page(scope) and self._is_token(_token_of_address(scope))
            if not entering and not self._is_token(_cookie(headers, name)):
                raise Problem(
                    403,
                    "open the whole address, with its token, that `unseen label review` printed.",
                    code="unknown_token",
                )
            _check_origin(scope, headers)
            await self._app(scope, receiving, sending)
        except Problem as problem:
            response = problem_response(problem)
            if _is_page(scope):  # read by a person, and not by the page's script
                response = PlainTextResponse(f"unseen: {problem}", problem.status)
            await response(scope, receive, sending)

    def _is_token(self, token: str | None) -> bool:
        return token is not None and hmac.compare_digest(token.encode("utf-8"), self._token)


def cookie_name(scope: Scope) -> str:
    """Of its own for each port: cookies are shared by all ports of a machine."""
    return f"unseen-review-{(scope.get('server') or ('', 0))[1]}"


def _is_page(scope: Scope) -> bool:
    return scope["method"] in ("GET", "HEAD") and scope["path"] == "/"


def _check_host(headers: dict[bytes, bytes]) -> None:
    if host_name(headers) not in LOOPBACK_NAMES:
        raise Problem(
            421, "unknown host name; open this page at http://127.0.0.1.", code="unknown_host"
        )


def _check_origin(scope: Scope, headers: dict[bytes, bytes]) -> None:
    """Only the page itself may send requests other than for the page; only its script writes."""
    origin = b"http://" + headers.get(b"host", b"")
    cross_site = is_cross_site(headers) and not _is_page(scope)
    if cross_site or headers.get(b"origin", origin) != origin:
        raise Problem(403, "pages of other sites cannot use this server.", code="foreign_origin")
    if scope["method"] in ("GET", "HEAD"):
        return
    if headers.get(CHANGE) != b"1":
        raise Problem(403, "a change needs the header `X-Unseen-Review: 1`.", code="no_header")
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":
        raise Problem(415, "unknown content type of a change; send application/json.")


def _token_of_address(scope: Scope) -> str | None:
    try:
        query = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=10)
    except ValueError:  # more fields than that
        return None
    return next(iter(query.get("token", [])), None)


def _cookie(headers: dict[bytes, bytes], name: str) -> str | None:
    try:
        cookie = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1")).get(name)
    except CookieError:
        return None
    return None if cookie is None else cookie.value
