"""A request body → a pydantic model and the uploaded pictures.

JSON or multipart/form-data, the same fields in both. In a form a list is a repeated field, or one
field of JSON; pictures are files in parts called image.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar, get_args, get_origin

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from unseen.web.json_body import MAX_VALUES, parse_json
from unseen.web.problems import Problem
from unseen.web.server.core.image_input import ImageInput
from unseen.web.server.http import form

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

IMAGE = "image"
MANY_BYTES = 64 * 1024  # of a body, from which it is read in a thread
REFERENCE = "#/components/schemas/{model}"

# Schemas that routes describe by hand, for the components of the OpenAPI document.
SCHEMAS: dict[str, Any] = {}


async def read(
    request: Request, model: type[M], *, files: bool = False
) -> tuple[M, list[ImageInput]]:
    """Reads and checks the body of a request.

    Parameters
    ----------
    request : fastapi.Request
        The request.
    model : type of pydantic.BaseModel
        The schema of the body.
    files : bool
        Whether the body may be a form with pictures.

    Returns
    -------
    tuple of model and list of ImageInput
        The body, and the uploaded pictures in order.

    Raises
    ------
    RequestValidationError
        Where the body does not fit the schema.
    Problem
        400 or 415 where it cannot be read.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/json":
        body = body_of(request)
        return await _read(body, lambda: (_valid(model, parse_json(body)), []))
    if files and media_type == "multipart/form-data":
        body, kind = body_of(request), request.headers["content-type"]
        return await _read(body, lambda: _form(kind, body, model))
    allowed = "application/json or multipart/form-data" if files else "application/json"
    raise Problem(415, f"unknown content type {media_type!r}; send {allowed}.")


def body_of(request: Request) -> bytearray:
    """The whole body, which the middleware has read already; no copy of it.

    Parameters
    ----------
    request : fastapi.Request
        The request.
    """
    body: bytearray = request.scope["unseen.body"]
    return body


async def _read(body: bytearray, read: Callable[[], T]) -> T:
    if len(body) <= MANY_BYTES:
        return read()
    return await asyncio.get_running_loop().run_in_executor(None, read)


def split_at_commas(text: str) -> list[str]:
    """The parts of a text. Problem 413 for too many."""
    if text.count(",") > MAX_VALUES:
        raise Problem(413, f"a list has more than {MAX_VALUES:,} values.", code="too_many")
    return text.split(",")


def _valid(model: type[M], data: Any) -> M:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_input=False)) from None


def _form(content_type: str, body: bytearray, model: type[M]) -> tuple[M, list[ImageInput]]:
    fields = form.read(content_type, body)
    pictures = [
        ImageInput(_name(name, index), content=content)
        for index, (name, content) in enumerate(fields.files)
    ]
    return _valid(model, _fields(fields.texts, model, bool(pictures))), pictures


def _name(name: str, index: int) -> str:
    """The file name that the client sent: shown to people, never opened."""
    name = name.replace("\\", "/").rpartition("/")[2]
    return name[:200] if name.isprintable() and name else f"image {index}"


def _fields(
    texts: Mapping[str, list[str]], model: type[BaseModel], uploads: bool
) -> dict[str, Any]:
    data: dict[str, Any] = {}
    known = _accepted(model)
    for key, values in texts.items():
        accepted = known.get(key)
        if accepted is None:
            continue
        is_list = list in accepted
        if len(values) == 1 and values[0][:1] in ("[", "{") and (is_list or dict in accepted):
            data[key] = _json_or_text(values[0], is_list)
        elif is_list and (len(values) > 1 or str not in accepted):
            data[key] = values
        else:
            data[key] = values[-1]
    if "labels" in data and data["labels"] == texts["labels"][:1]:  # once, and no JSON
        data["labels"] = split_at_commas(data["labels"][0])
    if uploads and "images" in model.model_fields:
        data["images"] = []
        data.pop(IMAGE, None)
    elif uploads and IMAGE in model.model_fields:
        data[IMAGE] = ""
    return data


def _json_or_text(text: str, is_list: bool) -> Any:
    try:
        return parse_json(text.encode())
    except Problem:
        return [text] if is_list else text


@cache
def _accepted(model: type[BaseModel]) -> dict[str, set[type]]:
    """Which of list, dict and str fit each field, by its name in a form."""
    return {
        field.alias or name: {
            kind for kind in (list, dict, str) if _accepts(field.annotation, kind)
        }
        for name, field in model.model_fields.items()
    }


def _accepts(annotation: Any, python_type: type) -> bool:
    """Whether a value of that type (list, dict or str) fits a field."""
    if annotation is python_type or get_origin(annotation) is python_type:
        return True
    nested = get_origin(annotation) not in (list, dict)
    return nested and any(_accepts(part, python_type) for part in get_args(annotation))


def component(model: type[BaseModel], name: str) -> dict[str, Any]:
    """A reference to the schema of a model, which is in the document under that name."""
    schema = model.model_json_schema(ref_template=REFERENCE)
    SCHEMAS.update(schema.pop("$defs", {}))
    SCHEMAS[name] = schema
    return {"$ref": REFERENCE.format(model=name)}


def request_body(
    model: type[BaseModel], *, files: bool = False, part: str = IMAGE
) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads its body with `read`.

    Parameters
    ----------
    model : type of pydantic.BaseModel
        The schema of the body.
    files : bool
        Whether the body may be a form with files.
    part : str
        What the parts of the form are called that hold them.
    """
    content: dict[str, Any] = {"application/json": {"schema": component(model, model.__name__)}}
    if files:
        fields = {
            field.alias or name: {"type": "array", "items": {"type": "string"}}
            if _accepts(field.annotation, list)
            else {"type": "string"}
            for name, field in model.model_fields.items()
            if name not in ("image", "images", part)
        }
        file = {"type": "array", "items": {"type": "string", "format": "binary"}}
        content["multipart/form-data"] = {
            "schema": {"type": "object", "properties": {part: file, **fields}, "required": [part]}
        }
    return {"requestBody": {"required": True, "content": content}}
