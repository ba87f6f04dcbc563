"""Vision transformers whose patches come from a convolutional net: MobileCLIP-B
(arXiv:2311.17049) and ViTamin (Chen et al. 2024, arXiv:2404.02132).

What follows are a transformer's blocks: MobileCLIP-B's are read at the class token, and ViTamin's,
whose mlp has a gate and a norm of its own, by the mean of the tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np

from unseen.networks.layers import (
    fold_normalisation,
    image_inputs,
    norm,
    norm_of_channels,
    normalised_pixels,
    optional_norm,
    tower,
)
from unseen.networks.network import Network, Parameters
from unseen.networks.operations import Array, Operations, as_float32
from unseen.networks.transformer import Blocks, blocks, blocks_for_first_token

T = TypeVar("T")


@dataclass(frozen=True)
class HybridConfig:
    """What a checkpoint's config says.

    `stages`: how many blocks each stage of ViTamin's convolutions has; none: the convolutions are
    MobileCLIP-B's, with as much stride as kernel.
    """

    image_size: tuple[int, int]  # height, width
    width: int
    blocks: Blocks
    dimension: int
    scale: tuple[float, float, float]  # of a pixel 0…255, a channel: x·scale + shift
    shift: tuple[float, float, float]
    stages: tuple[int, ...] = ()


def network(config: HybridConfig, parameters: Parameters) -> Network[Any]:
    """The image net: uint8 (n, height, width, 3) → `embedding` (n, dimension), `features` (n,
    width), see `layers.tower`."""
    return tower(
        "image",
        image_inputs(config.image_size),
        partial(vision, config),
        parameters,
        dimension=config.dimension,
        width=config.width,
    )


def vision(config: HybridConfig, ops: Operations[T], p: Parameters, images: T) -> T:
    """uint8 (n, height, width, 3) → the pooled tokens, (n, width)."""
    x = embedded(config, ops, p, images)
    epsilon = config.blocks.epsilon
    if config.stages:
        x = ops.mean(blocks(ops, p, x, config.blocks), (1,))
        return optional_norm(ops, p, "norm_pooled", x, epsilon)
    x = blocks_for_first_token(ops, p, x, config.blocks)
    return norm(ops, p, "norm_after", x, epsilon)


def embedded(config: HybridConfig, ops: Operations[T], p: Parameters, images: T) -> T:
    """uint8 (n, height, width, 3) → the tokens that enter the first block, (n, tokens, width)."""
    patches = _inverted_residuals if config.stages else _plain_convolutions
    x = patches(config, ops, p, images)
    x = ops.transpose(ops.reshape(x, (0, config.width, -1)), (0, 2, 1))  # (n, patches, width)
    if "class_token" in p:
        x = ops.concat([ops.first_token(p["class_token"], x), x], axis=1)
    return ops.add(x, ops.constant(as_float32(p["positions"]))) if "positions" in p else x


def grid(config: HybridConfig, p: Parameters) -> tuple[int, int]:
    """Rows and columns of patches."""
    height, width = config.image_size
    if config.stages:  # the first convolution, each stage and the last one halve a side
        for _ in range(len(config.stages) + 2):
            height, width = _halved(height), _halved(width)
        return height, width
    for index in range(3):
        stride = p[f"stem.{index}.weight"].shape[2]
        height, width = height // stride, width // stride
    return height, width


def _plain_convolutions(config: HybridConfig, ops: Operations[T], p: Parameters, images: T) -> T:
    """Three convolutions whose stride is their kernel, GELU between them."""
    weight, bias = fold_normalisation(
        p["stem.0.weight"], p["stem.0.bias"], config.scale, config.shift
    )
    x = ops.conv(ops.pixels(images), weight, bias, stride=weight.shape[2])
    for index in (1, 2):
        weight, bias = p[f"stem.{index}.weight"], p[f"stem.{index}.bias"]
        x = ops.conv(ops.activation(x, "gelu"), weight, bias, stride=weight.shape[2])
    return x


def _inverted_residuals(config: HybridConfig, ops: Operations[T], p: Parameters, images: T) -> T:
    """ViTamin's: each stage halves the picture, and so do the first and the last convolution."""
    epsilon = config.blocks.epsilon
    x = normalised_pixels(ops, images, config.scale, config.shift)
    x = norm_of_channels(ops, p, "stem_norm", _conv3(ops, p, "stem.0", x, 2), epsilon)
    x = _conv3(ops, p, "stem.1", ops.activation(x, "gelu"))
    height, width = (_halved(side) for side in config.image_size)
    for stage, count in enumerate(config.stages):
        for block in range(count):
            stride = 2 if block == 0 else 1
            x = _block(ops, p, f"stages.{stage}.{block}.", x, stride, (height, width), epsilon)
            if stride == 2:
                height, width = _halved(height), _halved(width)
    return _conv3(ops, p, "patch", norm_of_channels(ops, p, "patch_norm", x, epsilon), 2)


def _block(
    ops: Operations[T],
    p: Parameters,
    prefix: str,
    x: T,
    stride: int,
    size: tuple[int, int],
    epsilon: float,
) -> T:
    """Widen, filter each channel, narrow; what came in is added, averaged where there is a stride,
    and projected where its width differs."""
    h = norm_of_channels(ops, p, prefix + "norm", x, epsilon)
    h = ops.activation(_conv1(ops, p, prefix + "expand", h), "gelu")
    weight, bias = p[prefix + "filter.weight"], p[prefix + "filter.bias"]
    h = ops.conv(h, weight, bias, stride=stride, padding=(1, 1, 1, 1), groups=weight.shape[0])
    h = _conv1(ops, p, prefix + "narrow", ops.activation(h, "gelu"))
    if stride == 2:
        x = _averaged(ops, x, p[prefix + "expand.weight"].shape[1], size)
    if prefix + "fit.weight" in p:
        x = _conv1(ops, p, prefix + "fit", x)
    return ops.add(h, x)


def _averaged(ops: Operations[T], x: T, channels: int, size: tuple[int, int]) -> T:
    """The mean of 3 × 3 pixels around every second one, of those that are in the picture."""
    ones = np.ones((channels, 1, 3, 3), np.float32)
    sums = ops.conv(x, ones, stride=2, padding=(1, 1, 1, 1), groups=channels)
    down, across = (_counts(side) for side in size)
    return ops.mul(sums, ops.constant((1 / np.outer(down, across)).astype(np.float32)))


def _counts(side: int) -> Array:
    """How many of three pixels around every second one are in a picture of so many."""
    centres = np.arange(0, side, 2)
    return np.minimum(centres + 1, side - 1) - np.maximum(centres - 1, 0) + 1


def _conv1(ops: Operations[T], p: Parameters, name: str, x: T) -> T:
    return ops.conv(x, p[name + ".weight"], p[name + ".bias"])


def _conv3(ops: Operations[T], p: Parameters, name: str, x: T, stride: int = 1) -> T:
    weight, bias = p[name + ".weight"], p[name + ".bias"]
    return ops.conv(x, weight, bias, stride=stride, padding=(1, 1, 1, 1))


def _halved(side: int) -> int:
    return (side + 1) // 2
