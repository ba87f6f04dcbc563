"""The application: one service, the routes over it, and the door in front of them."""

from __future__ import annotations

import asyncio
import logging
import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from unseen import __version__
from unseen.classifier import Classifier
from unseen.errors import UnseenError
from unseen.web.server.apis import huggingface, label_studio, openai_api, roboflow, v1
from unseen.web.server.core import keys, label_watcher
from unseen.web.server.core.index_service import Indexed
from unseen.web.server.core.logs import LOGGER
from unseen.web.server.core.metrics import Metrics
from unseen.web.server.core.problems import Problem, Shape, answer, rfc9457
from unseen.web.server.core.service import Service
from unseen.web.server.core.settings import Settings
from unseen.web.server.http import health, page_files, request_parsing
from unseen.web.server.http.api import said
from unseen.web.server.http.middleware import LOOPBACK, Door, Rules

logger = logging.getLogger(LOGGER)

# Where two have a path, it is the first one's: OpenAI's are below /v1 among our own.
APIS = (roboflow.api, huggingface.api, openai_api.api, label_studio.api, v1.api)
ROUTERS = (*(api.router for api in APIS), health.router, page_files.router)
# GETs that need no key: a page cannot send one before it is there.
PUBLIC = ("/healthz", "/readyz", "/readiness", "/health", "/metrics", "/info", "/openapi.json")


def create_app(
    settings: Settings,
    *,
    classifier: Classifier | None = None,
    failed: Callable[[], None] | None = None,
) -> FastAPI:
    """The ASGI application. Weights are loaded when it starts, in the background: see /readyz.

    `classifier`: what the settings load, where that was done already. `failed` is called when the
    start comes to nothing. Raises ModelError, StoreError, SourceError.
    """
    metrics = Metrics()
    service = Service(settings, metrics, classifier)
    known = keys.Keys(_hashes(settings))

    async def reload() -> None:
        """What SIGHUP asks for: the keys and the label files, read again."""
        try:
            known.replace(_hashes(settings))
        except UnseenError as error:
            logger.error("keys not used", extra={"fields": {"error": str(error)}})
        await label_watcher.reload(service, settings.labels)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        warming = asyncio.create_task(_warm(app, settings, failed))
        watching = asyncio.create_task(label_watcher.watch(service, settings.labels))
        _on_hangup(lambda: asyncio.ensure_future(reload()))
        yield
        for task in (warming, watching):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if app.state.indexed is not None:
            await app.state.indexed.close()
        metrics.ready.set(0)
        await service.close()

    app = FastAPI(
        title="unseen",
        version=__version__,
        summary="Zero-shot image classification: pictures and words in, which words fit out.",
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    app.state.indexed = None
    app.state.has_keys = bool(known)
    for router in ROUTERS:
        app.include_router(router)
    _handle_errors(app)
    _describe(app)
    app.add_middleware(
        Door,
        metrics=metrics,
        limits=settings.limits,
        keys=known,
        rules=Rules(
            shape=shape_of,
            route=_route_of,
            works=lambda method, path: method == "POST" and any(path in a.working for a in APIS),
            key_in_body=lambda path: any(a.key_in_body and a.has(path) for a in APIS),
            public=_is_public,
        ),
        hosts=_hosts(settings),
        origins=frozenset(settings.cors),
        admit=service.admit,
    )
    if settings.cors:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors),
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Retry-After", "X-Request-Id"],
        )
    return app


def _hashes(settings: Settings) -> list[tuple[str, str]]:
    """The names and hashes of all keys, of the file and of the environment."""
    own = [(f"key{i}", digest) for i, digest in enumerate(settings.key_hashes)]
    return own + (keys.read(settings.keys) if settings.keys else [])


async def _warm(app: FastAPI, settings: Settings, failed: Callable[[], None] | None) -> None:
    service: Service = app.state.service
    loop = asyncio.get_running_loop()
    try:
        await loop.run_in_executor(None, service.warm_up)
        if settings.index is not None:
            arguments = service.encoder, settings.limits, service.metrics
            app.state.indexed = await loop.run_in_executor(
                None, Indexed, settings.index, *arguments
            )
        service.ready = True
        await label_watcher.reload(service, settings.labels)
    except Exception as error:
        known = isinstance(error, UnseenError)
        logger.error("not started", exc_info=not known, extra={"fields": {"error": str(error)}})
        if failed is not None:
            failed()
        return
    service.metrics.ready.set(1)
    logger.info("ready", extra={"fields": {"model": service.model.name}})


def _on_hangup(act: Callable[[], Any]) -> None:
    """On SIGHUP, where there are signals and this is the main thread."""
    with suppress(AttributeError, NotImplementedError, RuntimeError, ValueError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, act)


def _hosts(settings: Settings) -> frozenset[str] | None:
    """A server at home minds its name; elsewhere it does if it was told one."""
    at_home = settings.host in ("localhost", "127.0.0.1", "::1")
    minds = at_home or settings.hosts
    return LOOPBACK | {name.lower() for name in settings.hosts} if minds else None


def _is_public(method: str, path: str) -> bool:
    if method == "OPTIONS":
        return True
    return method in ("GET", "HEAD") and (
        path in PUBLIC or path in ("/", "/favicon.ico") or path.startswith("/page/")
    )


def _route_of(scope: Scope) -> str:
    """The template of a route: a bounded set, for metrics and logs."""
    route = scope.get("route")
    path = getattr(route, "path", None)
    return path if isinstance(path, str) else "other"


def shape_of(method: str, path: str) -> Shape:
    """How errors of a path look."""
    return next((api.shape for api in APIS if api.has(path)), rfc9457)


def _handle_errors(app: FastAPI) -> None:
    def respond(request: Request, problem: Problem) -> Response:
        said(request, error=problem.code)
        return answer(problem, shape_of(request.method, request.url.path))

    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> Response:
        return respond(request, error)

    @app.exception_handler(UnseenError)
    async def known(request: Request, error: UnseenError) -> Response:
        found = Problem.of(error)
        if found.status == 500:
            logger.error("error", exc_info=error)
        return respond(request, found)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return respond(request, Problem(422, sentence_of(error), code="invalid_request"))

    @app.exception_handler(HTTPException)
    async def plain(request: Request, error: HTTPException) -> Response:
        detail = PLAIN.get(error.status_code, str(error.detail))
        return respond(request, Problem(error.status_code, detail, headers=error.headers))


PLAIN = {
    404: "there is nothing at this address; /openapi.json has what there is.",
    405: "not with this method; see Allow.",
}


def sentence_of(error: RequestValidationError) -> str:
    """The first things that are wrong, one a field, and where; nothing of what was sent."""
    first: dict[str, str] = {}
    for one in error.errors():
        where = [str(part)[:40] for part in one["loc"] if not TYPE.search(str(part))]
        first.setdefault(where[0] if where else "", f"{'.'.join(where) or 'body'}: {one['msg']}")
    found = list(first.values())
    more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
    return "; ".join(found[:3]) + more + "."


# What pydantic puts between the places of an error: which type of several it tried.
TYPE = re.compile(r"\[|^[A-Z]\w+Object$|^(str|list|dict)$")


def _describe(app: FastAPI) -> None:
    """The OpenAPI document, with the schemas that routes describe by hand."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                license_info=app.license_info,
                routes=app.routes,
            )
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            for name, schema in request_parsing.SCHEMAS.items():
                schemas.setdefault(name, schema)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
