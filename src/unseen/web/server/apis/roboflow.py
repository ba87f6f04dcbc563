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
from unseen.web.server.apis import schemas
from unseen.web.server.core.pictures import Picture
from unseen.web.server.core.problems import Problem
from unseen.web.server.core.service import Service
from unseen.web.server.http import request_parsing
from unseen.web.server.http.api import Api, failures, said, service

TYPES = ("base64", "url")  # of what Roboflow takes; numpy is a pickle, which is never opened
EXAMPLE: Any = {"type": "base64", "value": schemas.PNG}


class ErrorAnswer(schemas.Wire):
    """What the SDK shows people of an error."""

    message: str


class ImageValue(schemas.Wire):
    """A picture: base64 (a data URI, too), or a URL if the server fetches."""

    type: str = Field(description="base64 or url")
    value: Any = Field(json_schema_extra={"type": "string"}, examples=[schemas.PNG])


Thing = str | ImageValue
Kind = Literal["image", "text"]


class ImagesRequest(schemas.Wire):
    """One picture, or several."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"image": EXAMPLE}]})

    image: Thing | list[Thing]


class TextsRequest(schemas.Wire):
    """One text, or several, as they are."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": ["a red square"]}]})

    text: str | list[str]


class CompareRequest(schemas.Wire):
    """One thing, and those that it is compared with. `clip_version_id` is let pass."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"subject": EXAMPLE, "prompt": ["red", "blue"]}]}
    )

    subject: Thing
    subject_type: Kind = "image"
    # An object of a type and a value is a picture; any other has a name for each prompt.
    prompt: Annotated[Thing | list[Thing] | dict[str, Thing], Field(union_mode="left_to_right")]
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
    responses=failures("RoboflowError", ErrorAnswer, "application/json"),
)
api = Api(
    router,
    lambda problem: {"message": problem.detail},
    paths=("/clip/",),
    working=("/clip/compare", "/clip/embed_image", "/clip/embed_text"),
    key_in_body=True,
)


@router.post(
    "/embed_image",
    summary="The embeddings of pictures",
    response_model=RowsAnswer,
    openapi_extra=request_parsing.described(ImagesRequest),
)
async def embed_image(request: Request) -> Any:
    asked, _ = await request_parsing.read(request, ImagesRequest)
    return await _embeddings(request, _listed(asked.image), "image")


@router.post(
    "/embed_text",
    summary="The embeddings of texts",
    response_model=RowsAnswer,
    openapi_extra=request_parsing.described(TextsRequest),
)
async def embed_text(request: Request) -> Any:
    asked, _ = await request_parsing.read(request, TextsRequest)
    return await _embeddings(request, _listed(asked.text), "text")


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]


async def _embeddings(request: Request, things: Sequence[Thing], kind: Kind) -> Any:
    start = time.perf_counter()
    rows = await _rows(service(request), things, kind, kind)
    said(request, things=len(things), kind=kind)
    return _answer(start, embeddings=rows.tolist())


@router.post(
    "/compare",
    summary="The cosines of a picture or text to others",
    response_model=CompareAnswer,
    openapi_extra=request_parsing.described(CompareRequest),
)
async def compare(request: Request) -> Any:
    asked, _ = await request_parsing.read(request, CompareRequest)
    start = time.perf_counter()
    one = service(request)
    named = asked.prompt if isinstance(asked.prompt, dict) else None
    prompts = list(named.values()) if named is not None else _listed(asked.prompt)
    subject = await _rows(one, [asked.subject], asked.subject_type, "subject")
    rows = await _rows(one, prompts, asked.prompt_type, "prompt")
    said(request, things=len(prompts), kind=asked.prompt_type)
    found = score.cosines(subject, rows)[0].tolist()
    return _answer(
        start, similarity=found if named is None else dict(zip(named, found, strict=True))
    )


def _answer(start: float, **found: Any) -> JSONResponse:
    return JSONResponse(
        {
            **found,
            "time": time.perf_counter() - start,
            "inference_id": str(uuid.uuid4()),
            "frame_id": None,
            "parent_id": None,
        }
    )


async def _rows(
    one: Service, things: Sequence[Thing], kind: Kind, called: str
) -> NDArray[np.float32]:
    """The embeddings of pictures or of texts; Problem for what is neither."""
    if not things:
        raise Problem(422, f"{called}: an empty list; give at least one.")
    if kind == "text":
        texts = [thing for thing in things if isinstance(thing, str)]
        if len(texts) < len(things):
            raise Problem(422, f"{called}: a text is a string, not an object.")
        one.check_texts(texts, one.limits.texts)
        return (await one.encode_texts(texts)).rows
    pictures = [_picture(thing, f"{called} {i}") for i, thing in enumerate(things)]
    return await one.embed_pictures(pictures)


def _picture(thing: Thing, name: str) -> Picture:
    if isinstance(thing, str):
        return Picture(name, text=thing)
    if thing.type not in TYPES or not isinstance(thing.value, str):
        raise Problem(
            400,
            f"{name}: pictures of the type {thing.type[:40]!r} are not read; send "
            '{"type": "base64", "value": "…"}.',
            code="bad_image",
        )
    return Picture(name, text=thing.value)
