"""What every API of this server has: its routes, the body of its errors, its rules for requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel

from unseen.web.problems import ErrorBody
from unseen.web.server.core.service import Service
from unseen.web.server.http import request_parsing

ERROR_DESCRIPTIONS = {
    400: "An image, base64 or JSON that cannot be read.",
    401: "The key is missing or unknown.",
    403: "Sent by a page of another site.",
    404: "Not found.",
    409: "Not possible in the present state.",
    413: "Too large, or too many.",
    415: "A media type that is not supported.",
    421: "Unknown host name.",
    422: "A request that does not fit the schema.",
    500: "An error of the server.",
    503: "Busy, or still loading: see Retry-After.",
}


@dataclass(frozen=True)
class Api:
    """One API of the server: a row of `APIS` in `unseen.web.server.app`.

    Parameters
    ----------
    router : fastapi.APIRouter
        Its routes.
    error_body : callable
        Makes the JSON body of a `Problem`, as the clients of this API read it.
    paths : tuple of str
        The paths that are its own. One that ends in `/` (and is longer than that) stands for all
        paths that begin so.
    inference_paths : tuple of str
        Those whose POST runs a network; they are refused while the server is overloaded.
    streaming_paths : tuple of str
        Those whose answers go on for as long as their clients stay.
    key_in_body : bool
        Whether `api_key` in a JSON body is a key, too.
    """

    router: APIRouter
    error_body: ErrorBody
    paths: tuple[str, ...]
    inference_paths: tuple[str, ...]
    streaming_paths: tuple[str, ...] = ()
    key_in_body: bool = False

    def has(self, path: str) -> bool:
        """Whether a path belongs to this API.

        Parameters
        ----------
        path : str
            The path of a request.
        """
        return any(
            path == prefix or (len(prefix) > 1 and prefix.endswith("/") and path.startswith(prefix))
            for prefix in self.paths
        )


def error_responses(
    name: str, error: type[BaseModel], media_type: str
) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a router whose errors all have one body.

    Parameters
    ----------
    name : str
        The name of that body in the OpenAPI document.
    error : type of pydantic.BaseModel
        Its model.
    media_type : str
        What the error is sent as, such as `application/json`.

    Returns
    -------
    dict
        Status → description and schema, as FastAPI takes it.
    """
    reference = request_parsing.component(error, name)
    return {
        status: {"description": text, "content": {media_type: {"schema": reference}}}
        for status, text in ERROR_DESCRIPTIONS.items()
    }


def service_of(request: Request) -> Service:
    """The service that answers.

    Parameters
    ----------
    request : fastapi.Request
        Any request to the application.
    """
    service: Service = request.app.state.service
    return service


def log_fields(request: Request, fields: Mapping[str, Any]) -> None:
    """Adds fields to the line that the log gets for this request.

    Parameters
    ----------
    request : fastapi.Request
        The request.
    fields : mapping
        JSON values by name; never a picture, a text or a key.
    """
    request.scope.setdefault("unseen.log", {}).update(fields)
