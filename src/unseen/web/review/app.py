"""The routes: the page's files, the pictures, and what the page asks and says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from unseen.annotation.pictures import PILES, VERDICTS
from unseen.errors import UnseenError
from unseen.pages.served import files_of, type_of
from unseen.web.review.middleware import Door
from unseen.web.review.pictures import SIZES, Pictures
from unseen.web.review.session import Decided, Desk
from unseen.web.server.core.problems import Problem, answer

ID = re.compile(r"[0-9a-f]{32}")
MOST = 100  # pictures, or decisions, of one request
PAINTERS = 2  # pictures that are made at once

T = TypeVar("T")


class Review:
    """What the routes work with. The labelling is asked in one thread."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.pictures = Pictures(desk.labelling.root)
        self.painters = ThreadPoolExecutor(PAINTERS, thread_name_prefix="unseen-pictures")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="unseen-labelling")

    async def ask(self, work: Callable[..., T], *arguments: Any) -> T:
        """A method of the desk, in its thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def close(self) -> None:
        """Waits for the decision that is being written."""
        self.painters.shutdown(wait=False, cancel_futures=True)
        self._thread.shutdown(wait=True)


def create_app(desk: Desk, token: str) -> Starlette:
    """`token`: what the address of the page has to hold."""
    review = Review(desk)

    @contextlib.asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        yield
        review.close()

    routes = [
        Route("/", partial(_file, "index.html")),
        Route("/favicon.ico", partial(_file, "icon.svg")),
        Route("/page/{name}", _part),
        *(Route(f"/api{path}", partial(route, review), methods=[m]) for m, path, route in API),
    ]
    handlers: Any = {
        Problem: lambda request, error: answer(error),
        UnseenError: lambda request, error: answer(Problem.of(error)),
        HTTPException: lambda request, error: answer(_of_starlette(error)),
    }
    return Starlette(
        routes=routes,
        middleware=[Middleware(Door, token=token)],
        exception_handlers=handlers,
        lifespan=life,
    )


async def _next(review: Review, request: Request) -> Response:
    query = request.query_params
    without = [_id(id) for id in query.get("without", "").split(",") if id]
    return _json(await review.ask(review.desk.next, _count(query.get("count")), without))


async def _labels(review: Review, request: Request) -> Response:
    pile = request.query_params.get("pile")
    return _json(await review.ask(review.desk.labels, None if pile is None else _pile_of(pile)))


async def _status(review: Review, request: Request) -> Response:
    return _json(await review.ask(review.desk.status))


async def _pile(review: Review, request: Request) -> Response:
    query = request.query_params
    label, pile = query.get("label", ""), _pile_of(query.get("pile", "sure"))
    return _json(await review.ask(review.desk.pile, label, pile, _count(query.get("count"))))


async def _picture(review: Review, request: Request) -> Response:
    """By its id: no path is ever part of a request."""
    size = request.query_params.get("size", "page")
    if size not in SIZES:
        raise Problem(422, f"there is no such size; {', '.join(SIZES)} are.")
    picture = await review.ask(review.desk.picture, _id(request.path_params["id"]))
    loop = asyncio.get_running_loop()
    try:
        made = await loop.run_in_executor(review.painters, review.pictures.jpeg, picture, size)
    except UnseenError as error:
        raise Problem(404, str(error), code="no_picture") from None
    # An id is a hash of the content: what is under it does not change.
    headers = {"cache-control": "private, max-age=86400, immutable"}
    return Response(made, headers=headers, media_type="image/jpeg")


async def _decide(review: Review, request: Request) -> Response:
    given = await _body(request)
    many = given.get("decisions")
    if not isinstance(many, list) or not 0 < len(many) <= MOST:
        raise Problem(422, f"`decisions` is a list of 1 to {MOST}.")
    return _json(await review.ask(review.desk.decide, [_decision(one) for one in many]))


async def _undo(review: Review, request: Request) -> Response:
    id = (await _body(request)).get("id")
    return _json(await review.ask(review.desk.undo, None if id is None else _id(id)))


async def _add_label(review: Review, request: Request) -> Response:
    name = (await _body(request)).get("name")
    if not isinstance(name, str):
        raise Problem(422, "`name` is a text.")
    return _json(await review.ask(review.desk.add_label, name))


API = (
    ("GET", "/next", _next),
    ("GET", "/labels", _labels),
    ("GET", "/status", _status),
    ("GET", "/pile", _pile),
    ("GET", "/picture/{id}", _picture),
    ("POST", "/decide", _decide),
    ("POST", "/undo", _undo),
    ("POST", "/labels", _add_label),
)


# what a request holds


async def _body(request: Request) -> dict[str, Any]:
    try:
        found = json.loads(await request.body())
    except (ValueError, RecursionError):
        raise Problem(400, "the body is no JSON.") from None
    if not isinstance(found, dict):
        raise Problem(422, "the body is a JSON object.")
    return found


def _decision(given: Any) -> tuple[str, str, str | None, Decided]:
    if not isinstance(given, dict):
        raise Problem(422, "a decision is a JSON object.")
    verdict, label = _verdict(given)
    before = given.get("before")
    if before is not None and not isinstance(before, dict):
        raise Problem(422, "`before` is null, or a verdict and its label.")
    return _id(given.get("id")), verdict, label, None if before is None else _verdict(before)


def _verdict(given: dict[str, Any]) -> tuple[str, str | None]:
    verdict, label = given.get("verdict"), given.get("label")
    if verdict not in VERDICTS:
        raise Problem(422, f"`verdict` is one of {', '.join(VERDICTS)}.")
    if isinstance(label, str) != (verdict == "label") or not (label is None or verdict == "label"):
        raise Problem(422, "`label` is a text with the verdict label, and null with the others.")
    return verdict, label


def _id(given: Any) -> str:
    if not isinstance(given, str) or not ID.fullmatch(given):
        raise Problem(422, "an id is 32 hexadecimal digits.")
    return given


def _pile_of(given: str) -> str:
    if given not in PILES:
        raise Problem(422, f"there is no such pile; {', '.join(PILES)} are.")
    return given


def _count(given: str | None) -> int:
    if given is None:
        return 12
    if not (given.isascii() and given.isdigit() and len(given) < 10 and 0 < int(given) <= MOST):
        raise Problem(422, f"`count` is a number from 1 to {MOST}.")
    return int(given)


# what is answered


def _json(content: dict[str, Any]) -> Response:
    """In ASCII: a file name may hold half a character."""
    return Response(json.dumps(content), media_type="application/json")


async def _file(name: str, request: Request) -> Response:
    return Response(files_of(__package__)[name], media_type=type_of(name))


async def _part(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in files_of(__package__):
        raise Problem(404, "the page has no such file.")
    return await _file(name, request)


def _of_starlette(error: HTTPException) -> Problem:
    return Problem(error.status_code, f"{HTTPStatus(error.status_code).phrase}.".capitalize())
