"""What every request passes: only the person who was given the address, from the page itself.

The address holds a random token, which the browser then keeps as a cookie; nothing is answered
without it. Host and Sec-Fetch-Site keep out pages of other sites, of other ports too (a cookie
belongs to a host, whatever the port), and names that were bent to point here (DNS rebinding).
"""

from __future__ import annotations

import hmac
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unseen.web.server.core.problems import Problem, answer

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
BODY_BYTES = 256 * 1024  # of a hundred decisions there are 20 kB
OWN = b"x-unseen-review"  # no form and no picture of another page can send it
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Door:
    """ASGI middleware around the whole application."""

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
                more = {"cache-control": "no-store", **HEADERS}
                if entering:
                    token = self._token.decode("ascii")
                    more["set-cookie"] = f"{name}={token}; Path=/; HttpOnly; SameSite=Strict"
                there = {key for key, _ in message.get("headers", ())}
                message["headers"] = [
                    *message.get("headers", ()),
                    *((k.encode(), v.encode()) for k, v in more.items() if k.encode() not in there),
                ]
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
            response = answer(problem)
            if _is_page(scope):  # read by a person, and not by the page's script
                response = PlainTextResponse(f"unseen: {problem}", problem.status)
            await response(scope, receive, sending)

    def _is_token(self, given: str | None) -> bool:
        return given is not None and hmac.compare_digest(given.encode("utf-8"), self._token)


def cookie_name(scope: Scope) -> str:
    """Of its own for each port: cookies are shared by all ports of a machine."""
    return f"unseen-review-{(scope.get('server') or ('', 0))[1]}"


def _is_page(scope: Scope) -> bool:
    return scope["method"] in ("GET", "HEAD") and scope["path"] == "/"


def _check_host(headers: dict[bytes, bytes]) -> None:
    host = headers.get(b"host", b"").decode("latin-1")
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    if name.lower() not in LOOPBACK:
        raise Problem(
            421, "this page is not called by that name, but 127.0.0.1.", code="unknown_host"
        )


def _check_origin(scope: Scope, headers: dict[bytes, bytes]) -> None:
    """Only the page itself asks for anything but the page; only its script writes."""
    foreign = headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin")
    own = b"http://" + headers.get(b"host", b"")
    if (foreign and not _is_page(scope)) or headers.get(b"origin", own) != own:
        raise Problem(403, "pages of other sites may not ask here.", code="foreign_origin")
    if scope["method"] in ("GET", "HEAD"):
        return
    if headers.get(OWN) != b"1":
        raise Problem(403, "a change needs the header `X-Unseen-Review: 1`.", code="no_header")
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":
        raise Problem(415, "a change is sent as application/json.")


def _token_of_address(scope: Scope) -> str | None:
    try:
        found = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=10)
    except ValueError:  # more fields than that
        return None
    return next(iter(found.get("token", [])), None)


def _cookie(headers: dict[bytes, bytes], name: str) -> str | None:
    try:
        found = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1")).get(name)
    except CookieError:
        return None
    return None if found is None else found.value
