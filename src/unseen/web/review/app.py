"""The routes: the files of the page, the pictures, the queue of pictures and the decisions."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
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
from unseen.web.assets import media_type, page_files
from unseen.web.json_body import parse_json
from unseen.web.problems import Problem, problem_response
from unseen.web.review.explanations import Explanations
from unseen.web.review.images import SIZES, ReviewImages
from unseen.web.review.middleware import ReviewMiddleware
from unseen.web.review.session import ReviewSession, Verdict

logger = logging.getLogger(__name__)

ID = re.compile(r"[0-9a-f]{32}")
MAX_ITEMS = 100  # pictures, or decisions, in one request
RENDER_THREADS = 2  # pictures that are rendered at once

T = TypeVar("T")


class ReviewService:
    """What the routes work with. One thread reads and writes the labelling."""

    def __init__(self, session: ReviewSession) -> None:
        self.session = session
        self.images = ReviewImages(session.labelling.root)
        self.explanations = Explanations(session.labelling.manifest, session.labelling.label_set)
        self.explainers = ThreadPoolExecutor(1, thread_name_prefix="unseen-explain")
        self.renderers = ThreadPoolExecutor(RENDER_THREADS, thread_name_prefix="unseen-pictures")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="unseen-labelling")

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """A method of the session, in its thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def close(self) -> None:
        """Waits for the decision that is being written."""
        for pool in (self.renderers, self.explainers):
            pool.shutdown(wait=False, cancel_futures=True)
        self._thread.shutdown(wait=True)


def create_app(session: ReviewSession, token: str) -> Starlette:
    """The ASGI application. `token`: part of the address of the page, and then its cookie."""
    review = ReviewService(session)

    @contextlib.asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        yield
        review.close()

    routes = [
        Route("/", partial(_file, "index.html")),
        Route("/favicon.ico", partial(_file, "icon.svg")),
        Route("/page/{name}", _page_file),
        *(Route(f"/api{path}", partial(route, review), methods=[m]) for m, path, route in API),
    ]
    handlers: Any = {
        Problem: lambda request, error: problem_response(error),
        UnseenError: _refused,
        HTTPException: lambda request, error: problem_response(_problem_of(error)),
    }
    return Starlette(
        routes=routes,
        middleware=[Middleware(ReviewMiddleware, token=token)],
        exception_handlers=handlers,
        lifespan=life,
    )


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, UnseenError)
    problem = Problem.of(error)
    if problem.status >= 500:
        logger.error("%s", error)
    return problem_response(problem)


async def _next(review: ReviewService, request: Request) -> Response:
    query = request.query_params
    without = [_id(id) for id in query.get("without", "").split(",") if id]
    return _json(await review.run(review.session.next, _count(query.get("count")), without))


async def _labels(review: ReviewService, request: Request) -> Response:
    pile = request.query_params.get("pile")
    return _json(await review.run(review.session.labels, None if pile is None else _pile_of(pile)))


async def _status(review: ReviewService, request: Request) -> Response:
    return _json(await review.run(review.session.status))


async def _pile(review: ReviewService, request: Request) -> Response:
    query = request.query_params
    label, pile = query.get("label", ""), _pile_of(query.get("pile", "sure"))
    return _json(await review.run(review.session.pile, label, pile, _count(query.get("count"))))


async def _picture(review: ReviewService, request: Request) -> Response:
    """A picture by its id: no path is ever part of a request."""
    size = request.query_params.get("size", "page")
    if size not in SIZES:
        raise Problem(422, f"unknown size {size[:20]!r}; choose one of: {', '.join(SIZES)}.")
    picture = await review.run(review.session.picture, _id(request.path_params["id"]))
    loop = asyncio.get_running_loop()
    try:
        jpeg = await loop.run_in_executor(review.renderers, review.images.jpeg, picture, size)
    except UnseenError as error:
        raise Problem(404, str(error), code="no_picture") from None
    # An id is a hash of the content: its picture never changes.
    headers = {"cache-control": "private, max-age=86400, immutable"}
    return Response(jpeg, headers=headers, media_type="image/jpeg")


async def _why(review: ReviewService, request: Request) -> Response:
    """What the model looked at, for every label; the sentence is of the label `for`."""
    label = request.query_params.get("for")
    picture = await review.run(review.session.picture, _id(request.path_params["id"]))

    def explained() -> dict[str, Any]:
        content = review.images.content(picture)
        return review.explanations.of(content, picture.paths[0], label)

    loop = asyncio.get_running_loop()
    return _json(await loop.run_in_executor(review.explainers, explained))


async def _decide(review: ReviewService, request: Request) -> Response:
    body = await _body(request)
    decisions = body.get("decisions")
    if not isinstance(decisions, list) or not 0 < len(decisions) <= MAX_ITEMS:
        raise Problem(422, f"`decisions` must be a list of 1 to {MAX_ITEMS}.")
    return _json(await review.run(review.session.decide, [_decision(item) for item in decisions]))


async def _undo(review: ReviewService, request: Request) -> Response:
    id = (await _body(request)).get("id")
    return _json(await review.run(review.session.undo, None if id is None else _id(id)))


async def _add_label(review: ReviewService, request: Request) -> Response:
    name = (await _body(request)).get("name")
    if not isinstance(name, str):
        raise Problem(422, "`name` must be a string.")
    return _json(await review.run(review.session.add_label, name))


API = (
    ("GET", "/next", _next),
    ("GET", "/labels", _labels),
    ("GET", "/status", _status),
    ("GET", "/pile", _pile),
    ("GET", "/picture/{id}", _picture),
    ("GET", "/why/{id}", _why),
    ("POST", "/decide", _decide),
    ("POST", "/undo", _undo),
    ("POST", "/labels", _add_label),
)


# request bodies and parameters


async def _body(request: Request) -> dict[str, Any]:
    content = parse_json(await request.body())
    if not isinstance(content, dict):
        raise Problem(422, "the body must be a JSON object.")
    return content


def _decision(value: Any) -> tuple[str, str, str | None, Verdict]:
    if not isinstance(value, dict):
        raise Problem(422, "a decision must be a JSON object.")
    verdict, label = _verdict(value)
    before = value.get("before")
    if before is not None and not isinstance(before, dict):
        raise Problem(422, "`before` must be null, or a verdict and its label.")
    return _id(value.get("id")), verdict, label, None if before is None else _verdict(before)


def _verdict(value: dict[str, Any]) -> tuple[str, str | None]:
    verdict, label = value.get("verdict"), value.get("label")
    if verdict not in VERDICTS:
        raise Problem(422, f"`verdict` must be one of: {', '.join(VERDICTS)}.")
    if isinstance(label, str) != (verdict == "label") or not (label is None or verdict == "label"):
        raise Problem(
            422, "`label` must be a string with the verdict label, and null with the others."
        )
    return verdict, label


def _id(value: Any) -> str:
    if not isinstance(value, str) or not ID.fullmatch(value):
        raise Problem(422, "an id must be 32 hexadecimal digits.")
    return value


def _pile_of(value: str) -> str:
    if value not in PILES:
        raise Problem(422, f"unknown pile {value[:20]!r}; choose one of: {', '.join(PILES)}.")
    return value


def _count(value: str | None) -> int:
    if value is None:
        return 12
    if not (
        value.isascii() and value.isdigit() and len(value) < 10 and 0 < int(value) <= MAX_ITEMS
    ):
        raise Problem(422, f"`count` must be a number from 1 to {MAX_ITEMS}.")
    return int(value)


# responses


def _json(content: dict[str, Any]) -> Response:
    """In ASCII: a file name may hold a lone surrogate."""
    return Response(json.dumps(content), media_type="application/json")


async def _file(name: str, request: Request) -> Response:
    return Response(page_files(__package__)[name], media_type=media_type(name))


async def _page_file(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in page_files(__package__):
        raise Problem(404, "the page has no such file.")
    return await _file(name, request)


def _problem_of(error: HTTPException) -> Problem:
    return Problem(error.status_code, f"{HTTPStatus(error.status_code).phrase}.".capitalize())
