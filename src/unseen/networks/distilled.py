"""The nets of a classifier that `unseen distil` makes: EfficientNet-Lite2, a head, and a table.

`models/families/distilled.py` says what the embedding is made of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np

from unseen.networks import efficientnet
from unseen.networks.layers import image_inputs
from unseen.networks.network import (
    EMBEDDING,
    FEATURES,
    Input,
    Network,
    Output,
    Parameters,
    single_output,
)
from unseen.networks.operations import Operations

T = TypeVar("T")

LOGITS, PROBABILITIES = "logits", "probabilities"  # outputs, besides those of every image net
(WIDTH,) = efficientnet.lite2_shapes()["head.bias"]  # of the features: 1280


@dataclass(frozen=True)
class ImageConfig:
    """Pictures of `side` × `side`; the head's `labels`; the radius that its logits are cut to; how
    these become probabilities: "softmax", or "sigmoid" of each by itself."""

    side: int
    labels: int
    radius: float
    dimension: int
    rule: str = "softmax"


@dataclass(frozen=True)
class TextConfig:
    """A unit vector of `dimension` numbers for each label."""

    labels: int
    dimension: int


PROBABILITIES_OF: Mapping[str, Callable[[Operations[Any], Any], Any]] = {
    "softmax": lambda ops, logits: ops.softmax(logits),
    "sigmoid": lambda ops, logits: ops.activation(logits, "sigmoid"),
}


def features_network(side: int, parameters: Parameters) -> Network[Any]:
    """uint8 (n, side, side, 3) → `features` (n, 1280): the image net without any head."""
    return single_output(
        "image",
        image_inputs((side, side)),
        partial(_features, side),
        (None, WIDTH),
        output=FEATURES,
        parameters=parameters,
    )


def image_network(config: ImageConfig, parameters: Parameters) -> Network[Any]:
    """uint8 (n, side, side, 3) → everything that a file gives, and the `features` behind it."""
    widths = {
        EMBEDDING: config.dimension,
        LOGITS: config.labels,
        PROBABILITIES: config.labels,
        FEATURES: WIDTH,
    }
    return Network(
        "image",
        image_inputs((config.side, config.side)),
        tuple(Output(name, (None, width)) for name, width in widths.items()),
        partial(_outputs, config),
        parameters,
    )


def text_network(config: TextConfig, parameters: Parameters) -> Network[Any]:
    """int64 (n, 1) indices of labels → (n, dimension): unit vectors. It uses no parameters."""

    def body(ops: Operations[T], p: Parameters, ids: T) -> T:
        table = np.eye(config.labels, config.dimension, dtype=np.float32)
        return ops.reshape(ops.embedding(table, ids), (-1, config.dimension))

    inputs, shape = (Input("ids", "int64", (None, 1)),), (None, config.dimension)
    return single_output("text", inputs, body, shape, parameters=parameters)


def _features(side: int, ops: Operations[T], p: Parameters, images: T) -> T:
    return efficientnet.features(ops, p, normalised(ops, images), side)


def normalised(ops: Operations[T], images: T) -> T:
    """uint8 (n, side, side, 3) → float32 (n, 3, side, side), as the image net takes it."""
    x = ops.pixels(images)
    half = np.float32(1 / 128)
    return ops.add(ops.mul(x, ops.constant(np.array(half))), ops.constant(np.array(-127 * half)))


def _outputs(
    config: ImageConfig, ops: Operations[T], p: Parameters, requested: frozenset[str], images: T
) -> dict[str, T]:
    features = _features(config.side, ops, p, images)
    values = {FEATURES: features}
    if requested <= set(values):
        return values
    k, radius = config.labels, np.float32(config.radius)
    x = features
    if "hidden.weight" in p:
        x = ops.activation(ops.linear(x, p["hidden.weight"], p["hidden.bias"]), "relu")
    raw = ops.linear(x, p["output.weight"], p["output.bias"])
    completed = ops.complete(ops.mul(raw, ops.constant(np.array(1 / radius))))
    cosines = ops.slice(completed, 1, 0, k)
    if requested & {LOGITS, PROBABILITIES}:
        values[LOGITS] = ops.mul(cosines, ops.constant(np.array(radius)))
    if PROBABILITIES in requested:
        of_logits = PROBABILITIES_OF[config.rule]
        values[PROBABILITIES] = of_logits(ops, values[LOGITS])
    if EMBEDDING in requested:
        looks = ops.l2_normalise(ops.linear(features, p["looks"]))
        rest = ops.mul(looks, ops.slice(completed, 1, k, k + 1))
        values[EMBEDDING] = ops.concat([cosines, rest], 1)
    return values
