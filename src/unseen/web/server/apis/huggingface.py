"""Hugging Face's inference API at POST /, for `InferenceClient(base_url=…)` and its kin.

With candidate labels: zero-shot image classification. Scores are a softmax and sum to 1, for every
family: of a sigmoid family too, where transformers' own pipeline gives sigmoids. Labels stay
exactly as they came. Without: the embeddings of texts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from unseen.labels.compiled import CompiledLabels
from unseen.labels.label_set import Label
from unseen.labels.templates import fill
from unseen.models.model import HYPOTHESIS
from unseen.prediction import score
from unseen.web.server.apis import schemas
from unseen.web.server.core.label_service import Asked
from unseen.web.server.core.pictures import Picture, is_of_a_picture
from unseen.web.server.core.problems import Problem
from unseen.web.server.core.service import Service
from unseen.web.server.http import request_parsing
from unseen.web.server.http.api import Api, failures, said, service

DEFAULT_SET = "default"  # the stored label set for pictures that come without labels
BYTES = ("application/octet-stream", "")  # huggingface_hub names no type that it cannot guess
NO_LABELS = (
    "no labels came with this picture: send parameters.candidate_labels (in huggingface_hub, "
    "zero_shot_image_classification), or keep a label set called default: PUT "
    "/v1/labelsets/default."
)


class ErrorAnswer(schemas.Wire):
    """What the clients show people of an error."""

    error: str


Names = list[str] | str


class Parameters(schemas.Wire):
    candidate_labels: Names | None = Field(default=None, description="a list, or names with commas")
    hypothesis_template: str | None = Field(default=None, description="with {} for the label")


class Inputs(schemas.Wire):
    """A picture as JavaScript's client sends it, and with labels as huggingface_hub 0.26 did."""

    image: str
    candidate_labels: Names | None = Field(default=None, alias="candidateLabels")


class HuggingFaceRequest(schemas.Wire):
    """A picture and labels, or texts to embed."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"inputs": schemas.PNG, "parameters": {"candidate_labels": ["red", "blue"]}},
                {"inputs": ["a red square"]},
            ]
        }
    )

    inputs: str | list[str] | Inputs | None = None
    image: str | None = Field(default=None, description="of huggingface_hub before 0.26")
    parameters: Parameters | None = None
    dimensions: int | None = Field(default=None, ge=1, description="the first numbers")


class LabelScore(schemas.Wire):
    label: str
    score: float


router = APIRouter(
    tags=["Hugging Face"], responses=failures("HuggingFaceError", ErrorAnswer, "application/json")
)
api = Api(router, lambda problem: {"error": problem.detail}, paths=("/",), working=("/",))

BODY = request_parsing.described(HuggingFaceRequest)
BODY["requestBody"]["content"]["application/octet-stream"] = {
    "schema": {
        "type": "string",
        "format": "binary",
        "description": "a picture (as image/* too), for the label set called default",
    }
}


@router.post(
    "/",
    summary="Which labels fit a picture, best first; or the embeddings of texts",
    response_model=list[LabelScore] | list[list[float]],
    openapi_extra=BODY,
)
async def infer(request: Request) -> Any:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith("image/") or kind in BYTES:
        picture = Picture("image 0", content=await request.body())
        return await _by_the_default_set(request, picture)
    asked, _ = await request_parsing.read(request, HuggingFaceRequest)
    nested = asked.inputs if isinstance(asked.inputs, Inputs) else None
    image = nested.image if nested is not None else asked.image
    parameters = asked.parameters or Parameters()
    labels = parameters.candidate_labels
    if labels is None and nested is not None:
        labels = nested.candidate_labels
    if isinstance(labels, str):
        labels = [label.strip() for label in labels.split(",")]
    if labels is not None:
        image = image or (asked.inputs if isinstance(asked.inputs, str) else None)
        if image is None:
            raise Problem(422, "inputs: one picture as base64 belongs to candidate_labels.")
        return await _classify(request, Picture("image 0", text=image), labels, parameters)
    if image is not None:
        return await _by_the_default_set(request, Picture("image 0", text=image))
    return await _embed(request, asked)


async def _classify(
    request: Request, picture: Picture, labels: list[str], parameters: Parameters
) -> Any:
    one = service(request)
    template = parameters.hypothesis_template or HYPOTHESIS
    if not labels or not all(label.strip() for label in labels):
        raise Problem(422, "candidate_labels: at least one is needed, and none may be empty.")
    if "{}" not in template:
        raise Problem(422, "hypothesis_template: there is no {} in it for the label.")
    prompts = [fill(template, label) for label in labels]
    one.check_texts(prompts, one.limits.labels, "labels in a call")
    embedding = await one.embed_pictures([picture])
    compiled = CompiledLabels.of_vectors(
        [Label(label, (prompt,)) for label, prompt in zip(labels, prompts, strict=True)],
        (await one.encode_texts(prompts)).rows,
        one.model,
    )
    return _ranked(request, one, embedding, one.adapted(compiled))


async def _by_the_default_set(request: Request, picture: Picture) -> Any:
    one = service(request)
    try:
        compiled = (await one.labelling.of(Asked(labelset=DEFAULT_SET))).compiled
    except Problem as problem:
        if problem.status != 404:
            raise
        raise Problem(422, NO_LABELS, code="no_labels") from None
    return _ranked(request, one, await one.embed_pictures([picture]), compiled)


def _ranked(
    request: Request,
    one: Service,
    embedding: NDArray[np.float32],
    compiled: CompiledLabels,
) -> JSONResponse:
    """Of a picture (1, d) every label, best first; a family's bias is the same for all, and falls
    out."""
    logits = score.logits(compiled.similarities(embedding), compiled.score)
    probabilities = score.softmax(logits)[0]
    said(request, pictures=1)
    order = np.argsort(-probabilities, kind="stable")
    return JSONResponse(
        [{"label": compiled.labels[i].name, "score": float(probabilities[i])} for i in order]
    )


async def _embed(request: Request, asked: HuggingFaceRequest) -> Any:
    one = service(request)
    texts = asked.inputs if isinstance(asked.inputs, list) else [asked.inputs]
    if asked.inputs is None or not texts:
        raise Problem(422, "inputs: a picture with parameters.candidate_labels, or texts.")
    given = [text for text in texts if isinstance(text, str)]
    if any(map(is_of_a_picture, given)):
        raise Problem(422, NO_LABELS, code="no_labels")
    dimensions = asked.dimensions or one.model.dimension
    if dimensions > one.model.dimension:
        raise Problem(422, f"dimensions: embeddings have {one.model.dimension} numbers here.")
    one.check_texts(given, one.limits.texts)
    rows = (await one.encode_texts(given)).rows
    said(request, texts=len(given))
    return JSONResponse(schemas.shorter(rows, dimensions).tolist())
