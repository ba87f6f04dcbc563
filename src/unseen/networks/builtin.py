"""The two nets of the built-in model, which compares pictures and texts by ImageNet's classes.

A picture becomes √p of the classes that an EfficientNet-Lite gives it, a text √p of the classes
whose names and glosses are near to it; `models/families/builtin.py` says why that works.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from unseen.networks import bert, efficientnet
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
from unseen.networks.transformer import Blocks

T = TypeVar("T")

TEXT_INPUTS = (Input("ids", "int64", (None, None)), Input("mask", "int64", (None, None)))
(WIDTH,) = efficientnet.lite2_shapes()["head.bias"]  # of the image net's features: 1280


@dataclass(frozen=True)
class ImageConfig:
    """What the config says of the image net. `meaning_share`: of the classes in the embedding."""

    image_size: int
    temperature: float
    top_classes: int
    meaning_share: float
    dimension: int


@dataclass(frozen=True)
class TextConfig:
    """What the config says of the text net. `sharpness`: of the softmax over the classes."""

    blocks: Blocks
    sharpness: float
    dimension: int


def image_network(config: ImageConfig, parameters: Parameters) -> Network[Any]:
    """uint8 (n, 2, side, side, 3), two views of each picture → `embedding` (n, dimension), and
    `features` (n, 1280), the mean of the views' before the classifier."""
    side = config.image_size

    def body(
        ops: Operations[T], p: Parameters, requested: frozenset[str], images: T
    ) -> dict[str, T]:
        x = efficientnet.features(ops, p, normalised_views(config, ops, images), side)
        # The classifier is linear, so the mean of the views' features gives that of their logits.
        x = ops.mean(ops.reshape(x, (-1, 2, WIDTH)), (1,))
        values = {FEATURES: x}
        if EMBEDDING in requested:
            values[EMBEDDING] = _image_embedding(ops, p, config, x)
        return values

    inputs = (Input("images", "uint8", (None, 2, side, side, 3)),)
    outputs = (Output(EMBEDDING, (None, config.dimension)), Output(FEATURES, (None, WIDTH)))
    return Network("image", inputs, outputs, body, parameters)


def normalised_views(config: ImageConfig, ops: Operations[T], images: T) -> T:
    """uint8 (n, 2, side, side, 3) → views one after another, float32 (2n, 3, side, side)."""
    x = ops.pixels(ops.reshape(images, (-1, config.image_size, config.image_size, 3)))
    return ops.add(ops.mul(x, _number(ops, 1 / 128)), _number(ops, -127 / 128))


def _image_embedding(ops: Operations[T], p: Parameters, config: ImageConfig, x: T) -> T:
    """Features (n, 1280) → class probabilities and looks as one vector of length 1."""
    logits = ops.linear(x, p["classifier.weight"], p["classifier.bias"])
    root = _root_softmax(ops, logits, 1 / config.temperature)
    meaning = ops.l2_normalise(ops.keep_top(root, config.top_classes))
    looks = ops.l2_normalise(ops.linear(x, p["looks"]))
    share = config.meaning_share
    parts = [
        ops.mul(meaning, _number(ops, share)),
        ops.mul(looks, _number(ops, (1 - share**2) ** 0.5)),
    ]
    return ops.l2_normalise(ops.concat(parts, 1))


def text_network(config: TextConfig, parameters: Parameters) -> Network[Any]:
    """int64 ids and mask (n, t) → (n, dimension): what classes the text is near to, and zeros."""

    def body(ops: Operations[T], p: Parameters, ids: T, mask: T) -> T:
        classes = p["classes"]
        logits = ops.linear(_sentence(ops, p, config.blocks, ids, mask), classes)
        meaning = _root_softmax(ops, logits, config.sharpness)
        looks = ops.slice(meaning, 1, 0, config.dimension - len(classes))
        return ops.concat([meaning, ops.mul(looks, _number(ops, 0.0))], 1)

    shape = (None, config.dimension)
    return single_output("text", TEXT_INPUTS, body, shape, parameters=parameters)


def sentence_network(blocks: Blocks, parameters: Parameters) -> Network[Any]:
    """int64 ids and mask (n, t) → centred sentence vectors (n, width): the class vectors' space."""

    def body(ops: Operations[T], p: Parameters, ids: T, mask: T) -> T:
        return _sentence(ops, p, blocks, ids, mask)

    shape = (None, parameters["centre"].size)
    return single_output("sentence", TEXT_INPUTS, body, shape, parameters=parameters)


def _sentence(ops: Operations[T], p: Parameters, blocks: Blocks, ids: T, mask: T) -> T:
    x = bert.encoder(ops, p, bert.BertConfig(blocks), ids, mask)
    x = ops.l2_normalise(ops.masked_mean(x, mask))
    return ops.l2_normalise(ops.add(x, ops.constant(-p["centre"])))


def _root_softmax(ops: Operations[T], x: T, scale: float) -> T:
    """√softmax(scale·x): softmax of the half, to length 1."""
    return ops.l2_normalise(ops.softmax(ops.mul(x, _number(ops, scale / 2))))


def _number(ops: Operations[T], value: float) -> T:
    return ops.constant(np.array(value, dtype=np.float32))
