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
from typing import Any
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
from unseen.web.server.apis import schemas
from unseen.web.server.core.label_service import Asked
from unseen.web.server.core.pictures import Picture
from unseen.web.server.core.problems import Problem
from unseen.web.server.core.service import Service
from unseen.web.server.http import request_parsing
from unseen.web.server.http.api import Api, failures, said, service

CONFIG_CHARS = 256 * 1024
PROJECTS = 1_000  # that are remembered
# A path without blanks, and with no way up in it, however that is written.
OWN_FILE = re.compile(r"(?!.*(\.|%2e){2})/[!-~]*", re.IGNORECASE)
# Of "<!", comments and CDATA are harmless. A DOCTYPE could define entities, and is never needed.
DECLARATION = re.compile(r"<!(?!--|\[CDATA\[)")
CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="choice" toName="image">'
    '<Choice value="red"/><Choice value="blue"/></Choices></View>'
)


class ErrorAnswer(schemas.Wire):
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

    tasks: list[Task]
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
    tags=["Label Studio"], responses=failures("LabelStudioError", ErrorAnswer, "application/json")
)
api = Api(
    router,
    lambda problem: {"error": problem.detail, "detail": problem.detail},
    paths=("/setup", "/predict", "/webhook"),
    working=("/predict",),
)


# the labelling configuration


@dataclass(frozen=True)
class Block:
    """One <Choices> of an <Image>: `written` is what stands in a result for each label."""

    name: str
    image: str
    key: str  # in a task's data
    several: bool
    written: dict[str, str | list[str]]


def blocks(config: str) -> list[Block]:
    """The choices of pictures in a labelling configuration. Problem 422 when there are none."""
    root = _parsed(config)
    images = {
        element.get("name", ""): element.get("value", "").removeprefix("$")
        for element in root.iter("Image")
    }
    found = []
    for element in root.iter("Choices"):
        image = element.get("toName", "")
        written = dict(_choices(element, element.get("allowNested", "").lower() == "true"))
        if image in images and written:
            several = element.get("choice", "single") == "multiple"
            found.append(Block(element.get("name", ""), image, images[image], several, written))
    if not found:
        raise Problem(
            422, "the labelling configuration has no <Choices> with labels for an <Image>."
        )
    return found


def _parsed(config: str) -> ElementTree.Element:
    if len(config) > CONFIG_CHARS:
        raise Problem(413, f"a labelling configuration has at most {CONFIG_CHARS:,} characters.")
    if DECLARATION.search(config):
        raise Problem(422, "the labelling configuration has a DOCTYPE, which is not read.")
    try:
        return ElementTree.fromstring(config)
    except (ElementTree.ParseError, ValueError) as error:  # ValueError: half a character
        raise Problem(422, f"the labelling configuration is no XML: {error}.") from None


def _choices(choices: ElementTree.Element, nested: bool) -> Iterator[tuple[str, str | list[str]]]:
    """(label, what stands for it in a result) of each innermost <Choice>: its alias, if any."""
    waiting: list[tuple[ElementTree.Element, tuple[str, ...]]]
    waiting = [(choice, ()) for choice in reversed(choices)]
    while waiting:
        element, above = waiting.pop()
        own = above
        if element.tag == "Choice":
            own = (*above, element.get("alias") or element.get("value") or "")
        inner = [child for child in element if child.tag in ("Choice", "View")]
        waiting += [(child, own) for child in reversed(inner)]
        label = " ".join(element.get("value", "").split())
        if element.tag == "Choice" and label and element.find(".//Choice") is None:
            yield label, list(own) if nested else own[-1]


# where pictures are


@dataclass(frozen=True)
class Project:
    """What /setup said."""

    label_config: str | None = None
    hostname: str | None = None
    token: str | None = field(default=None, repr=False)


def _projects(request: Request) -> OrderedDict[tuple[Any, str], Project]:
    """Of the application; of each key by itself, so that no one uses the token of another."""
    state = request.app.state
    if not hasattr(state, "label_studio"):
        state.label_studio = OrderedDict()
    found: OrderedDict[tuple[Any, str], Project] = state.label_studio
    return found


def _project_of(request: Request, project: str | int | None) -> tuple[Any, str]:
    return request.scope.get("unseen.key"), str(project)


def _picture(given: Any, name: str, project: Project, service: Service) -> Picture:
    """A task's picture. Raises SourceError."""
    if not isinstance(given, str) or not given:
        raise SourceError(f"{name}: the task has no picture under that name.")
    if not given.startswith("/"):
        return Picture(name, text=given)
    host = urlsplit(project.hostname or "")
    # A Label Studio below a path writes that path into its own links, or leaves it out.
    below = host.path.rstrip("/")
    path = given if below and given.startswith(f"{below}/") else below + given
    if not path.startswith(f"{below}/data/") or OWN_FILE.fullmatch(path) is None:
        raise SourceError(f"{name}: this is no file of Label Studio's.")
    if not (project.hostname and project.token):
        raise SourceError(
            f"{name}: Label Studio has not said where it is: connect the backend again, so that it "
            "calls /setup."
        )
    if not _is_allowed(host, service):
        raise SourceError(
            f"{name}: pictures are not fetched from {host.netloc[:100]} "
            f"(`unseen serve --url-host {host.netloc[:100]}` allows it)."
        )
    headers = {"Authorization": f"Token {project.token}"}
    return Picture(name, text=f"{host.scheme}://{host.netloc}{path}", headers=headers)


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
    openapi_extra=request_parsing.described(SetupRequest),
)
async def setup(request: Request) -> Any:
    asked, _ = await request_parsing.read(request, SetupRequest)
    if asked.label_config:
        blocks(asked.label_config)  # what is wrong with it is said while someone looks
    known = _projects(request)
    key = _project_of(request, asked.project)
    known[key] = Project(asked.label_config, asked.hostname, asked.access_token)
    known.move_to_end(key)
    while len(known) > PROJECTS:
        known.popitem(last=False)
    return JSONResponse({"model_version": _version(service(request))})


@router.post(
    "/predict",
    summary="Pre-labels for tasks",
    response_model=PredictAnswer,
    response_model_exclude_unset=True,
    openapi_extra=request_parsing.described(PredictRequest),
)
async def predict(request: Request) -> Any:
    asked, _ = await request_parsing.read(request, PredictRequest)
    one = service(request)
    project = _projects(request).get(_project_of(request, asked.project), Project())
    config = asked.label_config or project.label_config
    if not config:
        raise Problem(422, "label_config: the labelling configuration is missing.")
    if len(asked.tasks) > one.limits.texts:
        raise Problem(413, f"{len(asked.tasks):,} tasks; at most {one.limits.texts:,} are taken.")
    found = blocks(config)
    encoded = await _encoded(one, asked.tasks, found, project)
    answers = []
    for block in found:
        ready = await one.labelling.of(Asked([*block.written]))
        decision = Decision(multi_label=block.several, top_k=None if block.several else 1)
        rows = encoded[block.key]
        answers.append(predict_encoded(rows, ready.compiled, decision))
    results = [_result(one, found, row) for row in zip(*answers, strict=True)]
    said(request, pictures=len(results), failed=sum("error" in result for result in results))
    return JSONResponse({"results": results})


@router.post(
    "/webhook", summary="Taken note of, and nothing is done", response_model=dict[str, str]
)
async def webhook(request: Request) -> Any:
    return JSONResponse({"status": "ok"})


async def _encoded(
    one: Service, tasks: Sequence[Task], found: Sequence[Block], project: Project
) -> dict[str, list[Encoded]]:
    """Key of the tasks' data → the pictures there, each encoded once, an error where it is none."""
    encoded = {}
    for key in dict.fromkeys(block.key for block in found):
        rows: list[Encoded | None] = []
        pictures = []
        for task in tasks:
            try:
                pictures.append(_picture(task.data.get(key), key, project, one))
                rows.append(None)
            except SourceError as error:
                rows.append(Encoded(key, None, error))
        done: list[Encoded] = []
        for start in range(0, len(pictures), one.limits.images):
            done += await one.encode_pictures(pictures[start : start + one.limits.images])
        good = iter(done)
        encoded[key] = [next(good) if row is None else row for row in rows]
    return encoded


def _result(one: Service, found: Sequence[Block], row: Sequence[Prediction]) -> dict[str, Any]:
    """One task's: its score is the mean of its parts'."""
    regions: list[dict[str, Any]] = []
    for block, prediction in zip(found, row, strict=True):
        if prediction.ranking:
            chosen = [block.written[scored.label] for scored in prediction.ranking]
            regions.append(
                {
                    "from_name": block.name,
                    "to_name": block.image,
                    "type": "choices",
                    "value": {"choices": chosen},
                    "score": fmean(scored.score for scored in prediction.ranking),
                }
            )
    mean = fmean(region["score"] for region in regions) if regions else 0.0
    errors = list(dict.fromkeys(p.error for p in row if p.error is not None))
    result: dict[str, Any] = {"model_version": _version(one), "score": mean, "result": regions}
    return {**result, "error": " ".join(errors)} if errors else result


def _version(one: Service) -> str:
    return f"{one.model.name}@{one.model.fingerprint[:8]}"
