"""Roboflow's CLIP routes, below /clip: for `inference-sdk`, and for the articles that post to them.

Similarities are cosines, in the order of the prompts: no template, no softmax.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from unseen.prediction import score
from unseen.web.problems import Problem
from unseen.web.server.apis import schemas
from unseen.web.server.core.image_input import ImageInput
from unseen.web.server.core.service import Service
from unseen.web.server.http import request_parsing
from unseen.web.server.http.api import Api, error_responses, log_fields, service_of

TYPES = ("base64", "url")  # of what Roboflow takes; numpy is a pickle, which is never opened
EXAMPLE: Any = {"type": "base64", "value": schemas.PNG}


class RoboflowError(schemas.Wire):
    """An error, as the SDK shows it."""

    message: str


class ImageValue(schemas.Wire):
    """A picture: base64 (a data URI, too), or a URL if the server fetches."""

    type: str = Field(description="base64 or url")
    value: Any = Field(json_schema_extra={"type": "string"}, examples=[schemas.PNG])


ClipInput = str | ImageValue
ClipInputs = Annotated[list[ClipInput], schemas.BOUNDED]
Kind = Literal["image", "text"]


class ImagesRequest(schemas.Wire):
    """One picture, or several."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"image": EXAMPLE}]})

    image: ClipInput | ClipInputs


class TextsRequest(schemas.Wire):
    """One text, or several, as they are."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": ["a red square"]}]})

    text: schemas.TextOrTexts


class CompareRequest(schemas.Wire):
    """One thing, and those that it is compared with. `clip_version_id` is ignored."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"subject": EXAMPLE, "prompt": ["red", "blue"]}]}
    )

    subject: ClipInput
    subject_type: Kind = "image"
    # An object of a type and a value is a picture; any other has a name for each prompt.
    prompt: Annotated[
        ClipInput | ClipInputs | Annotated[dict[str, ClipInput], schemas.ONE_BY_ONE],
        Field(union_mode="left_to_right"),
    ]
    prompt_type: Kind = "text"


Row = Annotated[list[float], Field(description="of length 1")]


class RowsAnswer(schemas.Wire):
    embeddings: list[Row]
    time: float = Field(description="seconds")
    inference_id: str
    frame_id: str | None
    parent_id: str | None


class CompareAnswer(schemas.Wire):
    similarity: list[float] | dict[str, float]
    time: float = Field(description="seconds")
    inference_id: str
    frame_id: str | None
    parent_id: str | None


router = APIRouter(
    prefix="/clip",
    tags=["Roboflow"],
    responses=error_responses("RoboflowError", RoboflowError, "application/json"),
)
api = Api(
    router,
    lambda problem: {"message": problem.detail},
    paths=("/clip/",),
    inference_paths=("/clip/compare", "/clip/embed_image", "/clip/embed_text"),
    key_in_body=True,
)


@router.post(
    "/embed_image",
    summary="The embeddings of pictures",
    response_model=RowsAnswer,
    openapi_extra=request_parsing.request_body(ImagesRequest),
)
async def embed_image(request: Request) -> Any:
    body, _ = await request_parsing.read(request, ImagesRequest)
    return await _embeddings(request, _as_list(body.image), "image")


@router.post(
    "/embed_text",
    summary="The embeddings of texts",
    response_model=RowsAnswer,
    openapi_extra=request_parsing.request_body(TextsRequest),
)
async def embed_text(request: Request) -> Any:
    body, _ = await request_parsing.read(request, TextsRequest)
    return await _embeddings(request, _as_list(body.text), "text")


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


async def _embeddings(request: Request, inputs: Sequence[ClipInput], kind: Kind) -> Any:
    start = time.perf_counter()
    rows = await _rows(service_of(request), inputs, kind, kind)
    log_fields(request, {"things": len(inputs), "kind": kind})
    return _answer(start, {"embeddings": rows.tolist()})


@router.post(
    "/compare",
    summary="The cosines of a picture or text to others",
    response_model=CompareAnswer,
    openapi_extra=request_parsing.request_body(CompareRequest),
)
async def compare(request: Request) -> Any:
    body, _ = await request_parsing.read(request, CompareRequest)
    start = time.perf_counter()
    service = service_of(request)
    named_prompts = body.prompt if isinstance(body.prompt, dict) else None
    prompts = list(named_prompts.values()) if named_prompts is not None else _as_list(body.prompt)
    subject = await _rows(service, [body.subject], body.subject_type, "subject")
    rows = await _rows(service, prompts, body.prompt_type, "prompt")
    log_fields(request, {"things": len(prompts), "kind": body.prompt_type})
    similarities = score.cosines(subject, rows)[0].tolist()
    if named_prompts is None:
        return _answer(start, {"similarity": similarities})
    return _answer(start, {"similarity": dict(zip(named_prompts, similarities, strict=True))})


def _answer(start: float, result: dict[str, Any]) -> JSONResponse:
    return JSONResponse(
        {
            **result,
            "time": time.perf_counter() - start,
            "inference_id": str(uuid.uuid4()),
            "frame_id": None,
            "parent_id": None,
        }
    )


async def _rows(
    service: Service, inputs: Sequence[ClipInput], kind: Kind, field: str
) -> NDArray[np.float32]:
    """The embeddings of pictures or of texts, (n, d). Problem 400 or 422 for other input."""
    if not inputs:
        raise Problem(422, f"{field}: an empty list; give at least one item.")
    if kind == "text":
        texts = [item for item in inputs if isinstance(item, str)]
        if len(texts) < len(inputs):
            raise Problem(422, f"{field}: a text is a string, not an object.")
        service.check_texts(texts, service.limits.texts)
        return (await service.encode_texts(texts)).rows
    pictures = [_picture(item, f"{field} {i}") for i, item in enumerate(inputs)]
    return await service.embed_pictures(pictures)


def _picture(item: ClipInput, name: str) -> ImageInput:
    if isinstance(item, str):
        return ImageInput(name, text=item)
    if item.type not in TYPES or not isinstance(item.value, str):
        raise Problem(
            400,
            f"{name}: unknown picture type {item.type[:40]!r}; send "
            '{"type": "base64", "value": "…"}.',
            code="bad_image",
        )
    return ImageInput(name, text=item.value)
