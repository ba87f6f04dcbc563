"""Our own API, below /v1."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse, Response

from unseen.errors import LabelError
from unseen.index.hits import Hit
from unseen.index.vectors.query import combine
from unseen.prediction.calibration import Calibration
from unseen.prediction.prediction import Prediction
from unseen.web.server.apis import schemas
from unseen.web.server.core.index_service import Indexed
from unseen.web.server.core.label_service import Ready
from unseen.web.server.core.label_sets import StoredSet
from unseen.web.server.core.problems import PROBLEM_TYPE, Problem, rfc9457
from unseen.web.server.core.service import Service
from unseen.web.server.http import request_parsing
from unseen.web.server.http.api import Api, failures, said, service

RESPONSES = failures("Problem", schemas.ProblemAnswer, PROBLEM_TYPE)

router = APIRouter(prefix="/v1", tags=["unseen"], responses=RESPONSES)
api = Api(
    router,
    rfc9457,
    paths=("/v1/",),
    working=("/v1/classify", "/v1/embed", "/v1/search", "/v1/similar"),
)

SetNamed = Annotated[str, Path(max_length=64, examples=["animals"])]
Version = Annotated[int | None, Query(ge=1, lt=2**31)]


def indexed(request: Request) -> Indexed:
    """The index; Problem 404 where none is attached."""
    found: Indexed | None = request.app.state.indexed
    if found is None:
        raise Problem(404, "no index is attached: `unseen serve --index FOLDER`.", code="no_index")
    return found


@router.post(
    "/classify",
    summary="Which labels fit each picture",
    response_model=schemas.ClassifyAnswer,
    response_model_exclude_unset=True,
    openapi_extra=request_parsing.described(schemas.ClassifyRequest, files=True),
)
async def classify(request: Request) -> Any:
    asked, uploads = await request_parsing.read(request, schemas.ClassifyRequest, files=True)
    labels, decision = asked.asked(asked.labelset), asked.decision()
    if asked.unknown is not None:
        reference_set = await service(request).reference_set()
        decision = replace(decision, reference_set=reference_set)
    if asked.image is not None and not uploads:
        prediction, ready = await service(request).classify_one(
            schemas.picture(asked.image, 0), labels, decision
        )
        predictions = [prediction]
    else:
        pictures = uploads or [schemas.picture(one, i) for i, one in enumerate(asked.images or ())]
        predictions, ready = await service(request).classify(pictures, labels, decision)
    said(request, pictures=len(predictions), failed=sum(not p.ok for p in predictions))
    used = ready.calibrated(decision).calibration
    return JSONResponse(answer_of(service(request), predictions, ready, used))


def made_by(service: Service) -> dict[str, str]:
    """What of an answer says whose it is: another model may have the same name."""
    return {"model": service.model.name, "fingerprint": service.model.fingerprint}


def answer_of(
    service: Service, predictions: list[Prediction], ready: Ready, used: Calibration | None
) -> dict[str, Any]:
    """The body of a classification."""
    stored = ready.stored
    return {
        **made_by(service),
        "labelset": stored and {"name": stored.name, "version": stored.version},
        **({} if used is None else {"calibration": _calibration(used)}),
        "predictions": [prediction.to_dict() for prediction in predictions],
        "warnings": list(ready.warnings),
    }


def _calibration(used: Calibration) -> dict[str, Any]:
    likely = used.likely
    return {"pictures": used.pictures, "coverage": None if likely is None else likely.coverage}


@router.post(
    "/embed",
    summary="The embeddings of pictures and texts",
    response_model=schemas.EmbedAnswer,
    response_model_exclude_unset=True,
    openapi_extra=request_parsing.described(schemas.EmbedRequest, files=True),
)
async def embed(request: Request) -> Any:
    asked, uploads = await request_parsing.read(request, schemas.EmbedRequest, files=True)
    one = service(request)
    pictures = uploads or [schemas.picture(image, i) for i, image in enumerate(asked.images)]
    one.check_texts(asked.texts, one.limits.texts)
    encoded = await one.encode_pictures(pictures)
    texts = await one.encode_texts(asked.texts)
    said(request, pictures=len(encoded), texts=len(asked.texts))
    images: list[dict[str, Any]] = [
        {"source": e.name, "error": str(e.error)}
        if e.embedding is None
        else {"source": e.name, "embedding": schemas.written(e.embedding, asked.encoding)}
        for e in encoded
    ]
    return JSONResponse(
        {
            **made_by(one),
            "dimension": one.model.dimension,
            "images": images,
            "texts": [{"embedding": schemas.written(row, asked.encoding)} for row in texts.rows],
            "warnings": list(texts.warnings),
        }
    )


# the index


@router.post(
    "/search",
    summary="Pictures of the index that are nearest to words and pictures",
    response_model=schemas.HitsAnswer,
    openapi_extra=request_parsing.described(schemas.SearchRequest),
)
async def search(request: Request) -> Any:
    asked, _ = await request_parsing.read(request, schemas.SearchRequest)
    index, one = indexed(request), service(request)
    _check_top(one, asked.top)
    texts = [*asked.texts, *asked.without]
    one.check_texts(texts, one.limits.texts)
    if not asked.texts and not asked.images:
        raise LabelError("nothing was asked for: give texts or images.")
    rows = (await one.encode_texts(texts)).rows
    pictures = [schemas.picture(image, i) for i, image in enumerate(asked.images)]
    positive = np.concatenate([rows[: len(asked.texts)], await one.embed_pictures(pictures)])
    query = combine(positive, rows[len(asked.texts) :])
    hits = await index.search(query, asked.top)
    return JSONResponse({**made_by(one), "hits": [hit_of(hit) for hit in hits]})


@router.post(
    "/similar",
    summary="Pictures of the index that are like one picture",
    response_model=schemas.HitsAnswer,
    openapi_extra=request_parsing.described(schemas.SimilarRequest),
)
async def similar(request: Request) -> Any:
    asked, _ = await request_parsing.read(request, schemas.SimilarRequest)
    index, one = indexed(request), service(request)
    _check_top(one, asked.top)
    if asked.id is not None:
        query = await index.vector(asked.id)
    else:
        (query,) = await one.embed_pictures([schemas.picture(asked.image or "", 0)])
    hits = await index.search(query, asked.top + (asked.id is not None))
    hits = [hit for hit in hits if hit.id != asked.id][: asked.top]
    return JSONResponse({**made_by(one), "hits": [hit_of(hit) for hit in hits]})


@router.get("/pictures", summary="The pictures of the index", response_model=schemas.PicturesAnswer)
async def pictures(
    request: Request,
    offset: Annotated[int, Query(ge=0, lt=2**31)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 60,
) -> Any:
    total, hits = await indexed(request).page(offset, limit)
    rows = [{k: v for k, v in hit_of(hit).items() if k != "cosine"} for hit in hits]
    return JSONResponse({"total": total, "pictures": rows})


@router.get(
    "/pictures/{picture}/thumbnail",
    summary="A small JPEG of a picture of the index",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}, "description": "At most 256 pixels."}},
)
async def thumbnail(request: Request, picture: Annotated[int, Path(ge=0, lt=2**63)]) -> Response:
    content = await indexed(request).thumbnail(picture)
    return Response(
        content, headers={"Cache-Control": "private, max-age=3600"}, media_type="image/jpeg"
    )


def hit_of(hit: Hit) -> dict[str, Any]:
    """A picture of the index; the first of its places is its path."""
    return {
        "id": hit.id,
        "path": hit.paths[0],
        "copies": list(hit.paths[1:]),
        "cosine": hit.cosine,
        "width": hit.width,
        "height": hit.height,
        "taken": hit.taken,
    }


def _check_top(service: Service, top: int) -> None:
    if top > service.limits.hits:
        raise Problem(413, f"top is {top:,}; at most {service.limits.hits:,} are given.")


# label sets


@router.get("/labelsets", summary="The label sets kept here", response_model=schemas.SetsAnswer)
async def list_labelsets(request: Request) -> Any:
    found = await service(request).labelling.list()
    fields = ("name", "version", "created", "labels", "status", "error")
    return JSONResponse({"labelsets": [{f: getattr(s, f) for f in fields} for s in found]})


@router.put(
    "/labelsets/{name}",
    summary="Keep labels under a name; other labels are a new version",
    response_model=schemas.SetAnswer,
    responses={201: {"model": schemas.SetAnswer, "description": "The name is new."}},
    openapi_extra=request_parsing.described(schemas.LabelsRequest),
)
async def put_labelset(request: Request, name: SetNamed) -> Any:
    asked, _ = await request_parsing.read(request, schemas.LabelsRequest)
    stored, new = await service(request).labelling.put(name, asked.asked())
    return JSONResponse(set_of(service(request), stored), 201 if new else 200)


@router.get("/labelsets/{name}", summary="A label set", response_model=schemas.SetAnswer)
async def get_labelset(request: Request, name: SetNamed, version: Version = None) -> Any:
    stored = await service(request).labelling.newest(name, version)
    return JSONResponse(set_of(service(request), stored))


@router.delete(
    "/labelsets/{name}", summary="Forget a label set, every version of it", status_code=204
)
async def delete_labelset(request: Request, name: SetNamed) -> Response:
    await service(request).labelling.delete(name)
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
    stored = await service(request).labelling.newest(name, version)
    ready = await service(request).labelling.compiled(stored)
    return Response(ready.compiled.to_bytes(), media_type="application/octet-stream")


def set_of(service: Service, stored: StoredSet) -> dict[str, Any]:
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
        **made_by(service),
    }
