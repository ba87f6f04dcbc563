"""The nets of a classifier that `unseen distil` makes: EfficientNet-Lite2, a head, and a table.

`models/families/distilled.py` says what the embedding is made of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from unseen.networks import efficientnet
from unseen.networks.operations import Array, Input, Network, Operations

T = TypeVar("T")
Parameters = Mapping[str, Array]


@dataclass(frozen=True)
class ImageConfig:
    """Pictures of `side` × `side`; the head's `labels`; the radius that its logits are cut to."""

    side: int
    labels: int
    radius: float
    dimension: int


@dataclass(frozen=True)
class FeaturesConfig:
    """The image net without a head, whose features have `dimension` numbers."""

    side: int
    dimension: int


@dataclass(frozen=True)
class TextConfig:
    """A unit vector of `dimension` numbers for each label."""

    labels: int
    dimension: int


def image_network(config: ImageConfig, parameters: Parameters) -> Network[T]:
    """uint8 (n, side, side, 3) → embeddings (n, dimension)."""

    def body(ops: Operations[T], images: T) -> T:
        return outputs(ops, parameters, config, images)["embedding"]

    return Network("image", inputs(config.side), body, config.dimension)


def features_network(config: FeaturesConfig, parameters: Parameters) -> Network[T]:
    """uint8 (n, side, side, 3) → features (n, dimension), which are not of length 1."""

    def body(ops: Operations[T], images: T) -> T:
        return pooled(ops, parameters, images, config.side)

    return Network("image", inputs(config.side), body, config.dimension)


def text_network(config: TextConfig, parameters: Parameters) -> Network[T]:
    """int64 (n, 1) indices of labels → (n, dimension): unit vectors. It has no parameters."""

    def body(ops: Operations[T], ids: T) -> T:
        table = np.eye(config.labels, config.dimension, dtype=np.float32)
        return ops.reshape(ops.embedding(table, ids), (-1, config.dimension))

    return Network("text", (Input("ids", "int64", (None, 1)),), body, config.dimension)


def pooled(ops: Operations[T], p: Parameters, images: T, side: int) -> T:
    """uint8 (n, side, side, 3) → the image net's features (n, 1280), before any head."""
    x = ops.pixels(images)
    half = np.float32(1 / 128)
    x = ops.add(ops.mul(x, ops.constant(np.array(half))), ops.constant(np.array(-127 * half)))
    return efficientnet.features(ops, p, x, side)


def outputs(ops: Operations[T], p: Parameters, config: ImageConfig, images: T) -> dict[str, T]:
    """uint8 (n, side, side, 3) → everything that a file gives, under its name."""
    radius = np.float32(config.radius)
    features = pooled(ops, p, images, config.side)
    x = features
    if "hidden.weight" in p:
        x = ops.activation(ops.linear(x, p["hidden.weight"], p["hidden.bias"]), "relu")
    raw = ops.linear(x, p["output.weight"], p["output.bias"])
    unit = ops.complete(ops.mul(raw, ops.constant(np.array(1 / radius))))
    k = config.labels
    cosines = ops.slice(unit, 1, 0, k)
    logits = ops.mul(cosines, ops.constant(np.array(radius)))
    looks = ops.l2_normalise(ops.linear(features, p["looks"]))
    return {
        "logits": logits,
        "probabilities": ops.softmax(logits),
        "embedding": ops.concat([cosines, ops.mul(looks, ops.slice(unit, 1, k, k + 1))], 1),
    }


def inputs(side: int) -> tuple[Input, ...]:
    """What the image net is given."""
    return (Input("images", "uint8", (None, side, side, 3)),)
