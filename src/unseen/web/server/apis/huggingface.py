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
from unseen.web.problems import Problem
from unseen.web.server.apis import schemas
from unseen.web.server.core.image_input import ImageInput, is_image_text
from unseen.web.server.core.label_service import LabelRequest
from unseen.web.server.core.service import Service
from unseen.web.server.http import request_parsing
from unseen.web.server.http.api import Api, error_responses, log_fields, service_of

DEFAULT_SET = "default"  # the stored label set for pictures that come without labels
BYTES = ("application/octet-stream", "")  # huggingface_hub sends no type that it cannot guess
NO_LABELS = (
    "no labels came with this picture: send parameters.candidate_labels (in huggingface_hub, "
    "zero_shot_image_classification), or store a label set called default: PUT "
    "/v1/labelsets/default."
)


class HuggingFaceError(schemas.Wire):
    """An error, as the clients show it."""

    error: str


Names = schemas.Texts | str


class Parameters(schemas.Wire):
    candidate_labels: Names | None = Field(default=None, description="a list, or names with commas")
    hypothesis_template: str | None = Field(default=None, description="with {} for the label")


class Inputs(schemas.Wire):
    """A picture as JavaScript's client sends it, and with labels as huggingface_hub 0.26 did."""

    image: str
    candidate_labels: Names | None = Field(default=None, alias="candidateLabels")


class Sentences(schemas.Wire):
    """What is compared by sentenceSimilarity."""

    source_sentence: str
    sentences: schemas.Texts


class HuggingFaceRequest(schemas.Wire):
    """A picture and labels, texts to embed, or sentences to compare."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"inputs": schemas.PNG, "parameters": {"candidate_labels": ["red", "blue"]}},
                {"inputs": ["a red square"]},
                {"inputs": {"source_sentence": "a red square", "sentences": ["a blue one"]}},
            ]
        }
    )

    inputs: str | schemas.Texts | Inputs | Sentences | None = None
    image: str | None = Field(default=None, description="of huggingface_hub before 0.26")
    parameters: Parameters | None = None
    dimensions: int | None = Field(default=None, ge=1, description="the first numbers")


class LabelScore(schemas.Wire):
    label: str
    score: float


router = APIRouter(
    tags=["Hugging Face"],
    responses=error_responses("HuggingFaceError", HuggingFaceError, "application/json"),
)
api = Api(router, lambda problem: {"error": problem.detail}, paths=("/",), inference_paths=("/",))

BODY = request_parsing.request_body(HuggingFaceRequest)
BODY["requestBody"]["content"]["application/octet-stream"] = {
    "schema": {
        "type": "string",
        "format": "binary",
        "description": "a picture (as image/* too), for the label set called default",
    }
}


@router.post(
    "/",
    summary="Which labels fit a picture, best first; or the embeddings or cosines of texts",
    response_model=list[LabelScore] | list[list[float]] | list[float],
    openapi_extra=BODY,
)
async def infer(request: Request) -> Any:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith("image/") or kind in BYTES:
        picture = ImageInput("image 0", content=memoryview(request_parsing.body_of(request)))
        return await _classify_by_default_set(request, picture)
    body, _ = await request_parsing.read(request, HuggingFaceRequest)
    if isinstance(body.inputs, Sentences):
        return await _compare(request, body.inputs)
    nested = body.inputs if isinstance(body.inputs, Inputs) else None
    image = nested.image if nested is not None else body.image
    parameters = body.parameters or Parameters()
    labels = parameters.candidate_labels
    if labels is None and nested is not None:
        labels = nested.candidate_labels
    if isinstance(labels, str):
        labels = [label.strip() for label in request_parsing.split_at_commas(labels)]
    if labels is not None:
        image = image or (body.inputs if isinstance(body.inputs, str) else None)
        if image is None:
            raise Problem(422, "inputs: candidate_labels need one picture, as base64.")
        return await _classify(request, ImageInput("image 0", text=image), labels, parameters)
    if image is not None:
        return await _classify_by_default_set(request, ImageInput("image 0", text=image))
    return await _embed(request, body)


async def _classify(
    request: Request, picture: ImageInput, labels: list[str], parameters: Parameters
) -> Any:
    service = service_of(request)
    template = parameters.hypothesis_template or HYPOTHESIS
    if not labels or not all(label.strip() for label in labels):
        raise Problem(422, "candidate_labels: give at least one, and none that is empty.")
    if "{}" not in template:
        raise Problem(422, "hypothesis_template: it has no {} for the label.")
    service.check_texts(labels, service.limits.labels, "labels in a call")
    service.check_prompts((template, label) for label in labels)
    prompts = [fill(template, label) for label in labels]
    embedding = await service.embed_pictures([picture])
    compiled = CompiledLabels.of_vectors(
        [Label(label, (prompt,)) for label, prompt in zip(labels, prompts, strict=True)],
        (await service.encode_texts(prompts)).rows,
        service.model,
    )
    return _ranking_response(request, service, embedding, service.adapted(compiled))


async def _classify_by_default_set(request: Request, picture: ImageInput) -> Any:
    service = service_of(request)
    try:
        compiled = (
            await service.label_service.compiled_set(LabelRequest(labelset=DEFAULT_SET))
        ).compiled
    except Problem as problem:
        if problem.status != 404:
            raise
        raise Problem(422, NO_LABELS, code="no_labels") from None
    return _ranking_response(request, service, await service.embed_pictures([picture]), compiled)


def _ranking_response(
    request: Request,
    service: Service,
    embedding: NDArray[np.float32],
    compiled: CompiledLabels,
) -> JSONResponse:
    """Every label of a picture (1, d), best first. A bias is the same for all: softmax drops it."""
    logits = score.logits(compiled.similarities(embedding), compiled.score)
    probabilities = score.softmax(logits)[0]
    log_fields(request, {"pictures": 1})
    order = np.argsort(-probabilities, kind="stable")
    return JSONResponse(
        [{"label": compiled.labels[i].name, "score": float(probabilities[i])} for i in order]
    )


async def _compare(request: Request, body: Sentences) -> Any:
    """The cosine of each sentence and the first one."""
    service = service_of(request)
    if not body.sentences:
        raise Problem(422, "sentences: give at least one.")
    texts = [body.source_sentence, *body.sentences]
    if any(map(is_image_text, texts)):
        raise Problem(422, NO_LABELS, code="no_labels")
    service.check_texts(texts, service.limits.texts)
    rows = (await service.encode_texts(texts)).rows
    log_fields(request, {"texts": len(texts)})
    return JSONResponse((rows[1:] @ rows[0]).tolist())


async def _embed(request: Request, body: HuggingFaceRequest) -> Any:
    service = service_of(request)
    texts = body.inputs if isinstance(body.inputs, list) else [body.inputs]
    if body.inputs is None or not texts:
        raise Problem(422, "inputs: give a picture with parameters.candidate_labels, or texts.")
    valid_texts = [text for text in texts if isinstance(text, str)]
    if any(map(is_image_text, valid_texts)):
        raise Problem(422, NO_LABELS, code="no_labels")
    dimensions = body.dimensions or service.model.dimension
    if dimensions > service.model.dimension:
        raise Problem(
            422, f"dimensions: {dimensions}; at most {service.model.dimension} for this model."
        )
    service.check_texts(valid_texts, service.limits.texts)
    rows = (await service.encode_texts(valid_texts)).rows
    log_fields(request, {"texts": len(valid_texts)})
    return JSONResponse(schemas.truncated(rows, dimensions).tolist())
