"""CLIP's ResNet (Radford et al. 2021, §2.4, after He et al. 2016, arXiv:1512.03385).

Three convolutions make the stem; where a ResNet has a stride, the picture is averaged over squares
(Zhang 2019, arXiv:1904.11486) and the convolution after it has none; and attention, whose query is
the mean of all positions, replaces the last mean. Batch norms are folded into the convolutions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np

from unseen.networks.layers import (
    BATCH_NORM_EPSILON,
    image_inputs,
    linear,
    normalised_pixels,
    tower,
)
from unseen.networks.network import Network, Parameters
from unseen.networks.operations import Array, Operations, as_float32

T = TypeVar("T")


@dataclass(frozen=True)
class ResNetConfig:
    """What a checkpoint's config says. `stages`: how many blocks each of the four has."""

    image_size: tuple[int, int]  # height, width
    stages: tuple[int, ...]
    heads: int
    dimension: int
    scale: tuple[float, float, float]  # of a pixel 0…255, a channel: x·scale + shift
    shift: tuple[float, float, float]


def network(config: ResNetConfig, parameters: Parameters) -> Network[Any]:
    """The image net: uint8 (n, height, width, 3) → `embedding` (n, dimension), `features` (n,
    channels of the last stage), see `layers.tower`."""
    return tower(
        "image",
        image_inputs(config.image_size),
        partial(resnet, config),
        parameters,
        dimension=config.dimension,
    )


def resnet(config: ResNetConfig, ops: Operations[T], p: Parameters, images: T) -> T:
    """uint8 (n, height, width, 3) → what the attention pool gives, (n, channels)."""
    return _attention_pool(ops, p, config.heads, places(config, ops, p, images))


def places(config: ResNetConfig, ops: Operations[T], p: Parameters, images: T) -> T:
    """uint8 (n, height, width, 3) → what the last stage gives, (n, channels, rows, columns)."""
    x = normalised_pixels(ops, images, config.scale, config.shift)
    x = _conv3(ops, p, "stem.0", x, stride=2)
    x = ops.avg_pool(_conv3(ops, p, "stem.2", _conv3(ops, p, "stem.1", x)), 2)
    for stage, count in enumerate(config.stages):
        for index in range(count):
            stride = 2 if stage > 0 and index == 0 else 1
            x = _bottleneck(ops, p, f"stages.{stage}.{index}.", x, stride)
    return x


def _bottleneck(ops: Operations[T], p: Parameters, prefix: str, x: T, stride: int) -> T:
    """Narrow, convolve, widen; the input is added, projected first where its shape differs."""
    h = ops.activation(_conv1(ops, p, prefix + "narrow", x), "relu")
    h = _conv3(ops, p, prefix + "look", h)
    if stride > 1:
        h, x = ops.avg_pool(h, stride), ops.avg_pool(x, stride)
    if prefix + "fit.weight" in p:
        x = _conv1(ops, p, prefix + "fit", x)
    return ops.activation(ops.add(_conv1(ops, p, prefix + "widen", h), x), "relu")


def _attention_pool(ops: Operations[T], p: Parameters, heads: int, x: T) -> T:
    """(n, channels, height, width) → (n, channels): attention to all positions and
    their mean, with the mean as the query."""
    q, tokens, _ = pool_tokens(ops, p, x)
    k, v = (linear(ops, p, name, tokens) for name in ("pool.key", "pool.value"))
    return ops.reshape(ops.attention(q, k, v, heads), (0, -1))


def pool_tokens(ops: Operations[T], p: Parameters, x: T) -> tuple[T, T, T]:
    """(n, channels, height, width) → what the attention pool compares, (n, …, channels): its query;
    all tokens, the mean first, with their positions; and the places without positions."""
    channels = p["pool.query.weight"].shape[1]
    x = ops.transpose(ops.reshape(x, (0, channels, -1)), (0, 2, 1))
    mean = ops.reshape(ops.mean(x, (1,)), (0, 1, channels))
    positions = ops.constant(as_float32(p["pool.positions"]))
    tokens = ops.add(ops.concat([mean, x], axis=1), positions)
    return linear(ops, p, "pool.query", ops.slice(tokens, 1, 0, 1)), tokens, x


def _conv1(ops: Operations[T], p: Parameters, name: str, x: T) -> T:
    return ops.conv(x, p[name + ".weight"], p[name + ".bias"])


def _conv3(ops: Operations[T], p: Parameters, name: str, x: T, stride: int = 1) -> T:
    weight, bias = p[name + ".weight"], p[name + ".bias"]
    return ops.activation(ops.conv(x, weight, bias, stride=stride, padding=(1, 1, 1, 1)), "relu")


def fold_batch_norm(
    weight: Array,
    scale: Array,
    shift: Array,
    mean: Array,
    variance: Array,
    *,
    epsilon: float = BATCH_NORM_EPSILON,
) -> tuple[Array, Array]:
    """A convolution without bias and the batch norm after it as one convolution with a bias.

    Ioffe & Szegedy 2015 (arXiv:1502.03167), at inference; in float64, so that it costs no digits.
    """
    factor = scale.astype(np.float64) / np.sqrt(variance.astype(np.float64) + epsilon)
    folded = weight.astype(np.float64) * factor.reshape(-1, 1, 1, 1)
    return as_float32(folded), as_float32(shift - mean * factor)
