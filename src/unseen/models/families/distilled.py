"""What `unseen distil` makes: an image net, a small head, and labels of its own, in one ONNX file.

The head gives a logit l a label, centred, cut to |l| ≤ R. A picture's embedding is

    [ l / R , √(1 - |l|² / R²) · looks ]

looks being what else the image net saw, of length 1: so pictures compare with pictures. The vector
of a label is the unit vector of its place: the cosine to it is its logit / R, and the softmax of
R · cosines is that of the head, exactly. There are no other texts: the text net is a table.

Where a picture may have several labels the sigmoid of each logit takes the place of the softmax,
and the logits are not centred: such a file is of `SEVERAL`, which readers before it refuse.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unseen.errors import ModelError
from unseen.images.preprocess import Preprocess
from unseen.models.checkpoint import Checkpoint
from unseen.models.inputs import SingleIds
from unseen.models.model import SMALL_BATCH, Model, Score
from unseen.models.tokenizers.label_tokenizer import LabelTokenizer
from unseen.models.towers import TowerSpec
from unseen.models.weights.spec import WeightsSpec
from unseen.networks import distilled, efficientnet
from unseen.networks.network import EMBEDDING
from unseen.networks.operations import Array
from unseen.runtimes import onnx_file
from unseen.system.cache import file_sha256

FORMAT, SEVERAL = "unseen-classifier-1", "unseen-classifier-2"
RULE_OF = {FORMAT: "softmax", SEVERAL: "sigmoid"}
SUFFIX = ".onnx"
FAMILY = "distilled"
SIDES = (128, 512)  # what the side of a picture may be
MOST_LABELS = 4096
OUTPUTS = (distilled.LOGITS, distilled.PROBABILITIES, EMBEDDING)  # of a file, in this order
FILTER = Image.Resampling.BICUBIC


@dataclass(frozen=True)
class Student:
    """Everything in a file but the parameters. `background`: labels that mean none of these;
    `rule`: how logits become probabilities, a value of `RULE_OF`."""

    labels: tuple[str, ...]
    background: tuple[str, ...]
    side: int
    radius: float  # R
    card: dict[str, Any]
    rule: str = "softmax"

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
        (format_,) = (name for name, rule in RULE_OF.items() if rule == self.rule)
        return {"format": format_, **texts}

    @classmethod
    def of(cls, metadata: Mapping[str, str], where: str) -> Student:
        """What `metadata` gave; ModelError for anything else."""
        rule = RULE_OF.get(metadata.get("format", ""))
        if rule is None:
            raise ModelError(
                f"{where}: this is not a classifier of `unseen distil`, or one of a later version."
            )
        try:
            facts = {k: json.loads(metadata[k]) for k in ("labels", "background", "radius", "card")}
            preprocess = json.loads(metadata["preprocess"])
            if not all(isinstance(facts[key], list) for key in ("labels", "background")):
                raise TypeError("labels are a list")
            student = cls(
                tuple(facts["labels"]),
                tuple(facts["background"]),
                preprocess["resize"][0],
                float(facts["radius"]),
                facts["card"],
                rule,
            )
            student._check()
            if json.loads(student.metadata()["preprocess"]) != preprocess:
                raise ValueError(f"pictures are prepared in an unknown way: {preprocess}")
        except (KeyError, TypeError, ValueError, IndexError, RecursionError) as error:
            raise ModelError(f"{where}: its metadata cannot be used: {error!r}.") from None
        return student

    def image_config(self, dimension: int) -> distilled.ImageConfig:
        """The configuration of its image net, whose embeddings have `dimension` numbers."""
        labels = len(self.labels)
        return distilled.ImageConfig(self.side, labels, self.radius, dimension, self.rule)

    def _check(self) -> None:
        names = self.labels
        if not 2 <= len(set(names)) == len(names) <= MOST_LABELS:
            raise ValueError(f"{len(names)} labels")
        if not all(isinstance(name, str) and name == " ".join(name.split()) for name in names):
            raise ValueError("invalid label names")
        if "" in names or not set(self.background) < set(names):
            raise ValueError("invalid label names")
        if type(self.side) is not int or not SIDES[0] <= self.side <= SIDES[1]:
            raise ValueError(f"pictures of {self.side!r} pixels")
        if not 0 < self.radius < 1e4:
            raise ValueError(f"a radius of {self.radius!r}")
        if not isinstance(self.card, dict) or not isinstance(self.card.get("teacher", {}), dict):
            raise TypeError("the card is not an object")


def preprocess(side: int) -> Preprocess:
    """All of the picture, made square."""
    return Preprocess(shortest=None, exact=(side, side), crop=None, resample=FILTER)


def to_bytes(student: Student, parameters: Mapping[str, Array]) -> bytes:
    """The file. Parameters: those of the image net, `output.*` and perhaps `hidden.*` of the head,
    whose logits are centred where they compete, and `looks`."""
    dimension = len(student.labels) + len(parameters["looks"])
    network = distilled.image_network(student.image_config(dimension), parameters)
    return onnx_file.write(network, OUTPUTS, student.metadata())


# reading


def read(checkpoint: Checkpoint, config: Mapping[str, Any]) -> Model:
    """A `Model` of a file that `to_bytes` gave. Raises ModelError for any other.

    `config` is empty: the metadata of the file take its place.
    """
    path = checkpoint.file
    assert path is not None
    content = onnx_file.read(path)
    student = Student.of(content.metadata, str(path))
    parameters = content.parameters
    _check_parameters(parameters, student, path)
    count, dimension = len(student.labels), len(student.labels) + len(parameters["looks"])
    return Model(
        name=checkpoint.name,
        revision=None,
        family=FAMILY,
        fingerprint=file_sha256(path)[:32],
        dimension=dimension,
        preprocess=preprocess(student.side),
        tokenizer=LabelTokenizer(checkpoint.name, student.labels),
        context_length=1,
        text_inputs=SingleIds(),
        score=Score(student.rule, scale=student.radius),
        image_tower=TowerSpec(
            "distilled_image", student.image_config(dimension), {name: name for name in parameters}
        ),
        text_tower=TowerSpec("distilled_text", distilled.TextConfig(count, dimension), {}),
        weights=WeightsSpec(str(path.parent), (path.name,), "distilled").holding(parameters),
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
    head: dict[str, tuple[int, ...]] = {} if hidden is None else {"hidden.bias": (hidden,)}
    if hidden is not None:
        head["hidden.weight"] = (hidden, width)
    head |= {"output.weight": (labels, hidden or width), "output.bias": (labels,)}
    return net | head | {"looks": (looks, width)}


def _check_parameters(p: Mapping[str, NDArray[np.float32]], student: Student, path: Path) -> None:
    hidden = p["hidden.bias"].size if "hidden.bias" in p else None
    looks = max(len(p["looks"]) if "looks" in p and p["looks"].ndim else 0, 1)
    for name, shape in shapes(len(student.labels), hidden, looks).items():
        if name not in p or p[name].shape != shape or not np.isfinite(p[name]).all():
            raise ModelError(
                f"{path}: its parameter {name!r} is missing, of another shape, or not finite."
            )
