"""OpenAI's embeddings and models, with the three ways in which clients send pictures there.

`{"image": …}` among the inputs (Jina), `"modality": "image"` beside them (infinity), and `messages`
(vLLM). Paths are with and without /v1: some clients leave it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, model_validator

from unseen.web.server.apis import schemas
from unseen.web.server.core.pictures import Picture, is_of_a_picture
from unseen.web.server.core.problems import Problem
from unseen.web.server.core.service import Service
from unseen.web.server.http import request_parsing
from unseen.web.server.http.api import Api, failures, said, service

NOT_SAID = ("", "default/not-specified")  # the second is infinity's word for it
THREE_FORMS = (
    "this is a picture, and input takes texts. A picture is sent in one of three forms: "
    '"input": [{"image": "…"}]; "input": ["…"] with "modality": "image"; or "messages": '
    '[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "…"}}]}].'
)


class ErrorOf(schemas.Wire):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(schemas.Wire):
    """An error, as the client takes it apart."""

    error: ErrorOf


class Part(schemas.Wire):
    """One text or one picture: exactly one of these."""

    text: str | None = None
    image: str | None = Field(default=None, description="base64, a data URI, perhaps a URL")
    bytes: str | None = Field(default=None, description="base64")
    url: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Part:
        if sum(x is not None for x in (self.text, self.image, self.bytes, self.url)) != 1:
            raise ValueError("an input has exactly one of text, image, bytes and url")
        return self


class ImageUrl(schemas.Wire):
    url: str


class Content(schemas.Wire):
    """A part of a message."""

    type: Literal["text", "image_url"]
    text: str | None = None
    image_url: ImageUrl | None = None


class Message(schemas.Wire):
    role: str = "user"
    content: str | list[Content]


Item = str | Part
Token = int | list[int]


class EmbeddingsRequest(schemas.Wire):
    """Texts and pictures, a vector each; or messages with one of either."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"input": ["a red square"]},
                {"input": [{"image": schemas.PNG}, {"text": "a red square"}]},
            ]
        }
    )

    model: str | None = None
    input: Item | list[Item] | list[Token] | None = None
    messages: list[Message] | None = None
    modality: Literal["text", "image"] = "text"
    encoding_format: schemas.Encoding | None = None
    dimensions: int | None = Field(default=None, ge=0, description="0 and null: all")


class VectorAnswer(schemas.Wire):
    object: Literal["embedding"]
    index: int
    embedding: schemas.Embedding


class Usage(schemas.Wire):
    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(schemas.Wire):
    object: Literal["list"]
    model: str
    data: list[VectorAnswer]
    usage: Usage


class ModelAnswer(schemas.Wire):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    dimension: int
    family: str


class ModelsAnswer(schemas.Wire):
    object: Literal["list"]
    data: list[ModelAnswer]


def shape(problem: Problem) -> dict[str, Any]:
    """An error as OpenAI has it."""
    kind = "server_error" if problem.status >= 500 else "invalid_request_error"
    return {"error": {"message": problem.detail, "type": kind, "param": None, "code": problem.code}}


router = APIRouter(
    tags=["OpenAI"], responses=failures("OpenAIError", ErrorAnswer, "application/json")
)
EMBEDDINGS = ("/v1/embeddings", "/embeddings", "/v1/embeddings_image", "/embeddings_image")
api = Api(
    router,
    shape,
    paths=(*EMBEDDINGS, "/v1/models", "/v1/models/", "/models", "/models/"),
    working=EMBEDDINGS,
)


@router.post(
    "/v1/embeddings",
    summary="The embeddings of texts and pictures",
    response_model=EmbeddingsAnswer,
    openapi_extra=request_parsing.described(EmbeddingsRequest),
)
@router.post("/embeddings", include_in_schema=False)
async def embeddings(request: Request) -> Any:
    asked, _ = await request_parsing.read(request, EmbeddingsRequest)
    return await _answer(request, asked, asked.modality)


@router.post("/v1/embeddings_image", include_in_schema=False)
@router.post("/embeddings_image", include_in_schema=False)
async def embeddings_image(request: Request) -> Any:
    asked, _ = await request_parsing.read(request, EmbeddingsRequest)
    return await _answer(request, asked, "image")


async def _answer(request: Request, asked: EmbeddingsRequest, modality: str) -> Any:
    one = service(request)
    if (asked.model or "") not in NOT_SAID:
        _check_model(one, asked.model or "")
    things = [_thing(item, modality, i) for i, item in enumerate(_items(asked))]
    dimensions = asked.dimensions or one.model.dimension
    if dimensions > one.model.dimension:
        raise Problem(
            400,
            f"dimensions is {dimensions}, and embeddings of {one.model.name} have "
            f"{one.model.dimension} numbers.",
        )
    texts = [thing for thing in things if isinstance(thing, str)]
    one.check_texts(texts, one.limits.texts)
    tokens = await one.count_tokens(texts)
    rows = schemas.shorter(await _rows(one, things, texts), dimensions)
    said(request, pictures=len(things) - len(texts), texts=len(texts))
    encoding = asked.encoding_format or "float"
    return JSONResponse(
        {
            "object": "list",
            "model": one.model.name,
            "data": [
                {"object": "embedding", "index": i, "embedding": schemas.written(row, encoding)}
                for i, row in enumerate(rows)
            ],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )


def _items(asked: EmbeddingsRequest) -> Sequence[Item]:
    """What is to be embedded; Problem 400 when it is nothing, or tokens."""
    if asked.messages is not None:
        return [_said_in(asked.messages)]
    given = asked.input if isinstance(asked.input, list) else [asked.input]
    if any(isinstance(item, (int, list)) for item in given):
        raise Problem(
            400,
            "input holds token ids, which are of another model's vocabulary: send texts (in "
            "langchain-openai, check_embedding_ctx_length=False).",
        )
    items = [item for item in given if isinstance(item, (str, Part))]
    if not items or "" in items:
        raise Problem(400, "input is empty: give a text, a picture, or a list of them.")
    return items


def _said_in(messages: Sequence[Message]) -> Item:
    """The one thing that messages hold."""
    found: list[Item | None] = []
    for message in messages:
        if isinstance(message.content, str):
            found.append(message.content)
            continue
        for part in message.content:
            if part.type == "text":
                found.append(part.text)
            else:
                found.append(Part(image=part.image_url.url) if part.image_url else None)
    if len(found) != 1 or found[0] in (None, ""):
        raise Problem(400, "messages must hold exactly one text or one picture: one vector comes.")
    assert found[0] is not None
    return found[0]


def _thing(item: Item, modality: str, index: int) -> str | Picture:
    """A text, or a picture."""
    name = f"input {index}"
    if isinstance(item, Part):
        image = item.image or item.bytes or item.url
        if image is not None:
            return Picture(name, text=image)
        text = item.text or ""
    elif modality == "image":
        return Picture(name, text=item)
    else:
        text = item
    if is_of_a_picture(text):
        raise Problem(400, f"{name}: {THREE_FORMS}", code="picture_as_text")
    return text


async def _rows(
    one: Service, things: Sequence[str | Picture], texts: Sequence[str]
) -> NDArray[np.float32]:
    """(n, d), in order."""
    pictures = [thing for thing in things if isinstance(thing, Picture)]
    of_pictures = iter(await one.embed_pictures(pictures))
    of_texts = iter((await one.encode_texts(texts)).rows)
    rows = [next(of_texts) if isinstance(t, str) else next(of_pictures) for t in things]
    return np.array(rows, dtype=np.float32)


# models

ModelId = Annotated[str, Path(max_length=1000, examples=["builtin"])]


@router.get("/v1/models", summary="The model that answers", response_model=ModelsAnswer)
@router.get("/models", include_in_schema=False)
async def models(request: Request) -> Any:
    return JSONResponse({"object": "list", "data": [_described(service(request))]})


@router.get("/v1/models/{model:path}", summary="A model, by its id", response_model=ModelAnswer)
@router.get("/models/{model:path}", include_in_schema=False)
async def model(request: Request, model: ModelId) -> Any:
    _check_model(service(request), model)
    return JSONResponse(_described(service(request)))


def _check_model(one: Service, name: str) -> None:
    if name not in (one.model.name, one.settings.load_options.model):
        raise Problem(
            404,
            f"the model {name[:100]!r} is not served here; it is {one.model.name!r} that is.",
            code="model_not_found",
        )


def _described(one: Service) -> dict[str, Any]:
    return {
        "id": one.model.name,
        "object": "model",
        "created": int(one.started),
        "owned_by": "unseen",
        "dimension": one.model.dimension,
        "family": one.model.family,
    }
