"""A machine learning backend of Label Studio: pre-labels from the labels of a project's own XML.

Every <Choices> of an <Image> is answered. A picture that cannot be read gives an empty result with
its error, and the others go on.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit
from xml.etree import ElementTree

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field

from unseen.encoder import Encoded
from unseen.errors import SourceError
from unseen.prediction.decision import Decision
from unseen.prediction.predict import predict_encoded
from unseen.prediction.prediction import Prediction
from unseen.sources import http
from unseen.sources.address_policy import PublicHosts
from unseen.web.problems import Problem
from unseen.web.server.apis import schemas
from unseen.web.server.core.encoding import at_most
from unseen.web.server.core.image_input import ImageInput
from unseen.web.server.core.label_service import LabelRequest
from unseen.web.server.core.service import Service
from unseen.web.server.http import request_parsing
from unseen.web.server.http.api import Api, error_responses, log_fields, service_of

CONFIG_CHARS = 256 * 1024
MAX_PROJECTS = 1_000
MAX_TAGS = 64  # of pictures, in a configuration
# A path without blanks, and without a step up, however that is encoded.
LOCAL_PATH = re.compile(r"(?!.*(\.|%2e){2})/[!-~]*", re.IGNORECASE)
# Of "<!", comments and CDATA are harmless. A DOCTYPE could define entities, and is never needed.
DECLARATION = re.compile(r"<!(?!--|\[CDATA\[)")
CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="choice" toName="image">'
    '<Choice value="red"/><Choice value="blue"/></Choices></View>'
)


class LabelStudioError(schemas.Wire):
    """Label Studio shows it as text."""

    error: str
    detail: str


class SetupRequest(schemas.Wire):
    """What Label Studio says of a project when the backend is connected."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"project": "1.1712", "schema": CONFIG}]}
    )

    project: str | int | None = None
    label_config: str | None = Field(default=None, alias="schema")
    hostname: str | None = None
    access_token: str | None = Field(default=None, repr=False)


class SetupAnswer(schemas.Wire):
    model_version: str


class VersionsAnswer(schemas.Wire):
    versions: list[str]


class Task(schemas.Wire):
    data: dict[str, Any] = Field(default={})


class PredictRequest(schemas.Wire):
    """Tasks, and the labelling configuration."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "tasks": [{"id": 1, "data": {"image": f"data:image/png;base64,{schemas.PNG}"}}],
                    "label_config": CONFIG,
                    "project": "1.1712",
                }
            ]
        }
    )

    tasks: Annotated[list[Task], schemas.BOUNDED]
    label_config: str | None = None
    project: str | int | None = None


class ChoicesOf(schemas.Wire):
    choices: list[str | list[str]]


class Region(schemas.Wire):
    from_name: str
    to_name: str
    type: str
    value: ChoicesOf
    score: float


class Result(schemas.Wire):
    model_version: str
    score: float
    result: list[Region]
    error: str | None = None


class PredictAnswer(schemas.Wire):
    """A result for each task, in order."""

    results: list[Result]


router = APIRouter(
    tags=["Label Studio"],
    responses=error_responses("LabelStudioError", LabelStudioError, "application/json"),
)
api = Api(
    router,
    lambda problem: {"error": problem.detail, "detail": problem.detail},
    paths=("/setup", "/predict", "/webhook", "/versions"),
    inference_paths=("/predict",),
)


# the labelling configuration


@dataclass(frozen=True)
class ChoicesTag:
    """One <Choices> of an <Image>. `written`: what a result has for each label."""

    name: str
    image: str
    key: str  # in a task's data
    several: bool
    written: dict[str, str | list[str]]


def choices_tags(config: str) -> list[ChoicesTag]:
    """The choices of pictures in a labelling configuration. Problem 422 when there are none."""
    root = _parsed(config)
    images = {
        element.get("name", ""): element.get("value", "").removeprefix("$")
        for element in root.iter("Image")
    }
    tags = []
    for element in root.iter("Choices"):
        image = element.get("toName", "")
        written = dict(_choices(element, element.get("allowNested", "").lower() == "true"))
        if image in images and written:
            several = element.get("choice", "single") == "multiple"
            tags.append(ChoicesTag(element.get("name", ""), image, images[image], several, written))
    if not tags:
        raise Problem(
            422, "the labelling configuration has no <Choices> with labels for an <Image>."
        )
    at_most(len(tags), MAX_TAGS, "<Choices> in a labelling configuration")
    return tags


def _parsed(config: str) -> ElementTree.Element:
    if len(config) > CONFIG_CHARS:
        raise Problem(413, f"a labelling configuration has at most {CONFIG_CHARS:,} characters.")
    if DECLARATION.search(config):
        raise Problem(422, "the labelling configuration has a DOCTYPE, which is not allowed.")
    try:
        return ElementTree.fromstring(config)
    except (ElementTree.ParseError, ValueError) as error:  # ValueError: half a character
        raise Problem(422, f"the labelling configuration is not XML: {error}.") from None


def _choices(choices: ElementTree.Element, nested: bool) -> Iterator[tuple[str, str | list[str]]]:
    """(label, what stands for it in a result) of each innermost <Choice>: its alias, if any."""
    waiting: list[tuple[ElementTree.Element, tuple[str, ...]]]
    waiting = [(choice, ()) for choice in reversed(choices)]
    while waiting:
        element, above = waiting.pop()
        path_here = above
        if element.tag == "Choice":
            path_here = (*above, element.get("alias") or element.get("value") or "")
        inner = [child for child in element if child.tag in ("Choice", "View")]
        waiting += [(child, path_here) for child in reversed(inner)]
        label = " ".join(element.get("value", "").split())
        if element.tag == "Choice" and label and element.find(".//Choice") is None:
            yield label, list(path_here) if nested else path_here[-1]


# where pictures are


@dataclass(frozen=True)
class Project:
    """What /setup sent."""

    label_config: str | None = None
    hostname: str | None = None
    token: str | None = field(default=None, repr=False)


def _projects(request: Request) -> OrderedDict[tuple[Any, str], Project]:
    """The projects by API key and id, so that no client uses the token of another."""
    state = request.app.state
    if not hasattr(state, "label_studio"):
        state.label_studio = OrderedDict()
    projects: OrderedDict[tuple[Any, str], Project] = state.label_studio
    return projects


def _project_of(request: Request, project: str | int | None) -> tuple[Any, str]:
    return request.scope.get("unseen.key"), str(project)


def _picture(value: Any, name: str, project: Project, service: Service) -> ImageInput:
    """A task's picture. Raises SourceError."""
    if not isinstance(value, str) or not value:
        raise SourceError(f"{name}: the task has no picture under this key.")
    if not value.startswith("/"):
        return ImageInput(name, text=value)
    host = urlsplit(project.hostname or "")
    # A Label Studio below a path writes that path into its own links, or leaves it out.
    below = host.path.rstrip("/")
    path = value if below and value.startswith(f"{below}/") else below + value
    if not path.startswith(f"{below}/data/") or LOCAL_PATH.fullmatch(path) is None:
        raise SourceError(f"{name}: not a file of Label Studio.")
    if not (project.hostname and project.token):
        raise SourceError(
            f"{name}: the address of Label Studio is unknown; connect the backend again, so "
            "that it calls /setup."
        )
    if not _is_allowed(host, service):
        raise SourceError(
            f"{name}: pictures are not fetched from {host.netloc[:100]} "
            f"(`unseen serve --url-host {host.netloc[:100]}` allows it)."
        )
    headers = {"Authorization": f"Token {project.token}"}
    return ImageInput(name, text=f"{host.scheme}://{host.netloc}{path}", headers=headers)


def _is_allowed(host: SplitResult, service: Service) -> bool:
    try:
        port = host.port or http.PORTS.get(host.scheme, 0)
        return PublicHosts(service.settings.url_hosts).allows(host.hostname or "", port)
    except ValueError:  # a port that is no number
        return False


# routes


@router.post(
    "/setup",
    summary="Label Studio connects a project",
    response_model=SetupAnswer,
    openapi_extra=request_parsing.request_body(SetupRequest),
)
async def setup(request: Request) -> Any:
    body, _ = await request_parsing.read(request, SetupRequest)
    if body.label_config:
        choices_tags(body.label_config)  # an error is shown while someone connects the project
    projects = _projects(request)
    key = _project_of(request, body.project)
    projects[key] = Project(body.label_config, body.hostname, body.access_token)
    projects.move_to_end(key)
    while len(projects) > MAX_PROJECTS:
        projects.popitem(last=False)
    return JSONResponse({"model_version": _version(service_of(request))})


@router.post(
    "/predict",
    summary="Pre-labels for tasks",
    response_model=PredictAnswer,
    response_model_exclude_unset=True,
    openapi_extra=request_parsing.request_body(PredictRequest),
)
async def predict(request: Request) -> Any:
    body, _ = await request_parsing.read(request, PredictRequest)
    service = service_of(request)
    project = _projects(request).get(_project_of(request, body.project), Project())
    config = body.label_config or project.label_config
    if not config:
        raise Problem(422, "label_config: the labelling configuration is missing.")
    if len(body.tasks) > service.limits.texts:
        raise Problem(
            413, f"{len(body.tasks):,} tasks; at most {service.limits.texts:,} are allowed."
        )
    tags = choices_tags(config)
    rows = len(body.tasks) * sum(len(tag.written) for tag in tags)
    at_most(rows, service.limits.answers, "answers (tasks times choices)")
    encoded = await _encoded(service, body.tasks, tags, project)
    answers = []
    for tag in tags:
        compiled_set = await service.label_service.compiled_set(LabelRequest([*tag.written]))
        decision = Decision(multi_label=tag.several, top_k=None if tag.several else 1)
        answers.append(predict_encoded(encoded[tag.key], compiled_set.compiled, decision))
    results = [_result(service, tags, row) for row in zip(*answers, strict=True)]
    failed = sum("error" in result for result in results)
    log_fields(request, {"pictures": len(results), "failed": failed})
    return JSONResponse({"results": results})


@router.post("/webhook", summary="Accepted and ignored", response_model=dict[str, str])
async def webhook(request: Request) -> Any:
    return JSONResponse({"status": "ok"})


@router.get("/versions", summary="The model's version", response_model=VersionsAnswer)
async def versions(request: Request) -> Any:
    return JSONResponse({"versions": [_version(service_of(request))]})


async def _encoded(
    service: Service, tasks: Sequence[Task], tags: Sequence[ChoicesTag], project: Project
) -> dict[str, list[Encoded]]:
    """Key of the tasks' data → the pictures there, each encoded once, an error where it is none."""
    encoded = {}
    for key in dict.fromkeys(tag.key for tag in tags):
        rows: list[Encoded | None] = []
        pictures = []
        for task in tasks:
            try:
                pictures.append(_picture(task.data.get(key), key, project, service))
                rows.append(None)
            except SourceError as error:
                rows.append(Encoded(key, None, error))
        outcomes: list[Encoded] = []
        for start in range(0, len(pictures), service.limits.images):
            outcomes += await service.encode_pictures(
                pictures[start : start + service.limits.images]
            )
        remaining = iter(outcomes)
        encoded[key] = [next(remaining) if row is None else row for row in rows]
    return encoded


def _result(
    service: Service, tags: Sequence[ChoicesTag], row: Sequence[Prediction]
) -> dict[str, Any]:
    """One task's: its score is the mean of its parts'."""
    regions: list[dict[str, Any]] = []
    for tag, prediction in zip(tags, row, strict=True):
        if prediction.ranking:
            chosen = [tag.written[scored.label] for scored in prediction.ranking]
            regions.append(
                {
                    "from_name": tag.name,
                    "to_name": tag.image,
                    "type": "choices",
                    "value": {"choices": chosen},
                    "score": fmean(scored.score for scored in prediction.ranking),
                }
            )
    mean = fmean(region["score"] for region in regions) if regions else 0.0
    errors = list(dict.fromkeys(p.error for p in row if p.error is not None))
    result: dict[str, Any] = {"model_version": _version(service), "score": mean, "result": regions}
    return {**result, "error": " ".join(errors)} if errors else result


def _version(service: Service) -> str:
    return f"{service.model.name}@{service.model.fingerprint[:8]}"
