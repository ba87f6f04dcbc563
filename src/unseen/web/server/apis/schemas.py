"""The JSON types of our own API. Unknown fields are ignored, as in every API here."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal, Union

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, WrapValidator, model_validator
from pydantic.json_schema import SkipJsonSchema

from unseen.prediction.decision import Decision
from unseen.sources.packets import Sampling
from unseen.web.explaining import ExplainOptions
from unseen.web.server.core.image_input import ImageInput
from unseen.web.server.core.label_service import LabelRequest
from unseen.web.server.core.video.video_service import VideoOptions

# A red square of 8 by 8 pixels.
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR42mP4z8CAFTEMLQkAKP8/wc53yE8AAAAASUVO"
    "RK5CYII="
)

# A red and a blue one, for a second each.
GIF = (
    "R0lGODlhCAAIAIEAAP8AAAAAAAAAAAAAACH/C05FVFNDQVBFMi4wAwEAAAAh+QQAZAAAACwAAAAACAAIAAAIDwABCBxI"
    "sKDBgwgTKkwYEAAh+QQBZAABACwAAAAACAAIAIEAAP8AAAAAAAAAAAAIDwABCBxIsKDBgwgTKkwYEAA7"
)

# Of every list and dict that a client sends. Without `fail_fast` each wrong element is an error, or
# several in a union: a megabyte of them took 16 s and 1.6 GB. What a call may hold is less, and is
# for `ServerLimits` to say.
MAX_ITEMS = 100_000
MAX_NAME_CHARS = 10_000
BOUNDED = Field(max_length=MAX_ITEMS, fail_fast=True)


def _one_by_one(value: Any, validate: Callable[[Any], Any]) -> Any:
    """A dict whose first wrong value ends its validation, as `fail_fast` does it for a list."""
    if not isinstance(value, dict):
        return validate(value)
    if len(value) > MAX_ITEMS:
        raise ValueError(f"{len(value):,} entries; at most {MAX_ITEMS:,} are allowed")
    if max(map(len, value), default=0) > MAX_NAME_CHARS:  # each error would have a copy
        raise ValueError(f"a name has more than {MAX_NAME_CHARS:,} characters")
    return {name: valid for item in value.items() for name, valid in validate(dict([item])).items()}


ONE_BY_ONE = WrapValidator(_one_by_one)

Texts = Annotated[list[str], BOUNDED]
TextOrTexts = Union[str, Texts]  # noqa: UP007 - pydantic reads it on Python 3.10
Encoding = Literal["float", "base64"]
Probability = Annotated[float, Field(ge=0, le=1)]
Embedding = Union[list[float], str]  # noqa: UP007 - pydantic reads it on Python 3.10


class Wire(BaseModel):
    """The base of all types: unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=(), allow_inf_nan=False)


class ImageObject(Wire):
    """One picture: exactly one of base64, url and embedding."""

    base64: str | None = None
    url: str | None = None
    embedding: str | None = Field(None, description="base64 of little-endian float32, length 1")
    name: str | None = Field(None, max_length=200)

    @model_validator(mode="after")
    def _check_exactly_one(self) -> ImageObject:
        if sum(x is not None for x in (self.base64, self.url, self.embedding)) != 1:
            raise ValueError("an image has exactly one of base64, url and embedding")
        return self


Image = Annotated[
    Union[str, ImageObject],  # noqa: UP007
    Field(description="base64, a data URI, or (if the server fetches) a URL", examples=[PNG]),
]
Images = Annotated[list[Image], BOUNDED]
WHERE = "conditions such as camera=north or year>=2019; of a server with --postgres"


class LabelObject(Wire):
    """A label with more than a name."""

    prompts: TextOrTexts | None = None
    descriptions: TextOrTexts | None = Field(
        None, description="sentences, or phrases that are put behind the label"
    )
    threshold: Probability | None = None
    background: bool = False
    # Not in the document: that a request names files is refused with a sentence, and not ignored.
    examples: SkipJsonSchema[Any] = None


Labels = Annotated[
    Union[  # noqa: UP007
        Texts,
        Annotated[dict[str, Union[str, Texts, LabelObject, None]], ONE_BY_ONE],  # noqa: UP007
    ],
    Field(description="names, or name → prompts", examples=[["red", "blue"]]),
]
Template = Annotated[
    TextOrTexts,
    Field(description="with {} for the label, or a named set", examples=["a photo of a {}."]),
]


class LabelsRequest(Wire):
    """The labels of a request."""

    labels: Labels | None = None
    template: Template | None = None
    background: Texts = Field(default=[], description="labels that mean none of these")
    concept: str | None = Field(
        None,
        max_length=100,
        description="what all labels are a kind of, for their prompts",
        examples=["bird"],
    )

    def label_request(self, labelset: str | None = None) -> LabelRequest:
        labels: Any = self.labels
        if isinstance(labels, dict):
            labels = {
                name: value.model_dump() if isinstance(value, LabelObject) else value
                for name, value in labels.items()
            }
        background = tuple(self.background)
        return LabelRequest(labels, labelset, self.template, background, self.concept)


class FacetObject(LabelsRequest):
    """One of several label sets; what it leaves out is as the request has it."""

    labelset: str | None = Field(None, description="NAME or NAME@VERSION of a stored set")
    multi_label: bool | None = None
    top_k: int | None = Field(None, ge=1)
    min_score: Probability | None = None


Facets = Annotated[
    Annotated[dict[str, Union[Texts, FacetObject]], ONE_BY_ONE],  # noqa: UP007
    Field(
        description="name → labels, or an object: an answer for each of several label sets",
        examples=[{"colour": ["red", "blue"], "shape": ["square", "circle"]}],
    ),
]


class ClassifyRequest(LabelsRequest):
    """Pictures and labels."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"image": PNG, "labels": ["red", "blue"]}]}
    )

    image: Image | None = None
    images: Images | None = None
    labelset: str | None = Field(None, description="NAME or NAME@VERSION of a stored set")
    facets: Facets | None = None
    multi_label: bool = False
    top_k: int | None = Field(None, ge=1)
    min_score: Probability | None = None
    unknown: Literal["auto"] | None = Field(
        None, description="auto: unknown where too little speaks for any label; gives the evidence"
    )

    @model_validator(mode="after")
    def _check_exactly_one(self) -> ClassifyRequest:
        if (self.image is None) == (self.images is None):
            raise ValueError("give image (one) or images (a list)")
        if self.facets is not None and not (self.labels is None and self.labelset is None):
            raise ValueError("give labels, labelset, or facets (several label sets)")
        return self

    def decision(self) -> Decision:
        return Decision(self.multi_label, self.top_k, self.min_score)

    def facet_requests(self) -> dict[str, tuple[LabelRequest, Decision]]:
        """The labels of each facet, and how they are answered."""
        return {name: self._facet(facet) for name, facet in (self.facets or {}).items()}

    def _facet(self, facet: list[str] | FacetObject) -> tuple[LabelRequest, Decision]:
        if isinstance(facet, list):
            facet = FacetObject.model_validate({"labels": facet})
        request = facet.label_request(facet.labelset)
        if facet.labelset is None:
            request = replace(
                request,
                template=self.template if facet.template is None else facet.template,
                background=tuple(facet.background or self.background),
            )
        multi_label = self.multi_label if facet.multi_label is None else facet.multi_label
        decision = Decision(
            multi_label,
            self.top_k if facet.top_k is None else facet.top_k,
            self.min_score if facet.min_score is None else facet.min_score,
        )
        return request, decision


class EmbedRequest(Wire):
    """Pictures, texts, or both."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"images": [PNG], "texts": ["a red square"]}]}
    )

    images: Images = []
    texts: Texts = []
    encoding: Encoding = "float"


class PreviewRequest(Wire):
    """A picture to look at."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"image": PNG}]})

    image: Image


class ExplainRequest(LabelsRequest):
    """A picture, its labels, and what is to be explained."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"image": PNG, "labels": ["red", "blue"], "for": "red", "against": "blue"}]
        }
    )

    image: Image
    labelset: str | None = Field(None, description="NAME or NAME@VERSION of a stored set")
    for_: str | None = Field(
        None, alias="for", max_length=MAX_NAME_CHARS, description="a label; by default the best"
    )
    against: str | None = Field(
        None, max_length=MAX_NAME_CHARS, description="another label; by default the mean of all"
    )
    method: Literal["auto", "parts", "drop"] = Field(
        "auto", description="auto: the one that earned trust on this model"
    )
    map: Literal["float16", "png", "none"] = Field(
        "float16", description="as numbers, drawn on the picture, or not at all"
    )
    all_labels: bool = Field(False, description="give the grids of all labels, too")
    more: Annotated[
        list[Literal["words", "concepts", "counterfactual"]],
        Field(max_length=3, fail_fast=True, description="what else is said; each takes time"),
    ] = ["words", "concepts"]

    def options(self) -> ExplainOptions:
        return ExplainOptions(self.for_, self.against, self.method, self.more, self.all_labels)


class VideoRequest(LabelsRequest):
    """A video, its labels, and how it is looked at."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"video": GIF, "labels": ["red", "blue"], "every": 0.5, "min_seconds": 1}]
        }
    )

    video: str = Field(
        "", description="base64, a data URI, or (if the server fetches) a URL", examples=[GIF]
    )
    labelset: str | None = Field(None, description="NAME or NAME@VERSION of a stored set")
    every: float = Field(1.0, ge=0.01, le=3600, description="a frame about so often, in seconds")
    keyframes: bool = Field(False, description="the keyframes, which cost least; not `every`")
    min_seconds: float = Field(2.0, ge=0, le=86400, description="the shortest event wanted")
    frames: bool = Field(False, description="give the frames, too")
    multi_label: bool = False
    top_k: int | None = Field(None, ge=1)
    min_score: Probability | None = None
    unknown: Literal["auto"] | None = Field(
        None, description="auto: unknown where too little speaks for any label"
    )

    def decision(self) -> Decision:
        return Decision(self.multi_label, self.top_k, self.min_score)

    def options(self) -> VideoOptions:
        return VideoOptions(Sampling(self.every, self.keyframes), self.min_seconds, self.frames)


class SearchRequest(Wire):
    """Texts and pictures; their embeddings are added."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"texts": ["a red square"]}]})

    texts: Texts = []
    images: Images = []
    without: Texts = Field(default=[], description="texts to subtract from the query")
    where: Texts = Field(default=[], description=WHERE)
    top: int = Field(50, ge=1)


class SimilarRequest(Wire):
    """A picture of the index, by its id, or one that is sent."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"image": PNG, "top": 5}]})

    id: int | None = Field(None, ge=0, lt=2**63)
    image: Image | None = None
    where: Texts = Field(default=[], description=WHERE)
    top: int = Field(50, ge=1)

    @model_validator(mode="after")
    def _check_exactly_one(self) -> SimilarRequest:
        if (self.id is None) == (self.image is None):
            raise ValueError("give the id of a picture in the index, or an image")
        return self


# answers


class ScoredAnswer(Wire):
    label: str
    score: float = Field(description="the probability")
    cosine: float


class Resembling(Wire):
    label: str = Field(description="an everyday word")
    cosine: float


class FacetAnswer(Wire):
    """What one label set says of a picture, its labels best first."""

    label: str | None = None
    score: float | None = None
    unknown: bool | None = None
    ranking: list[ScoredAnswer] | None = None
    left_out: int | None = None
    likely: list[str] | None = None
    evidence: float | None = Field(None, description="that any label fits, if `unknown` is set")
    abstained: bool | None = Field(
        None, description="true where the calibration gives no answer, to keep `max_wrong`"
    )


class PredictionAnswer(FacetAnswer):
    """A picture's labels, best first, or its error."""

    source: str
    resembles: list[Resembling] | None = Field(
        None, description="the everyday words that come nearest, labels left out, if so"
    )
    facets: dict[str, FacetAnswer] | None = Field(
        None, description="in place of the labels, where the request has facets"
    )
    error: str | None = None


class SetName(Wire):
    name: str
    version: int


class ModelAnswer(Wire):
    """The model of an answer."""

    model: str = Field(description="its name")
    fingerprint: str = Field(description="of its files; vectors of one fingerprint are comparable")


class CalibrationAnswer(Wire):
    """The calibration of a label set."""

    pictures: int = Field(description="that it was learnt from")
    coverage: float | None = Field(description="how often the right label is among `likely`")
    max_wrong: float | None = Field(None, description="the share of answers that may be wrong")


class FacetFacts(Wire):
    """One of several label sets."""

    labelset: SetName | None
    calibration: CalibrationAnswer | None = Field(None, description="if the scores went through it")


class ClassifyAnswer(ModelAnswer):
    labelset: SetName | None
    calibration: CalibrationAnswer | None = Field(None, description="if the scores went through it")
    facets: dict[str, FacetFacts] | None = Field(None, description="of each, what it is")
    predictions: list[PredictionAnswer]
    warnings: list[str]


class WordAnswer(Wire):
    word: str
    score: float = Field(description="what it adds to the contrast, in cosine")


class ConceptAnswer(Wire):
    concept: str
    weight: float


class CounterfactualAnswer(Wire):
    """The fewest places without which the answer is another."""

    cells: int
    share: float
    label: str
    probability: float


class ExplanationAnswer(Wire):
    """Why the picture has the label, and how far to believe it."""

    source: str
    label: str
    against: str | None = Field(description="null: the mean of the labels")
    probability: float
    method: Literal["parts", "drop", "none"] = Field(description="none: no map earned trust")
    exact: bool = Field(description="whether the places add up to the embedding")
    sentence: str = Field(description="how far to believe the map")
    coverage: float | None = Field(description="the share of the contrast in the places")
    without: float | None = Field(description="the probability without the marked tenth")
    only: float | None = Field(description="the probability with only that tenth")
    cropped: float = Field(description="the share of the picture that the net did not see")
    words: list[WordAnswer]
    concepts: list[ConceptAnswer]
    concept_fit: float | None = Field(description="the cosine of the concepts to the picture")
    counterfactual: CounterfactualAnswer | None
    notes: list[str]
    alt: str = Field(description="what the map shows, in words")
    size: list[int] = Field(description="width and height of the picture, in pixels")
    boxes: list[list[float]] = Field(description="where the views lie: left, top, right, bottom")
    grid: list[list[list[float]]] | None = Field(None, description="of each view, row after row")


class MapAnswer(Wire):
    """The map of the whole picture."""

    format: Literal["float16", "png"]
    width: int
    height: int
    data: str = Field(description="base64: little-endian float16, row after row; or a PNG file")


class MapsAnswer(Wire):
    """The grids of all labels."""

    labels: list[str]
    rows: int
    columns: int
    data: str = Field(description="base64 of little-endian float16: label, view, row, column")


class ExplainAnswer(ModelAnswer):
    labelset: SetName | None
    explanation: ExplanationAnswer
    map: MapAnswer | None = Field(description="null where none was wanted, or none earned trust")
    maps: MapsAnswer | None
    warnings: list[str]


class PeakAnswer(Wire):
    time: float
    score: float


class EventAnswer(Wire):
    """What happens in a part of a video; times are seconds since its first frame."""

    type: Literal["event"]
    id: str = Field(description="the same each time")
    source: str
    label: str
    start: float
    end: float
    score: float = Field(description="the mean probability, given all other samples")
    peak: PeakAnswer = Field(description="the surest frame")


class ClipAnswer(PredictionAnswer):
    """The labels of the whole video; with an error, of what could be read of it."""

    type: Literal["clip"]
    seconds: float | None
    samples: int = Field(description="frames that were looked at")
    embedded: int = Field(description="those that the network had: the others show the same")


class FrameAnswer(PredictionAnswer):
    """The labels of a frame."""

    type: Literal["frame"]
    time: float


class VideoAnswer(ModelAnswer):
    """As the rows of `unseen video -o out.jsonl`."""

    labelset: SetName | None
    clip: ClipAnswer
    events: list[EventAnswer]
    frames: list[FrameAnswer] | None = None
    warnings: list[str]


class EmbeddingAnswer(Wire):
    source: str | None = None
    embedding: Embedding | None = None
    error: str | None = None


class EmbedAnswer(ModelAnswer):
    dimension: int
    images: list[EmbeddingAnswer]
    texts: list[EmbeddingAnswer]
    warnings: list[str]


class HitAnswer(Wire):
    """A picture of the index."""

    id: int
    path: str = Field(description="below the folder of the index")
    copies: list[str]
    cosine: float | None = None
    width: int | None
    height: int | None
    taken: str | None
    label: str | None = Field(None, description="of a row of --postgres, as are the next two")
    score: float | None = None
    metadata: dict[str, Any] | None = None


class HitsAnswer(ModelAnswer):
    hits: list[HitAnswer]


class PicturesAnswer(Wire):
    total: int
    pictures: list[HitAnswer]


class LabelAnswer(Wire):
    name: str
    prompts: list[str]
    threshold: float | None
    background: bool


class SetSummary(Wire):
    name: str
    version: int
    created: str
    labels: int
    status: Literal["ready", "compiling", "failed"]
    error: str | None


class SetsAnswer(Wire):
    labelsets: list[SetSummary]


class SetAnswer(ModelAnswer):
    """One version of a label set."""

    name: str
    version: int
    created: str
    status: Literal["ready", "compiling", "failed"]
    error: str | None
    labels: list[LabelAnswer]
    templates: list[str] | None
    concept: str | None = None


class ProblemAnswer(Wire):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    code: str


def image_input(image: str | ImageObject, index: int) -> ImageInput:
    """A picture of a request."""
    name = f"image {index}"
    if isinstance(image, str):
        return ImageInput(name, text=image)
    name_or_default = image.name or name
    if image.embedding is not None:
        return ImageInput(name_or_default, embedding=image.embedding)
    return ImageInput(name_or_default, text=image.base64 if image.url is None else image.url)


def truncated(rows: NDArray[np.float32], dimensions: int) -> NDArray[np.float32]:
    """(n, d) → the first numbers of each row, of length 1 again."""
    first = rows[:, :dimensions]
    length = np.linalg.norm(first, axis=1, keepdims=True)
    return np.asarray(first / np.maximum(length, 1e-12), dtype=np.float32)


def encode_embedding(vector: NDArray[np.float32], encoding: str) -> list[float] | str:
    """An embedding as numbers, or as base64 of its little-endian float32."""
    if encoding == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
    numbers: list[float] = vector.tolist()
    return numbers
