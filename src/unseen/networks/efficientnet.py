"""EfficientNet (Tan & Le 2019, arXiv:1905.11946): inverted residual blocks, as ALIGN has them, and
as Google's Lite variant of 2020 has them, without squeeze-and-excitation and with relu6.

Batch norms are folded into the convolutions, so a layer is a convolution with a bias. What a
checkpoint has no parameter for it does not do: the widening and the squeeze of a block.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from unseen.networks.layers import excitation, image_inputs, normalised_pixels, tower
from unseen.networks.network import Network, Parameters
from unseen.networks.operations import Operations

T = TypeVar("T")
Padding = tuple[int, int, int, int]  # zeros: top, left, bottom, right

NO_PADDING = (0, 0, 0, 0)
# (blocks, stride of the first) of each stage of Lite2; widths and kernels are in the weights.
LITE2_STAGES = ((1, 1), (3, 2), (3, 2), (4, 2), (4, 1), (5, 2), (1, 1))
# (width, side of the kernels, how much a block widens) of the same stages.
LITE2_WIDTHS = (
    (16, 3, 1),
    (24, 3, 6),
    (48, 5, 6),
    (88, 3, 6),
    (120, 5, 6),
    (208, 5, 6),
    (352, 3, 6),
)
LITE2_ENDS = (32, 1280)  # widths of the stem and of the head


@dataclass(frozen=True)
class Block:
    """What of a block is not in its weights. `adds`: what came in is added to what comes out."""

    stride: int
    padding: Padding
    adds: bool


@dataclass(frozen=True)
class EfficientNetConfig:
    """What a checkpoint's config says of an image net without a head."""

    image_size: tuple[int, int]  # height, width
    blocks: tuple[Block, ...]
    activation: str
    dimension: int
    scale: tuple[float, float, float]  # of a pixel 0…255, a channel: x·scale + shift
    shift: tuple[float, float, float]


def network(config: EfficientNetConfig, parameters: Parameters) -> Network[Any]:
    """The image net: uint8 (n, height, width, 3) → `embedding` and `features`, both (n,
    dimension), see `layers.tower`."""
    return tower(
        "image",
        image_inputs(config.image_size),
        partial(vision, config),
        parameters,
        dimension=config.dimension,
        width=config.dimension,
    )


def vision(config: EfficientNetConfig, ops: Operations[T], p: Parameters, images: T) -> T:
    """uint8 (n, height, width, 3) → the mean of the last block, (n, dimension)."""
    return ops.mean(places(config, ops, p, images), (2, 3))


def places(config: EfficientNetConfig, ops: Operations[T], p: Parameters, images: T) -> T:
    """uint8 (n, height, width, 3) → what the last block gives, (n, dimension, rows, columns)."""
    x = normalised_pixels(ops, images, config.scale, config.shift)
    x = ops.activation(_conv(ops, p, "stem", x, 2, (0, 0, 1, 1)), config.activation)
    for index, block in enumerate(config.blocks):
        x = _block(ops, p, f"blocks.{index}.", x, block, config.activation)
    return x


def grid(config: EfficientNetConfig, p: Parameters) -> tuple[int, int]:
    """Rows and columns of `places`."""
    sides = []
    for axis, side in enumerate(config.image_size):
        side = (side + 1 - 3) // 2 + 1  # the stem: three wide, one zero at the end
        for index, block in enumerate(config.blocks):
            kernel = p[f"blocks.{index}.depthwise.weight"].shape[2 + axis]
            zeros = block.padding[axis] + block.padding[2 + axis]
            side = (side + zeros - kernel) // block.stride + 1
        sides.append(side)
    return sides[0], sides[1]


def features(
    ops: Operations[T],
    p: Parameters,
    x: T,
    side: int,
    stages: tuple[tuple[int, int], ...] = LITE2_STAGES,
) -> T:
    """Lite: normalised pictures (n, 3, side, side) → pooled features (n, 1280)."""
    return ops.mean(lite_places(ops, p, x, side, stages), (2, 3))


def lite_grid(side: int) -> int:
    """Rows, and columns, of `lite_places` of pictures of `side` × `side`."""
    for _, stride in ((1, 2), *LITE2_STAGES):
        side = math.ceil(side / stride)
    return side


def lite_places(
    ops: Operations[T],
    p: Parameters,
    x: T,
    side: int,
    stages: tuple[tuple[int, int], ...] = LITE2_STAGES,
) -> T:
    """Lite: normalised pictures (n, 3, side, side) → (n, 1280, rows, columns), before the mean."""
    x = _conv(ops, p, "stem", x, 2, _same(side, p["stem.weight"].shape[2], 2))
    x, side = ops.activation(x, "relu6"), math.ceil(side / 2)
    index = 0
    for blocks, first_stride in stages:
        for number in range(blocks):
            prefix, stride = f"blocks.{index}.", first_stride if number == 0 else 1
            x = _block(ops, p, prefix, x, _lite(p, prefix, side, stride), "relu6")
            side = math.ceil(side / stride)
            index += 1
    return ops.activation(_conv(ops, p, "head", x), "relu6")


def lite2_shapes() -> dict[str, tuple[int, ...]]:
    """The parameters that `features` wants for Lite2, and their shapes."""
    before, last = LITE2_ENDS
    layers = {"stem": (before, 3, 3, 3)}
    index = 0
    for (blocks, _), (width, kernel, wider) in zip(LITE2_STAGES, LITE2_WIDTHS, strict=True):
        for _ in range(blocks):
            wide = before * wider
            if wider > 1:
                layers[f"blocks.{index}.expand"] = (wide, before, 1, 1)
            layers[f"blocks.{index}.depthwise"] = (wide, 1, kernel, kernel)
            layers[f"blocks.{index}.project"] = (width, wide, 1, 1)
            before, index = width, index + 1
    layers["head"] = (last, before, 1, 1)
    weights = {f"{name}.weight": shape for name, shape in layers.items()}
    return weights | {f"{name}.bias": shape[:1] for name, shape in layers.items()}


def _lite(p: Parameters, prefix: str, side: int, stride: int) -> Block:
    """A block of Lite, which adds wherever the widths fit."""
    depthwise = p[prefix + "depthwise.weight"].shape
    expand = prefix + "expand.weight"
    before = p[expand].shape[1] if expand in p else depthwise[0]
    fits = stride == 1 and before == p[prefix + "project.weight"].shape[0]
    return Block(stride, _same(side, depthwise[2], stride), fits)


def _same(side: int, kernel: int, stride: int) -> Padding:
    """TensorFlow's SAME: as many outputs as strides fit, the odd pixel at the end."""
    padding = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
    low, high = padding // 2, padding - padding // 2
    return low, low, high, high


def _block(
    ops: Operations[T], p: Parameters, prefix: str, x: T, block: Block, activation: str
) -> T:
    """Widen, filter each channel, weigh the channels, narrow; add what came in."""
    h = x
    if prefix + "expand.weight" in p:
        h = ops.activation(_conv(ops, p, prefix + "expand", h), activation)
    weight, bias = p[prefix + "depthwise.weight"], p[prefix + "depthwise.bias"]
    h = ops.conv(
        h, weight, bias, stride=block.stride, padding=block.padding, groups=weight.shape[0]
    )
    h = ops.activation(h, activation)
    if prefix + "squeeze.weight" in p:
        h = ops.mul(h, excitation(ops, p, prefix, h, activation))
    h = _conv(ops, p, prefix + "project", h)
    return ops.add(h, x) if block.adds else h


def _conv(
    ops: Operations[T],
    p: Parameters,
    name: str,
    x: T,
    stride: int = 1,
    padding: Padding = NO_PADDING,
) -> T:
    return ops.conv(x, p[name + ".weight"], p[name + ".bias"], stride=stride, padding=padding)
