"""The web page: a fixed list of files, under a policy that lets nothing else run."""

from __future__ import annotations

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


@router.get("/page/{name}", include_in_schema=False)
async def part(request: Request, name: str) -> Response:
    if name not in _files():
        raise Problem(404, "the page has no such file.")
    return _file(request, name)


@router.get("/favicon.ico", include_in_schema=False)
async def icon(request: Request) -> Response:
    return _file(request, "icon.svg")


def _file(request: Request, name: str) -> Response:
    content, tag = _files()[name]
    headers = {**HEADERS, "etag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=media_type(name))


@cache
def _files() -> dict[str, tuple[bytes, str]]:
    """Name → content and tag, of every file that ships."""
    return {
        name: (content, f'"{sha256(content).hexdigest()[:16]}"')
        for name, content in page_files("unseen.web.server").items()
    }
