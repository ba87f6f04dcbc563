"""For operators: is the server alive, is it ready, how is it doing, what is it."""

from __future__ import annotations

import uuid
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from unseen import __version__
from unseen.labels.templates import template_names
from unseen.prediction.prediction import LEAST_EVIDENCE
from unseen.web.problems import Problem
from unseen.web.server.core import metrics
from unseen.web.server.http.api import service_of

router = APIRouter(tags=["operations"])

INSTANCE = str(uuid.uuid4())
STARTING: dict[int | str, dict[str, Any]] = {
    503: {"description": "Still loading, or closing.", "model": dict[str, str]}
}


@router.get("/healthz", summary="Whether the process answers", response_model=dict[str, str])
async def healthz() -> Any:
    return JSONResponse({"status": "ok"})


@router.get(
    "/readyz", summary="Whether it is warm", response_model=dict[str, str], responses=STARTING
)
@router.get("/readiness", include_in_schema=False)
async def readyz(request: Request) -> Any:
    if not service_of(request).ready:
        return JSONResponse({"status": "not ready"}, 503, {"Retry-After": "2"})
    return JSONResponse({"status": "ready"})


@router.get(
    "/health",
    summary="As /readyz, as labelling tools and embedding servers expect it",
    response_model=dict[str, str],
    responses=STARTING,
)
async def health(request: Request) -> Any:
    ready = service_of(request).ready
    answer = {"status": "UP" if ready else "STARTING", "model_class": "unseen"}
    return JSONResponse(answer, 200 if ready else 503)


@router.get("/metrics", summary="For Prometheus", response_class=Response)
async def exposition(request: Request) -> Response:
    return Response(service_of(request).metrics.text(), media_type=metrics.CONTENT_TYPE)


@router.get("/info", summary="What this server is", response_model=dict[str, Any])
async def info(request: Request) -> Any:
    service = service_of(request)
    model, limits = service.model, service.limits
    index = request.app.state.index_service
    pictures = 0
    with suppress(Problem):  # a database that does not answer now: all else here does
        pictures = (await index.page(0, 0))[0] if index is not None else 0
    return JSONResponse(
        {
            "name": "unseen",
            "version": __version__,
            "uuid": INSTANCE,
            "model": {
                "id": model.name,
                "revision": model.revision,
                "family": model.family,
                "fingerprint": model.fingerprint,
                "dimension": model.dimension,
                "score": model.score.rule,
                "context_length": model.context_length,
                "template": model.template,
            },
            "index": index
            and {"name": index.name, "pictures": pictures, "filters": index.has_filters},
            "keys": request.app.state.has_keys,
            "urls": service.settings.urls,
            # Evidence that any label is there is measured with words, which these models lack.
            "evidence": not model.labels and not service.has_adapter,
            "least_evidence": LEAST_EVIDENCE,
            "explain": service.explain_service.possible,
            "templates": template_names(),
            "limits": {
                "body_bytes": limits.body_bytes,
                "json_bytes": limits.json_bytes,
                "images": limits.images,
                "image_bytes": limits.image_bytes,
                "pixels": limits.pixels,
                "labels": limits.labels,
                "prompts": limits.prompts,
                "prompt_chars": limits.prompt_chars,
                "seconds": limits.seconds,
            },
        }
    )
