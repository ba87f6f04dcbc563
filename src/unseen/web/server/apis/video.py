"""Videos and watched sources, below /v1: what happens in a file, and what happens now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from unseen.images.open import from_base64, from_data_uri
from unseen.prediction.predict import undecided
from unseen.video.prediction import VideoPrediction, frame_row
from unseen.web.problems import PROBLEM_TYPE, Problem, rfc9457
from unseen.web.server.apis import schemas
from unseen.web.server.core.image_input import URL
from unseen.web.server.core.video.watch_service import Listener, WatchService
from unseen.web.server.http import request_parsing
from unseen.web.server.http.api import Api, error_responses, log_fields, service_of

WATCH = "/v1/watch"
EVENT_STREAM = "text/event-stream"

PROBLEM = error_responses("Problem", schemas.ProblemAnswer, PROBLEM_TYPE)
router = APIRouter(prefix="/v1", tags=["unseen"], responses=PROBLEM)
api = Api(
    router,
    rfc9457,
    paths=("/v1/video", WATCH),
    inference_paths=("/v1/video",),
    streaming_paths=(WATCH,),
)


@router.post(
    "/video",
    summary="What happens in a video, and when",
    response_model=schemas.VideoAnswer,
    response_model_exclude_unset=True,
    responses={
        501: {**PROBLEM[500], "description": "PyAV is not installed here."},
        507: {**PROBLEM[500], "description": "There is no room on the disk of the server."},
    },
    openapi_extra=request_parsing.request_body(schemas.VideoRequest, files=True, part="video"),
)
async def video(request: Request) -> Any:
    body, uploads = await request_parsing.read(request, schemas.VideoRequest, files=True)
    service = service_of(request)
    if len(uploads) > 1:
        raise Problem(413, f"{len(uploads)} videos; one is taken in a call.", code="too_many")
    if not uploads and not body.video:
        raise Problem(
            422, "video: send a file, base64, a data URI or a URL.", code="invalid_request"
        )
    name = uploads[0].name if uploads else "video"
    if uploads:
        content = uploads[0].content or b""
    elif URL.match(body.video):
        content = await service.fetch(body.video)
    else:
        content = await asyncio.to_thread(_content, body.video)
    labels = await service.label_service.compiled_set(body.label_request(body.labelset))
    decision = labels.calibrated(body.decision())
    if body.unknown is not None:
        decision = replace(decision, reference_set=await service.reference_set())
    answer = await service.video_service.classify(
        content, name, labels.compiled, decision, body.options()
    )
    log_fields(request, {"samples": answer.samples, "failed": int(not answer.ok)})
    note = undecided(labels.compiled, decision)
    stored = labels.stored
    facts = {
        "model": service.model.name,
        "fingerprint": service.model.fingerprint,
        "labelset": stored and {"name": stored.name, "version": stored.version},
        "warnings": [*labels.warnings, *([note] if note else [])],
    }
    return await asyncio.to_thread(_response, facts, answer, frames=body.frames)


def _content(text: str) -> bytes:
    """The bytes of a data URI, or of base64. ImageError, or Problem 400, for what is none."""
    if text[:5].lower() == "data:":
        return from_data_uri(text, "video")
    content = from_base64(text)
    if content is None:
        raise Problem(400, "video: it is no base64, data URI or URL.", code="bad_video")
    return content


def _response(facts: dict[str, Any], answer: VideoPrediction, *, frames: bool) -> JSONResponse:
    """In a thread: an answer with all frames has megabytes."""
    rows: dict[str, Any] = {
        "clip": answer.clip_row(),
        "events": [event.to_dict() for event in answer.events],
    }
    if frames:
        rows["frames"] = [frame_row(answer.source, frame) for frame in answer.frames]
    return JSONResponse({**facts, **rows})


@router.get(
    "/watch",
    summary="What happens at the sources that this server watches, as it happens",
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {EVENT_STREAM: {"schema": {"type": "string"}}},
            "description": "Server-sent events: new, update, end, surprise and health; missed, "
            "dropped and bye are of the stream itself.",
        }
    },
)
async def watch(request: Request) -> Response:
    service = service_of(request).watch_service
    listener = service.listen(request.headers.get("last-event-id"))
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    if request.scope.get("unseen.head"):  # else it would go on for ever, without a word
        service.leave(listener)
        return Response(headers=headers, media_type=EVENT_STREAM)
    return StreamingResponse(_lines(service, listener), headers=headers, media_type=EVENT_STREAM)


async def _lines(service: WatchService, listener: Listener) -> AsyncIterator[str]:
    try:
        async for line in listener.lines():
            yield line
    finally:
        service.leave(listener)
