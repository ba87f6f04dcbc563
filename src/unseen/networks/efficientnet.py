"""EfficientNet-Lite: inverted residual blocks without squeeze-and-excitation, relu6 throughout.

Tan & Le 2019 (arXiv:1905.11946); the Lite variant is Google's of 2020. Batch norms are folded into
the convolutions when the weights are stored, so a layer is a convolution with a bias.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeVar

from unseen.networks.operations import Array, Operations

T = TypeVar("T")
Parameters = Mapping[str, Array]

# (blocks, stride of the first) of each stage of Lite2; widths and kernels are in the weights.
LITE2_STAGES = ((1, 1), (3, 2), (3, 2), (4, 2), (4, 1), (5, 2), (1, 1))


def features(
    ops: Operations[T],
    p: Parameters,
    x: T,
    side: int,
    stages: tuple[tuple[int, int], ...] = LITE2_STAGES,
) -> T:
    """Normalised pictures (n, 3, side, side) → pooled features (n, 1280)."""
    x, side = _conv(ops, p, "stem", x, side, stride=2)
    x = ops.activation(x, "relu6")
    index = 0
    for blocks, first_stride in stages:
        for block in range(blocks):
            stride = first_stride if block == 0 else 1
            x, side = _block(ops, p, f"blocks.{index}.", x, side, stride)
            index += 1
    x, _ = _conv(ops, p, "head", x, side)
    return ops.mean(ops.activation(x, "relu6"), (2, 3))


def _block(
    ops: Operations[T], p: Parameters, prefix: str, x: T, side: int, stride: int
) -> tuple[T, int]:
    """Widen (but in the first), filter each channel, narrow; add what came in if it fits."""
    before, stem = x, prefix + "expand"
    if stem + ".weight" in p:
        width = p[stem + ".weight"].shape[1]
        x, side = _conv(ops, p, stem, x, side)
        x = ops.activation(x, "relu6")
    else:
        width = p[prefix + "depthwise.weight"].shape[0]
    x, side = _conv(ops, p, prefix + "depthwise", x, side, stride, depthwise=True)
    x, side = _conv(ops, p, prefix + "project", ops.activation(x, "relu6"), side)
    fits = stride == 1 and width == p[prefix + "project.weight"].shape[0]
    return (ops.add(x, before) if fits else x), side


def _conv(
    ops: Operations[T],
    p: Parameters,
    name: str,
    x: T,
    side: int,
    stride: int = 1,
    *,
    depthwise: bool = False,
) -> tuple[T, int]:
    """A convolution with TensorFlow's SAME padding, the odd pixel at the end → and the new side."""
    weight = p[name + ".weight"]
    kernel = weight.shape[2]
    after = math.ceil(side / stride)
    padding = max((after - 1) * stride + kernel - side, 0)
    low, high = padding // 2, padding - padding // 2
    groups = weight.shape[0] if depthwise else 1
    y = ops.conv(
        x,
        weight,
        p[name + ".bias"],
        stride=stride,
        padding=(low, low, high, high),
        groups=groups,
    )
    return y, after
