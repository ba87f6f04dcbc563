"""Our own API, below /v1."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse, Response

from unseen.encoder import Encoded
from unseen.errors import LabelError
from unseen.index.hits import Hit
from unseen.index.vectors.query import combine
from unseen.prediction.calibration import Calibration
from unseen.prediction.facets import FacetPrediction, check_names
from unseen.prediction.open_set import ReferenceSet, nearest_concepts
from unseen.prediction.predict import undecided
from unseen.prediction.prediction import Prediction
from unseen.system.printable import escaped
from unseen.web.explaining import body as body_of
from unseen.web.problems import PROBLEM_TYPE, Problem, rfc9457
from unseen.web.server.apis import schemas
from unseen.web.server.core.image_input import ImageInput
from unseen.web.server.core.index_service import LARGE_SIDE, SIDE, IndexService
from unseen.web.server.core.label_service import CompiledSet
from unseen.web.server.core.label_sets import StoredSet
from unseen.web.server.core.service import Service
from unseen.web.server.http import request_parsing
from unseen.web.server.http.api import Api, error_responses, log_fields, service_of

RESPONSES = error_responses("Problem", schemas.ProblemAnswer, PROBLEM_TYPE)

router = APIRouter(prefix="/v1", tags=["unseen"], responses=RESPONSES)
api = Api(
    router,
    rfc9457,
    paths=("/v1/",),
    inference_paths=(
        "/v1/classify",
        "/v1/embed",
        "/v1/explain",
        "/v1/preview",
        "/v1/search",
        "/v1/similar",
    ),
)
RESEMBLING = 3  # everyday words beside the evidence

SetNamed = Annotated[str, Path(max_length=64, examples=["animals"])]
Version = Annotated[int | None, Query(ge=1, lt=2**31)]


def index_of(request: Request) -> IndexService:
    """The index; Problem 404 where none is attached."""
    index: IndexService | None = request.app.state.index_service
    if index is None:
        raise Problem(
            404,
            "this server has no index; `unseen serve --index FOLDER` gives it one.",
            code="no_index",
        )
    return index


@router.post(
    "/classify",
    summary="Which labels fit each picture",
    response_model=schemas.ClassifyAnswer,
    response_model_exclude_unset=True,
    openapi_extra=request_parsing.request_body(schemas.ClassifyRequest, files=True),
)
async def classify(request: Request) -> Any:
    body, uploads = await request_parsing.read(request, schemas.ClassifyRequest, files=True)
    one = body.image is not None and not uploads
    images = [body.image] if body.image is not None else body.images or []
    pictures = uploads or [schemas.image_input(image, i) for i, image in enumerate(images)]
    reference_set = None
    if body.unknown is not None:
        reference_set = await service_of(request).reference_set()
    if body.facets is not None:
        return await _classify_facets(request, body, pictures, reference_set, one=one)
    labels, decision = body.label_request(body.labelset), body.decision()
    decision = replace(decision, reference_set=reference_set)
    encoded, predictions, compiled_set = await service_of(request).classify_encoded(
        pictures, labels, decision
    )
    _check_and_log(request, predictions, one=one)
    calibration = compiled_set.calibrated(decision).calibration
    note = undecided(compiled_set.compiled, decision)
    if note is not None:
        compiled_set = replace(compiled_set, warnings=(*compiled_set.warnings, note))
    answer = classify_answer(service_of(request), predictions, compiled_set, calibration)
    if decision.reference_set is not None:
        add_resembling(answer["predictions"], encoded, compiled_set, decision.reference_set)
    return JSONResponse(answer)


async def _classify_facets(
    request: Request,
    body: schemas.ClassifyRequest,
    pictures: list[ImageInput],
    reference_set: ReferenceSet | None,
    *,
    one: bool,
) -> Any:
    """The answer to a request with several label sets."""
    service = service_of(request)
    check_names([*(body.facets or {})])
    requests = {
        name: (labels, replace(decision, reference_set=reference_set))
        for name, (labels, decision) in body.facet_requests().items()
    }
    predictions, sets, facets = await service.classify_facets(pictures, requests)
    _check_and_log(request, predictions, one=one)
    facts: dict[str, Any] = {}
    warnings: list[str] = []
    for name, facet in facets.items():
        stored, calibration = sets[name].stored, facet.decision.calibration
        note = undecided(facet.labels, facet.decision)
        warnings += [
            f"{name}: {text}" for text in (*sets[name].warnings, *([note] if note else []))
        ]
        facts[name] = {"labelset": stored and {"name": stored.name, "version": stored.version}}
        if calibration is not None:
            facts[name]["calibration"] = _calibration_dict(calibration)
    return JSONResponse(
        {
            **model_fields(service),
            "labelset": None,
            "facets": facts,
            "predictions": [prediction.to_dict() for prediction in predictions],
            "warnings": warnings,
        }
    )


def _check_and_log(
    request: Request, predictions: Sequence[Prediction | FacetPrediction], *, one: bool
) -> None:
    """Problem 400 for the error of a picture that was sent alone."""
    if one and predictions[0].error is not None:
        raise Problem(400, predictions[0].error, code="bad_image")
    failed = sum(not prediction.ok for prediction in predictions)
    log_fields(request, {"pictures": len(predictions), "failed": failed})


def model_fields(service: Service) -> dict[str, str]:
    """The fields that identify the model: another one may have the same name."""
    return {"model": service.model.name, "fingerprint": service.model.fingerprint}


def classify_answer(
    service: Service,
    predictions: list[Prediction],
    compiled_set: CompiledSet,
    calibration: Calibration | None,
) -> dict[str, Any]:
    """The body of a classification."""
    stored = compiled_set.stored
    return {
        **model_fields(service),
        "labelset": stored and {"name": stored.name, "version": stored.version},
        **({} if calibration is None else {"calibration": _calibration_dict(calibration)}),
        "predictions": [prediction.to_dict() for prediction in predictions],
        "warnings": list(compiled_set.warnings),
    }


def add_resembling(
    rows: list[dict[str, Any]],
    encoded: list[Encoded],
    compiled_set: CompiledSet,
    reference_set: ReferenceSet,
) -> None:
    """Adds to each prediction the everyday words that its picture resembles most."""
    labels = [label.name for label in compiled_set.compiled.labels]
    for row, picture in zip(rows, encoded, strict=True):
        if picture.embedding is not None:
            (words,) = nearest_concepts(
                picture.embedding[None], reference_set, top=RESEMBLING, without=labels
            )
            row["resembles"] = [{"label": word, "cosine": cosine} for word, cosine in words]


def _calibration_dict(calibration: Calibration) -> dict[str, Any]:
    likely, selective = calibration.likely, calibration.selective
    return {
        "pictures": calibration.pictures,
        "coverage": None if likely is None else likely.coverage,
        **({} if selective is None else {"max_wrong": selective.max_wrong}),
    }


@router.post(
    "/embed",
    summary="The embeddings of pictures and texts",
    response_model=schemas.EmbedAnswer,
    response_model_exclude_unset=True,
    openapi_extra=request_parsing.request_body(schemas.EmbedRequest, files=True),
)
async def embed(request: Request) -> Any:
    body, uploads = await request_parsing.read(request, schemas.EmbedRequest, files=True)
    service = service_of(request)
    pictures = uploads or [schemas.image_input(image, i) for i, image in enumerate(body.images)]
    service.check_texts(body.texts, service.limits.texts)
    encoded = await service.encode_pictures(pictures)
    texts = await service.encode_texts(body.texts)
    log_fields(request, {"pictures": len(encoded), "texts": len(body.texts)})
    images: list[dict[str, Any]] = [
        {"source": e.name, "error": str(e.error)}
        if e.embedding is None
        else {"source": e.name, "embedding": schemas.encode_embedding(e.embedding, body.encoding)}
        for e in encoded
    ]
    return JSONResponse(
        {
            **model_fields(service),
            "dimension": service.model.dimension,
            "images": images,
            "texts": [
                {"embedding": schemas.encode_embedding(row, body.encoding)} for row in texts.rows
            ],
            "warnings": list(texts.warnings),
        }
    )


@router.post(
    "/explain",
    summary="Why a picture has a label: its map, and how far to believe it",
    response_model=schemas.ExplainAnswer,
    openapi_extra=request_parsing.request_body(schemas.ExplainRequest, files=True),
)
async def explain(request: Request) -> Any:
    body, uploads = await request_parsing.read(request, schemas.ExplainRequest, files=True)
    if len(uploads) > 1:
        raise Problem(413, f"{len(uploads)} pictures; one is explained in a call.", code="too_many")
    picture = uploads[0] if uploads else schemas.image_input(body.image, 0)
    service = service_of(request)
    labels = body.label_request(body.labelset)
    explained, compiled_set = await service.explain(picture, labels, body.options())
    log_fields(request, {"pictures": 1, "explained_by": explained.explanation.method})
    answer = await asyncio.to_thread(
        body_of, explained, compiled_set.compiled, picture_map=body.map
    )
    stored = compiled_set.stored
    return JSONResponse(
        {
            **model_fields(service),
            "labelset": stored and {"name": stored.name, "version": stored.version},
            **answer,
            "warnings": [*compiled_set.warnings, *explained.warnings],
        }
    )


@router.post(
    "/preview",
    summary="A picture, or what is at its URL, as a JPEG of at most 1,024 pixels",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}, "description": "The picture, upright."}},
    openapi_extra=request_parsing.request_body(schemas.PreviewRequest),
)
async def preview(request: Request) -> Response:
    body, _ = await request_parsing.read(request, schemas.PreviewRequest)
    picture = schemas.image_input(body.image, 0)
    if picture.embedding is not None:
        raise Problem(422, "an embedding has no preview; send the picture or its URL.")
    content = await service_of(request).small_jpeg(picture, LARGE_SIDE)
    return Response(content, media_type="image/jpeg")


# the index


@router.post(
    "/search",
    summary="Pictures of the index that are nearest to words and pictures",
    response_model=schemas.HitsAnswer,
    openapi_extra=request_parsing.request_body(schemas.SearchRequest),
)
async def search(request: Request) -> Any:
    body, _ = await request_parsing.read(request, schemas.SearchRequest)
    index, service = index_of(request), service_of(request)
    _check_top(service, body.top)
    texts = [*body.texts, *body.without]
    service.check_texts(texts, service.limits.texts)
    if not body.texts and not body.images:
        raise LabelError("nothing was asked for: give texts or images.")
    rows = (await service.encode_texts(texts)).rows
    pictures = [schemas.image_input(image, i) for i, image in enumerate(body.images)]
    positive = np.concatenate([rows[: len(body.texts)], await service.embed_pictures(pictures)])
    query = combine(positive, rows[len(body.texts) :])
    hits = await index.search(query, body.top)
    return JSONResponse({**model_fields(service), "hits": [hit_dict(hit) for hit in hits]})


@router.post(
    "/similar",
    summary="Pictures of the index that are like one picture",
    response_model=schemas.HitsAnswer,
    openapi_extra=request_parsing.request_body(schemas.SimilarRequest),
)
async def similar(request: Request) -> Any:
    body, _ = await request_parsing.read(request, schemas.SimilarRequest)
    index, service = index_of(request), service_of(request)
    _check_top(service, body.top)
    if body.id is not None:
        query = await index.vector(body.id)
    else:
        (query,) = await service.embed_pictures([schemas.image_input(body.image or "", 0)])
    hits = await index.search(query, body.top + (body.id is not None))
    hits = [hit for hit in hits if hit.id != body.id][: body.top]
    return JSONResponse({**model_fields(service), "hits": [hit_dict(hit) for hit in hits]})


@router.get("/pictures", summary="The pictures of the index", response_model=schemas.PicturesAnswer)
async def pictures(
    request: Request,
    offset: Annotated[int, Query(ge=0, lt=2**31)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 60,
) -> Any:
    total, hits = await index_of(request).page(offset, limit)
    rows = [{k: v for k, v in hit_dict(hit).items() if k != "cosine"} for hit in hits]
    return JSONResponse({"total": total, "pictures": rows})


@router.get(
    "/pictures/{picture}/thumbnail",
    summary="A small JPEG of a picture of the index",
    response_class=Response,
    responses={
        200: {"content": {"image/jpeg": {}}, "description": "At most 256 pixels, or 1,024."}
    },
)
async def thumbnail(
    request: Request, picture: Annotated[int, Path(ge=0, lt=2**63)], large: bool = False
) -> Response:
    content = await index_of(request).thumbnail(picture, LARGE_SIDE if large else SIDE)
    return Response(
        content, headers={"Cache-Control": "private, max-age=3600"}, media_type="image/jpeg"
    )


def hit_dict(hit: Hit) -> dict[str, Any]:
    """A picture of the index; the first of its paths is `path`."""
    return {
        "id": hit.id,
        "path": escaped(hit.paths[0]),
        "copies": [*map(escaped, hit.paths[1:])],
        "cosine": hit.cosine,
        "width": hit.width,
        "height": hit.height,
        "taken": hit.taken,
    }


def _check_top(service: Service, top: int) -> None:
    if top > service.limits.hits:
        raise Problem(413, f"top is {top:,}; at most {service.limits.hits:,} are allowed.")


# label sets


@router.get("/labelsets", summary="The label sets stored here", response_model=schemas.SetsAnswer)
async def list_labelsets(request: Request) -> Any:
    sets = await service_of(request).label_service.list()
    fields = ("name", "version", "created", "labels", "status", "error")
    return JSONResponse({"labelsets": [{f: getattr(s, f) for f in fields} for s in sets]})


@router.put(
    "/labelsets/{name}",
    summary="Store labels under a name; other labels are a new version",
    response_model=schemas.SetAnswer,
    responses={201: {"model": schemas.SetAnswer, "description": "The name is new."}},
    openapi_extra=request_parsing.request_body(schemas.LabelsRequest),
)
async def put_labelset(request: Request, name: SetNamed) -> Any:
    body, _ = await request_parsing.read(request, schemas.LabelsRequest)
    stored, new = await service_of(request).label_service.put(name, body.label_request())
    return JSONResponse(label_set_dict(service_of(request), stored), 201 if new else 200)


@router.get("/labelsets/{name}", summary="A label set", response_model=schemas.SetAnswer)
async def get_labelset(request: Request, name: SetNamed, version: Version = None) -> Any:
    stored = await service_of(request).label_service.newest(name, version)
    return JSONResponse(label_set_dict(service_of(request), stored))


@router.delete(
    "/labelsets/{name}", summary="Delete a label set, every version of it", status_code=204
)
async def delete_labelset(request: Request, name: SetNamed) -> Response:
    await service_of(request).label_service.delete(name)
    return Response(status_code=204)


@router.get(
    "/labelsets/{name}/compiled",
    summary="A label set as the file that `unseen classify --labels` takes",
    response_class=Response,
    responses={
        200: {
            "content": {"application/octet-stream": {"schema": {"type": "string"}}},
            "description": "safetensors",
        }
    },
)
async def compiled_labelset(request: Request, name: SetNamed, version: Version = None) -> Response:
    stored = await service_of(request).label_service.newest(name, version)
    compiled_set = await service_of(request).label_service.compiled(stored)
    return Response(compiled_set.compiled.to_bytes(), media_type="application/octet-stream")


def label_set_dict(service: Service, stored: StoredSet) -> dict[str, Any]:
    """A label set, in full."""
    definition = stored.definition
    return {
        "name": stored.name,
        "version": stored.version,
        "created": stored.created,
        "status": stored.status,
        "error": stored.error,
        "labels": definition["labels"],
        "templates": definition["templates"],
        **({"concept": definition["concept"]} if "concept" in definition else {}),
        **model_fields(service),
    }
