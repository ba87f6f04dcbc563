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

from unseen.web.problems import Problem
from unseen.web.server.apis import schemas
from unseen.web.server.core.image_input import ImageInput, is_image_text
from unseen.web.server.core.service import Service
from unseen.web.server.http import request_parsing
from unseen.web.server.http.api import Api, error_responses, log_fields, service_of

NO_MODEL_NAMES = ("", "default/not-specified")  # the second is infinity's word for it
THREE_FORMS = (
    "this is a picture, but input takes texts. Send a picture in one of three forms: "
    '"input": [{"image": "…"}]; "input": ["…"] with "modality": "image"; or "messages": '
    '[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "…"}}]}].'
)


class ErrorDetail(schemas.Wire):
    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(schemas.Wire):
    """An error, as the client reads it."""

    error: ErrorDetail


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


class MessagePart(schemas.Wire):
    """A part of a message."""

    type: Literal["text", "image_url"]
    text: str | None = None
    image_url: ImageUrl | None = None


class Message(schemas.Wire):
    role: str = "user"
    content: str | Annotated[list[MessagePart], schemas.BOUNDED]


EmbeddingInput = str | Part
Token = int | Annotated[list[int], schemas.BOUNDED]
Inputs = Annotated[list[EmbeddingInput], schemas.BOUNDED]
Tokens = Annotated[list[Token], schemas.BOUNDED]


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
    input: EmbeddingInput | Inputs | Tokens | None = None
    messages: Annotated[list[Message], schemas.BOUNDED] | None = None
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


class OpenAIModel(schemas.Wire):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    dimension: int
    family: str
    stats: dict[str, Any] | None = Field(default=None, description="for infinity's client")


class ModelsAnswer(schemas.Wire):
    object: Literal["list"]
    data: list[OpenAIModel]


def error_body(problem: Problem) -> dict[str, Any]:
    """An error as OpenAI has it."""
    kind = "server_error" if problem.status >= 500 else "invalid_request_error"
    return {"error": {"message": problem.detail, "type": kind, "param": None, "code": problem.code}}


router = APIRouter(
    tags=["OpenAI"], responses=error_responses("OpenAIError", OpenAIError, "application/json")
)
EMBEDDINGS = ("/v1/embeddings", "/embeddings", "/v1/embeddings_image", "/embeddings_image")
api = Api(
    router,
    error_body,
    paths=(*EMBEDDINGS, "/v1/models", "/v1/models/", "/models", "/models/"),
    inference_paths=EMBEDDINGS,
)


@router.post(
    "/v1/embeddings",
    summary="The embeddings of texts and pictures",
    response_model=EmbeddingsAnswer,
    openapi_extra=request_parsing.request_body(EmbeddingsRequest),
)
@router.post("/embeddings", include_in_schema=False)
async def embeddings(request: Request) -> Any:
    body, _ = await request_parsing.read(request, EmbeddingsRequest)
    return await _answer(request, body, body.modality)


@router.post("/v1/embeddings_image", include_in_schema=False)
@router.post("/embeddings_image", include_in_schema=False)
async def embeddings_image(request: Request) -> Any:
    body, _ = await request_parsing.read(request, EmbeddingsRequest)
    return await _answer(request, body, "image")


async def _answer(request: Request, body: EmbeddingsRequest, modality: str) -> Any:
    service = service_of(request)
    if (body.model or "") not in NO_MODEL_NAMES:
        _check_model(service, body.model or "")
    inputs = [_input(item, modality, i) for i, item in enumerate(_items(body))]
    dimensions = body.dimensions or service.model.dimension
    if dimensions > service.model.dimension:
        raise Problem(
            400,
            f"dimensions is {dimensions}; at most {service.model.dimension} for the model "
            f"{service.model.name}.",
        )
    texts = [value for value in inputs if isinstance(value, str)]
    service.check_texts(texts, service.limits.texts)
    tokens = await service.count_tokens(texts)
    rows = schemas.truncated(await _rows(service, inputs, texts), dimensions)
    log_fields(request, {"pictures": len(inputs) - len(texts), "texts": len(texts)})
    encoding = body.encoding_format or "float"
    return JSONResponse(
        {
            "object": "list",
            "model": service.model.name,
            "data": [
                {
                    "object": "embedding",
                    "index": i,
                    "embedding": schemas.encode_embedding(row, encoding),
                }
                for i, row in enumerate(rows)
            ],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )


def _items(body: EmbeddingsRequest) -> Sequence[EmbeddingInput]:
    """The inputs to embed. Problem 400 where there is none, and for token ids."""
    if body.messages is not None:
        return [_input_of(body.messages)]
    items_or_tokens = body.input if isinstance(body.input, list) else [body.input]
    if any(isinstance(item, (int, list)) for item in items_or_tokens):
        raise Problem(
            400,
            "input holds token ids, which belong to another model; send texts (in "
            "langchain-openai, check_embedding_ctx_length=False).",
        )
    items = [item for item in items_or_tokens if isinstance(item, (str, Part))]
    if not items or "" in items:
        raise Problem(400, "input is empty; give a text, a picture, or a list of them.")
    return items


def _input_of(messages: Sequence[Message]) -> EmbeddingInput:
    """The one text or picture in messages. Problem 400 for more, or none."""
    contents: list[EmbeddingInput | None] = []
    for message in messages:
        if isinstance(message.content, str):
            contents.append(message.content)
            continue
        for part in message.content:
            if part.type == "text":
                contents.append(part.text)
            else:
                contents.append(Part(image=part.image_url.url) if part.image_url else None)
    if len(contents) != 1 or contents[0] in (None, ""):
        raise Problem(400, "messages must hold exactly one text or one picture.")
    assert contents[0] is not None
    return contents[0]


def _input(item: EmbeddingInput, modality: str, index: int) -> str | ImageInput:
    """A text, or a picture."""
    name = f"input {index}"
    if isinstance(item, Part):
        image = item.image or item.bytes or item.url
        if image is not None:
            return ImageInput(name, text=image)
        text = item.text or ""
    elif modality == "image":
        return ImageInput(name, text=item)
    else:
        text = item
    if is_image_text(text):
        raise Problem(400, f"{name}: {THREE_FORMS}", code="picture_as_text")
    return text


async def _rows(
    service: Service, inputs: Sequence[str | ImageInput], texts: Sequence[str]
) -> NDArray[np.float32]:
    """(n, d), in order."""
    pictures = [value for value in inputs if isinstance(value, ImageInput)]
    picture_rows = iter(await service.embed_pictures(pictures))
    text_rows = iter((await service.encode_texts(texts)).rows)
    rows = [next(text_rows) if isinstance(t, str) else next(picture_rows) for t in inputs]
    return np.array(rows, dtype=np.float32)


# models

ModelId = Annotated[str, Path(max_length=1000, examples=["builtin"])]


@router.get("/v1/models", summary="The model that answers", response_model=ModelsAnswer)
async def models(request: Request) -> Any:
    return JSONResponse({"object": "list", "data": [_model_dict(service_of(request))]})


@router.get("/models", include_in_schema=False)
async def models_of_infinity(request: Request) -> Any:
    """Its client reads `stats`, and takes no other owner than infinity."""
    service = service_of(request)
    waiting = service.images.pending + service.texts.batches.pending
    stats = {"queue_absolute": waiting, "results_pending": waiting}
    entry = {**_model_dict(service), "owned_by": "infinity", "backend": "unseen", "stats": stats}
    return JSONResponse({"object": "list", "data": [entry]})


@router.get("/v1/models/{model:path}", summary="A model, by its id", response_model=OpenAIModel)
@router.get("/models/{model:path}", include_in_schema=False)
async def model(request: Request, model: ModelId) -> Any:
    _check_model(service_of(request), model)
    return JSONResponse(_model_dict(service_of(request)))


def _check_model(service: Service, name: str) -> None:
    if name not in (service.model.name, service.settings.load_options.model):
        raise Problem(
            404,
            f"unknown model {name[:100]!r}; this server has {service.model.name!r}.",
            code="model_not_found",
        )


def _model_dict(service: Service) -> dict[str, Any]:
    return {
        "id": service.model.name,
        "object": "model",
        "created": int(service.started),
        "owned_by": "unseen",
        "dimension": service.model.dimension,
        "family": service.model.family,
    }
