"""EfficientNet (Tan & Le 2019, arXiv:1905.11946) in its Lite form: inverted bottlenecks with ReLU6
and without squeeze-and-excitation. Batch norm is folded into the convolution before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from unseen.networks.operations import Array, Input, Network, Operations, as_float32

T = TypeVar("T")
Parameters = Mapping[str, Array]


@dataclass(frozen=True)
class EfficientNetConfig:
    """What the shapes of the weights do not say."""

    image_size: int
    strides: tuple[int, ...]  # of each block's depthwise convolution
    epsilon: float  # of batch norm
    scale: float  # of a pixel 0…255: x·scale + shift
    shift: float


def network(config: EfficientNetConfig, parameters: Parameters) -> Network[T]:
    """The classifier alone: uint8 (n, size, size, 3) → float32 logits (n, classes)."""

    def body(ops: Operations[T], images: T) -> T:
        return logits(ops, parameters, features(ops, parameters, config, images))

    size = config.image_size
    inputs = (Input("images", "uint8", (None, size, size, 3)),)
    return Network("image", inputs, body, len(parameters["classifier.bias"]))


def features(ops: Operations[T], p: Parameters, config: EfficientNetConfig, images: T) -> T:
    """uint8 (n, size, size, 3) → what the classifier reads, float32 (n, width), not negative."""
    scale, shift = (np.array(value, np.float32) for value in (config.scale, config.shift))
    x = ops.add(ops.mul(ops.pixels(images), ops.constant(scale)), ops.constant(shift))
    x, size = _conv(ops, p, config, "stem", x, config.image_size, stride=2)
    x = ops.activation(x, "relu6")
    for block, stride in enumerate(config.strides):
        x, size = _block(ops, p, config, f"blocks.{block}.", x, size, stride)
    x, _ = _conv(ops, p, config, "head", x, size)
    return ops.mean(ops.activation(x, "relu6"), (2, 3))


def logits(ops: Operations[T], p: Parameters, x: T) -> T:
    """Features (n, width) → (n, classes)."""
    return ops.linear(x, p["classifier.weight"], p["classifier.bias"])


def _block(
    ops: Operations[T],
    p: Parameters,
    config: EfficientNetConfig,
    prefix: str,
    x: T,
    size: int,
    stride: int,
) -> tuple[T, int]:
    """Widen, filter each channel by itself, narrow; and add `x` where the shapes agree."""
    before = x
    channels = p[prefix + "depthwise.weight"].shape[0]  # also those of `x`, where none are added
    if prefix + "expand.weight" in p:
        channels = p[prefix + "expand.weight"].shape[1]
        x, _ = _conv(ops, p, config, prefix + "expand", x, size)
        x = ops.activation(x, "relu6")
    x, new_size = _conv(ops, p, config, prefix + "depthwise", x, size, stride=stride)
    x = ops.activation(x, "relu6")
    x, _ = _conv(ops, p, config, prefix + "project", x, new_size)
    if stride == 1 and p[prefix + "project.weight"].shape[0] == channels:
        x = ops.add(before, x)
    return x, new_size


def _conv(
    ops: Operations[T],
    p: Parameters,
    config: EfficientNetConfig,
    name: str,
    x: T,
    size: int,
    *,
    stride: int = 1,
) -> tuple[T, int]:
    """Convolution and batch norm on (n, channels, size, size) → that, and the new size."""
    weight, bias = fold_batch_norm(p, name, config.epsilon)
    groups = len(weight) if name.endswith("depthwise") else 1
    before, after = same_padding(size, weight.shape[-1], stride)
    padding = (before, before, after, after)
    return ops.conv(x, weight, bias, stride=stride, padding=padding, groups=groups), -(
        -size // stride
    )


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME: ⌈size / stride⌉ outputs, the odd zero at the end."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def fold_batch_norm(p: Parameters, name: str, epsilon: float) -> tuple[Array, Array]:
    """A convolution without bias and the batch norm after it as one convolution with bias."""
    norm = {
        part: p[f"{name}.norm.{part}"].astype(np.float64)
        for part in ("weight", "bias", "mean", "variance")
    }
    factor = norm["weight"] / np.sqrt(norm["variance"] + epsilon)
    weight = p[name + ".weight"].astype(np.float64) * factor.reshape(-1, 1, 1, 1)
    return as_float32(weight), as_float32(norm["bias"] - norm["mean"] * factor)
