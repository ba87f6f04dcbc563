"""The application: one service, the routes over it, and the middleware around them."""

from __future__ import annotations

import asyncio
import logging
import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from unseen import __version__
from unseen.classifier import Classifier
from unseen.errors import UnseenError
from unseen.web.problems import ErrorBody, Problem, problem_response, rfc9457
from unseen.web.security import allowed_hosts
from unseen.web.server.apis import huggingface, label_studio, openai_api, roboflow, v1, video
from unseen.web.server.core import label_watcher
from unseen.web.server.core.index_service import IndexService
from unseen.web.server.core.logs import LOGGER
from unseen.web.server.core.metrics import Metrics
from unseen.web.server.core.service import Service
from unseen.web.server.core.settings import Settings
from unseen.web.server.http import health, keys, page_files, request_parsing
from unseen.web.server.http.api import log_fields
from unseen.web.server.http.direct_routes import DirectRoutes
from unseen.web.server.http.middleware import RouteRules, ServerMiddleware
from unseen.web.server.http.refusals import RefusalPace

logger = logging.getLogger(LOGGER)

# Where two have a path, it is the first one's: OpenAI's are below /v1 among our own.
APIS = (roboflow.api, huggingface.api, openai_api.api, label_studio.api, video.api, v1.api)
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

    Parameters
    ----------
    settings : Settings
        How the server is set up.
    classifier : Classifier, optional
        The classifier of these settings, where it is loaded already.
    failed : callable, optional
        Called when the server could not be started.

    Raises
    ------
    ModelError, StoreError, SourceError
        Where the model, the file of label sets or the keys cannot be read.
    """
    service = Service(settings, Metrics(), classifier)
    known_keys = keys.Keys(_key_hashes(settings))
    app = FastAPI(
        title="unseen",
        version=__version__,
        summary="Zero-shot image classification: pictures and words in, which words fit out.",
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        lifespan=_lifespan(service, known_keys, failed),
    )
    app.state.service = service
    app.state.index_service = None
    app.state.has_keys = bool(known_keys)
    for router in ROUTERS:
        app.include_router(router)
    app.router.middleware_stack = DirectRoutes(app.router.middleware_stack, APIS)
    _handle_errors(app)
    _describe(app)
    _add_middleware(app, service, known_keys)
    return app


def _add_middleware(app: FastAPI, service: Service, known_keys: keys.Keys) -> None:
    settings = service.settings
    app.add_middleware(
        ServerMiddleware,
        metrics=service.metrics,
        limits=settings.limits,
        keys=known_keys,
        rules=RouteRules(
            error_body=error_body_of,
            route=_route_of,
            runs_network=_runs_network,
            key_in_body=lambda path: any(api.key_in_body and api.has(path) for api in APIS),
            streams=lambda path: any(path in api.streaming_paths for api in APIS),
            public=_is_public,
            wrong_method=lambda scope: _wrong_method(app, scope),
        ),
        hosts=allowed_hosts(settings.host, settings.hosts),
        origins=frozenset(settings.cors),
        until_ready=service.until_ready,
        admit=service.admit,
        admitted=service.admitted,
        pace=RefusalPace(lambda: service.images.seconds),
    )
    if settings.cors:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors),
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Retry-After", "X-Request-Id"],
        )


def _lifespan(
    service: Service, known_keys: keys.Keys, failed: Callable[[], None] | None
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """From the first to the last event of the application: loads, watches files, closes."""
    settings = service.settings

    async def reload() -> None:
        """On SIGHUP: reads the keys and the label files again."""
        try:
            known_keys.replace(_key_hashes(settings))
        except UnseenError as error:
            logger.error("keys not used", extra={"fields": {"error": str(error)}})
        await label_watcher.reload(service, settings.labels)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        warming = asyncio.create_task(_warm_up(app, settings, failed))
        watching = asyncio.create_task(label_watcher.watch(service, settings.labels))
        _on_hangup(lambda: asyncio.ensure_future(reload()))
        yield
        for task in (warming, watching):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if app.state.index_service is not None:
            await app.state.index_service.close()
        service.metrics.ready.set(0)
        await service.close()

    return lifespan


def _key_hashes(settings: Settings) -> list[tuple[str, str]]:
    """The names and hashes of all keys, of the file and of the environment."""
    unnamed = [(f"key{i}", digest) for i, digest in enumerate(settings.key_hashes)]
    return unnamed + (keys.read(settings.keys) if settings.keys else [])


async def _warm_up(app: FastAPI, settings: Settings, failed: Callable[[], None] | None) -> None:
    service: Service = app.state.service
    loop = asyncio.get_running_loop()
    try:
        await loop.run_in_executor(None, service.warm_up)
        if settings.index is not None:
            arguments = service.encoder, settings.limits, service.metrics
            app.state.index_service = await loop.run_in_executor(
                None, IndexService, settings.index, *arguments
            )
        service.become(ready=True)
        await label_watcher.reload(service, settings.labels)
        if settings.watch:
            await service.start_watching()
    except Exception as error:
        expected = isinstance(error, UnseenError)
        logger.error("not started", exc_info=not expected, extra={"fields": {"error": str(error)}})
        service.become(ready=False)
        if failed is not None:
            failed()
        return
    service.metrics.ready.set(1)
    logger.info("ready", extra={"fields": {"model": service.model.name}})


def _on_hangup(action: Callable[[], Any]) -> None:
    """On SIGHUP, where there are signals and this is the main thread."""
    with suppress(AttributeError, NotImplementedError, RuntimeError, ValueError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, action)


def _runs_network(method: str, path: str) -> bool:
    return method == "POST" and any(path in api.inference_paths for api in APIS)


def _is_public(method: str, path: str) -> bool:
    if method == "OPTIONS":
        return True
    return method in ("GET", "HEAD") and (
        path in PUBLIC or path in ("/", "/docs", "/favicon.ico") or path.startswith("/page/")
    )


def _wrong_method(app: FastAPI, scope: Scope) -> bool:
    """Whether the path of a request is that of a route, and its method is of none."""
    matches = {route.matches(scope)[0] for route in app.routes}
    return Match.PARTIAL in matches and Match.FULL not in matches


def _route_of(scope: Scope) -> str:
    """The template of a route: a bounded set, for metrics and logs."""
    route = scope.get("route")
    path = getattr(route, "path", None)
    return path if isinstance(path, str) else "other"


def error_body_of(path: str) -> ErrorBody:
    """What makes the body of an error at a path."""
    return next((api.error_body for api in APIS if api.has(path)), rfc9457)


def _handle_errors(app: FastAPI) -> None:
    """All but a Problem, which the middleware answers: it may be one to be held."""

    def respond(request: Request, problem: Problem) -> Response:
        log_fields(request, {"error": problem.code})
        return problem_response(problem, error_body_of(request.url.path))

    @app.exception_handler(UnseenError)
    async def library_error(request: Request, error: UnseenError) -> Response:
        problem = Problem.of(error)
        if problem.status >= 500:
            logger.error("error", exc_info=error)
        return respond(request, problem)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return respond(request, Problem(422, sentence_of(error), code="invalid_request"))

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        detail = HTTP_ERRORS.get(error.status_code, str(error.detail))
        return respond(request, Problem(error.status_code, detail, headers=error.headers))


HTTP_ERRORS = {
    404: "not found; /openapi.json lists all paths.",
    405: "method not allowed; see the Allow header.",
}


def sentence_of(error: RequestValidationError) -> str:
    """What is wrong with the first three fields; nothing of what was sent."""
    first: dict[str, str] = {}
    for detail in error.errors():
        where = [str(part)[:40] for part in detail["loc"] if not TYPE.search(str(part))]
        field = where[0] if where else ""
        first.setdefault(field, f"{'.'.join(where) or 'body'}: {detail['msg']}")
    sentences = list(first.values())
    more = f"; and {len(sentences) - 3} more" if len(sentences) > 3 else ""
    return "; ".join(sentences[:3]) + more + "."


# What pydantic puts into the location of an error: which type of a union it tried.
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
