"""The web page: a fixed list of files, under a policy that lets nothing else run.

They are compressed once. Answers of the APIs are not: what a stranger's page could make a browser
send must not tell by its length what else is in the answer (BREACH).
"""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha256

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from unseen.web.assets import media_type, page_files
from unseen.web.problems import Problem
from unseen.web.security import page_headers

HEADERS = {
    **page_headers(images="'self' blob: data:", media="'self' blob:", camera="self"),
    "cache-control": "no-cache",  # a browser sends the ETag, and the answer is 304
}

router = APIRouter(tags=["page"])


@router.get(
    "/",
    summary="The page",
    response_class=HTMLResponse,
    responses={304: {"description": "As it was (If-None-Match)."}},
)
async def page(request: Request) -> Response:
    return _file(request, "index.html")


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    """The same page, which opens its part about the API."""
    return _file(request, "index.html")


@router.get("/page/{name}", include_in_schema=False)
async def part(request: Request, name: str) -> Response:
    if name not in _files():
        raise Problem(404, "the page has no such file.")
    return _file(request, name)


@router.get("/favicon.ico", include_in_schema=False)
async def icon(request: Request) -> Response:
    return _file(request, "icon.svg")


@dataclass(frozen=True)
class _File:
    """A file of the page, ready to be sent."""

    content: bytes
    compressed: bytes | None  # None where that gains nothing, as of pictures
    tag: str


def _file(request: Request, name: str) -> Response:
    file = _files()[name]
    headers = {**HEADERS, "vary": "accept-encoding", "etag": f'"{file.tag}"'}
    content = file.content
    if file.compressed is not None and _takes_gzip(request.headers.get("accept-encoding", "")):
        content = file.compressed
        headers |= {"content-encoding": "gzip", "etag": f'"{file.tag}-gzip"'}
    if request.headers.get("if-none-match") == headers["etag"]:
        headers.pop("content-encoding", None)
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=media_type(name))


def _takes_gzip(accept_encoding: str) -> bool:
    """RFC 9110, 12.5.3, of the one coding that is offered."""
    weights = {
        coding.strip().lower(): weight.replace(" ", "").lower()
        for coding, _, weight in (part.partition(";") for part in accept_encoding.split(","))
    }
    weight = weights.get("gzip", weights.get("*", "q=0"))
    return not re.fullmatch(r"q=0(\.0*)?", weight)


@cache
def _files() -> dict[str, _File]:
    """Every file that ships, by its name."""
    return {name: _ready(content) for name, content in page_files("unseen.web.server").items()}


def _ready(content: bytes) -> _File:
    compressed = gzip.compress(content, 9, mtime=0)
    return _File(
        content,
        compressed if len(compressed) < 0.9 * len(content) else None,
        sha256(content).hexdigest()[:16],
    )
