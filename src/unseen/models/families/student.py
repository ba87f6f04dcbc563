"""What `unseen distil` makes: an image net, a small head, and labels of its own, in one ONNX file.

The head gives a logit l a label, centred, cut to |l| ≤ R. A picture's embedding is

    [ l / R , √(1 - |l|² / R²) · looks ]

looks being what else the image net saw, of length 1: so pictures compare with pictures. The vector
of a label is the unit vector of its place: the cosine to it is its logit / R, and the softmax of
R · cosines is that of the head, exactly. There are no other texts: the text net is a table.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unseen.errors import LabelError, ModelError
from unseen.images.preprocess import Preprocess
from unseen.models.model import SMALL_BATCH, Model, Score
from unseen.networks import efficientnet
from unseen.networks.layers import image_inputs
from unseen.networks.network import EMBEDDING, FEATURES, Input, Network, Output, single_output
from unseen.networks.operations import Array, Operations
from unseen.runtimes import onnx_file
from unseen.system.cache import file_sha256

T = TypeVar("T")

FORMAT = "unseen-classifier-1"
SUFFIX = ".onnx"
FAMILY = "distilled"
SIDES = (128, 512)  # what the side of a picture may be
MOST_LABELS = 4096
NAMED = 8  # labels that an error names
LOGITS, PROBABILITIES = "logits", "probabilities"  # outputs, besides those of every network
(WIDTH,) = efficientnet.lite2_shapes()["head.bias"]  # of the features: 1280
FILTER = Image.Resampling.BICUBIC


@dataclass(frozen=True)
class Student:
    """Everything in a file but the parameters. `background`: labels that mean none of these."""

    labels: tuple[str, ...]
    background: tuple[str, ...]
    side: int
    radius: float  # R
    card: dict[str, Any]

    def metadata(self) -> dict[str, str]:
        """As it stands in the file: each value JSON, but the first."""
        facts = {
            "labels": self.labels,
            "background": self.background,
            "preprocess": {
                "mode": "RGB",
                "resize": [self.side, self.side],
                "filter": FILTER.name.lower(),
                "layout": "NHWC",
                "dtype": "uint8",
            },
            "radius": self.radius,
            "card": self.card,
        }
        texts = {key: json.dumps(value, ensure_ascii=False) for key, value in facts.items()}
        return {"format": FORMAT, **texts}

    @classmethod
    def of(cls, metadata: Mapping[str, str], where: str) -> Student:
        """What `metadata` gave; ModelError for anything else."""
        if metadata.get("format") != FORMAT:
            raise ModelError(
                f"{where}: this is no classifier of `unseen distil`, or of a later version of it."
            )
        try:
            found = {k: json.loads(metadata[k]) for k in ("labels", "background", "radius", "card")}
            preprocess = json.loads(metadata["preprocess"])
            if not all(isinstance(found[key], list) for key in ("labels", "background")):
                raise TypeError("labels are a list")
            student = cls(
                tuple(found["labels"]),
                tuple(found["background"]),
                preprocess["resize"][0],
                float(found["radius"]),
                found["card"],
            )
            student._check()
            if json.loads(student.metadata()["preprocess"]) != preprocess:
                raise ValueError(f"pictures are prepared in an unknown way: {preprocess}")
        except (KeyError, TypeError, ValueError, IndexError, RecursionError) as error:
            raise ModelError(f"{where}: its metadata cannot be used: {error!r}.") from None
        return student

    def _check(self) -> None:
        names = self.labels
        if not 2 <= len(set(names)) == len(names) <= MOST_LABELS:
            raise ValueError(f"{len(names)} labels")
        if not all(isinstance(name, str) and name == " ".join(name.split()) for name in names):
            raise ValueError("labels that are none")
        if "" in names or not set(self.background) < set(names):
            raise ValueError("labels that are none")
        if type(self.side) is not int or not SIDES[0] <= self.side <= SIDES[1]:
            raise ValueError(f"pictures of {self.side!r} pixels")
        if not 0 < self.radius < 1e4:
            raise ValueError(f"a radius of {self.radius!r}")
        if not isinstance(self.card, dict) or not isinstance(self.card.get("teacher", {}), dict):
            raise TypeError("the card is none")


def preprocess(side: int) -> Preprocess:
    """All of the picture, made square."""
    return Preprocess(shortest=None, exact=(side, side), crop=None, resample=FILTER)


# networks


def image_net(parameters: Mapping[str, Array], side: int) -> Network[Any]:
    """uint8 (n, side, side, 3) → `features` (n, 1280): the image net without any head."""
    body = partial(_features, side)
    shape = (None, WIDTH)
    inputs = image_inputs((side, side))
    return single_output("image", inputs, body, shape, output=FEATURES, parameters=parameters)


def image_network(parameters: Mapping[str, Array], student: Student) -> Network[Any]:
    """uint8 (n, side, side, 3) → everything that a file gives, and the `features` behind it."""
    k = len(student.labels)
    widths = {
        EMBEDDING: k + len(parameters["looks"]),
        LOGITS: k,
        PROBABILITIES: k,
        FEATURES: WIDTH,
    }
    return Network(
        "image",
        image_inputs((student.side, student.side)),
        tuple(Output(name, (None, width)) for name, width in widths.items()),
        partial(_outputs, student),
        parameters,
    )


def _features(side: int, ops: Operations[T], p: Mapping[str, Array], images: T) -> T:
    x = ops.pixels(images)
    half = np.float32(1 / 128)
    x = ops.add(ops.mul(x, ops.constant(np.array(half))), ops.constant(np.array(-127 * half)))
    return efficientnet.features(ops, p, x, side)


def _outputs(
    student: Student,
    ops: Operations[T],
    p: Mapping[str, Array],
    requested: frozenset[str],
    images: T,
) -> dict[str, T]:
    features = _features(student.side, ops, p, images)
    values = {FEATURES: features}
    if requested <= set(values):
        return values
    k, radius = len(student.labels), np.float32(student.radius)
    x = features
    if "hidden.weight" in p:
        x = ops.activation(ops.linear(x, p["hidden.weight"], p["hidden.bias"]), "relu")
    raw = ops.linear(x, p["output.weight"], p["output.bias"])
    completed = ops.complete(ops.mul(raw, ops.constant(np.array(1 / radius))))
    cosines = ops.slice(completed, 1, 0, k)
    if requested & {LOGITS, PROBABILITIES}:
        values[LOGITS] = ops.mul(cosines, ops.constant(np.array(radius)))
    if PROBABILITIES in requested:
        values[PROBABILITIES] = ops.softmax(values[LOGITS])
    if EMBEDDING in requested:
        looks = ops.l2_normalise(ops.linear(features, p["looks"]))
        rest = ops.mul(looks, ops.slice(completed, 1, k, k + 1))
        values[EMBEDDING] = ops.concat([cosines, rest], 1)
    return values


def to_bytes(student: Student, parameters: Mapping[str, Array]) -> bytes:
    """The file. Parameters: those of the image net, `output.*` and perhaps `hidden.*` of the head,
    whose logits are centred, and `looks`."""
    network = image_network(parameters, student)
    return onnx_file.write(network, (LOGITS, PROBABILITIES, EMBEDDING), student.metadata())


# reading


def read(path: Path, name: str) -> Model:
    """A `Model` of a file that `to_bytes` gave. ModelError for any other."""
    content = onnx_file.read(path)
    student = Student.of(content.metadata, str(path))
    parameters = content.parameters
    _check_parameters(parameters, student, path)
    dimension = len(student.labels) + len(parameters["looks"])
    return Model(
        name=name,
        revision=None,
        family=FAMILY,
        fingerprint=file_sha256(path)[:32],
        dimension=dimension,
        preprocess=preprocess(student.side),
        tokenizer=LabelTokenizer(name, student.labels),
        context_length=1,
        text_inputs=_text_inputs,
        score=Score("softmax", scale=student.radius),
        image_network=partial(image_network, parameters, student),
        text_network=partial(_text_network, len(student.labels), dimension),
        template="{}",
        labels=student.labels,
        background=student.background,
        card=student.card,
        batch_size=SMALL_BATCH,
    )


def shapes(labels: int, hidden: int | None, looks: int) -> dict[str, tuple[int, ...]]:
    """Every parameter of a file; `hidden`: the width of the head's own layer, where it has one."""
    net = efficientnet.lite2_shapes()
    (width,) = net["head.bias"]
    own: dict[str, tuple[int, ...]] = {} if hidden is None else {"hidden.bias": (hidden,)}
    if hidden is not None:
        own["hidden.weight"] = (hidden, width)
    own |= {"output.weight": (labels, hidden or width), "output.bias": (labels,)}
    return net | own | {"looks": (looks, width)}


def _check_parameters(p: Mapping[str, NDArray[np.float32]], student: Student, path: Path) -> None:
    hidden = p["hidden.bias"].size if "hidden.bias" in p else None
    looks = max(len(p["looks"]) if "looks" in p and p["looks"].ndim else 0, 1)
    for name, shape in shapes(len(student.labels), hidden, looks).items():
        if name not in p or p[name].shape != shape or not np.isfinite(p[name]).all():
            raise ModelError(f"{path}: its parameter {name!r} is not what it should be.")


class LabelTokenizer:
    """Texts → places among the labels: there are no other texts."""

    def __init__(self, name: str, labels: Sequence[str]) -> None:
        self._name = name
        self._places = {label: place for place, label in enumerate(labels)}

    def encode(
        self, texts: Sequence[str], context_length: int | None = None
    ) -> tuple[list[list[int]], list[bool]]:
        """One id a text; nothing is ever cut. LabelError for a text that is no label."""
        for text in texts:
            if text not in self._places:
                raise LabelError(self._unknown(text))
        return [[self._places[text]] for text in texts], [False] * len(texts)

    def token_id(self, token: str) -> int | None:
        """The place of a label."""
        return self._places.get(token)

    def _unknown(self, text: str) -> str:
        known = [repr(label) for label in self._places]
        more = f" and {len(known) - NAMED} more" if len(known) > NAMED else ""
        near = difflib.get_close_matches(text, self._places, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        return (
            f"{text[:80]!r} is no label of {self._name}, which was taught "
            f"{', '.join(known[:NAMED])}{more}, and knows no other words.{hint}"
        )


def _text_inputs(ids: Sequence[Sequence[int]]) -> tuple[Array, ...]:
    return (np.array(ids, dtype=np.int64).reshape(len(ids), 1),)


def _text_network(k: int, dimension: int) -> Network[Any]:
    """int64 (n, 1) places → (n, dimension): unit vectors."""

    def body(ops: Operations[T], _: Mapping[str, Array], ids: T) -> T:
        table = np.eye(k, dimension, dtype=np.float32)
        return ops.reshape(ops.embedding(table, ids), (-1, dimension))

    return single_output("text", (Input("ids", "int64", (None, 1)),), body, (None, dimension))
