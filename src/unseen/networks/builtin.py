"""The two nets of the built-in model, which compares pictures and texts by ImageNet's classes.

A picture becomes √p of the classes that an EfficientNet-Lite gives it, a text √p of the classes
whose names and glosses are near to it; `models/families/builtin.py` says why that works.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from unseen.networks import bert, efficientnet
from unseen.networks.operations import Array, Input, Network, Operations
from unseen.networks.transformer import Blocks

T = TypeVar("T")
Parameters = Mapping[str, Array]

TEXT_INPUTS = (Input("ids", "int64", (None, None)), Input("mask", "int64", (None, None)))


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


def image_network(config: ImageConfig, parameters: Parameters) -> Network[T]:
    """uint8 (n, 2, side, side, 3), two views of each picture → (n, dimension)."""
    p, side = parameters, config.image_size

    def body(ops: Operations[T], images: T) -> T:
        x = ops.pixels(ops.reshape(images, (-1, side, side, 3)))
        x = ops.add(ops.mul(x, _number(ops, 1 / 128)), _number(ops, -127 / 128))
        x = efficientnet.features(ops, p, x, side)
        # The classifier is linear, so the mean of the views' features gives that of their logits.
        x = ops.mean(ops.reshape(x, (-1, 2, p["classifier.weight"].shape[1])), (1,))
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

    inputs = (Input("images", "uint8", (None, 2, side, side, 3)),)
    return Network("image", inputs, body, config.dimension)


def text_network(config: TextConfig, parameters: Parameters) -> Network[T]:
    """int64 ids and mask (n, t) → (n, dimension): what classes the text is near to, and zeros."""
    p, classes = parameters, parameters["classes"]
    looks = config.dimension - len(classes)

    def body(ops: Operations[T], ids: T, mask: T) -> T:
        logits = ops.linear(_sentence(ops, p, config.blocks, ids, mask), classes)
        meaning = _root_softmax(ops, logits, config.sharpness)
        return ops.concat([meaning, ops.mul(ops.slice(meaning, 1, 0, looks), _number(ops, 0.0))], 1)

    return Network("text", TEXT_INPUTS, body, config.dimension)


def sentence_network(blocks: Blocks, parameters: Parameters) -> Network[T]:
    """int64 ids and mask (n, t) → centred sentence vectors (n, width): the class vectors' space."""

    def body(ops: Operations[T], ids: T, mask: T) -> T:
        return _sentence(ops, parameters, blocks, ids, mask)

    return Network("sentence", TEXT_INPUTS, body, parameters["centre"].size)


def _sentence(ops: Operations[T], p: Parameters, blocks: Blocks, ids: T, mask: T) -> T:
    x = bert.encoder(ops, p, bert.BertConfig(blocks), ids, mask)
    x = ops.l2_normalise(ops.masked_mean(x, mask))
    return ops.l2_normalise(ops.add(x, ops.constant(-p["centre"])))


def _root_softmax(ops: Operations[T], x: T, scale: float) -> T:
    """√softmax(scale·x): softmax of the half, to length 1."""
    return ops.l2_normalise(ops.softmax(ops.mul(x, _number(ops, scale / 2))))


def _number(ops: Operations[T], value: float) -> T:
    return ops.constant(np.array(value, dtype=np.float32))
