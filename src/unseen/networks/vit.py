"""The vision transformer (Dosovitskiy et al. 2021, arXiv:2010.11929) as CLIP (Radford et al. 2021,
arXiv:2103.00020) and SigLIP (Zhai et al. 2023, arXiv:2303.15343) have it.

What a checkpoint has no parameter for it does not do: the class token, the norms before the blocks,
after them and after pooling, and the projection are each there or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from unseen.networks.operations import Array, Input, Network, Operations, as_float32
from unseen.networks.transformer import Blocks, blocks, blocks_for_first_token, linear, mlp

T = TypeVar("T")
Parameters = Mapping[str, Array]

# What is read of the tokens: the class token, the mean of the patches, or what a learned query
# ("probe") attends to (the multihead attention pooling of Lee et al. 2019, arXiv:1810.00825).
POOLINGS = ("token", "mean", "attention")


@dataclass(frozen=True)
class VisionConfig:
    """What a checkpoint's config says of its image net."""

    image_size: tuple[int, int]  # height, width
    patch: int
    width: int
    blocks: Blocks
    dimension: int
    scale: tuple[float, float, float]  # of a pixel 0…255, a channel: x·scale + shift
    shift: tuple[float, float, float]
    pooling: str = "token"


def network(config: VisionConfig, parameters: Parameters) -> Network[T]:
    """The image net: uint8 (n, height, width, 3) → float32 (n, dimension), length 1."""
    height, width = config.image_size

    def body(ops: Operations[T], images: T) -> T:
        return ops.l2_normalise(vision(ops, parameters, config, images))

    inputs = (Input("images", "uint8", (None, height, width, 3)),)
    return Network("image", inputs, body, config.dimension)


def vision(ops: Operations[T], p: Parameters, config: VisionConfig, images: T) -> T:
    """uint8 (n, height, width, 3) → the pooled and projected tokens, (n, dimension)."""
    weight, bias = fold_normalisation(
        p["patch.weight"], p.get("patch.bias"), config.scale, config.shift
    )
    x = ops.conv(ops.pixels(images), weight, bias, stride=config.patch)
    x = ops.transpose(ops.reshape(x, (0, config.width, -1)), (0, 2, 1))  # (n, patches, width)
    if "class_token" in p:
        x = ops.concat([ops.first_token(p["class_token"], x), x], axis=1)
    x = ops.add(x, ops.constant(as_float32(p["positions"])))
    x = _norm(ops, p, "norm_before", x, config)
    if config.pooling == "token":
        x = _norm(ops, p, "norm_after", blocks_for_first_token(ops, p, x, config.blocks), config)
    else:
        x = _norm(ops, p, "norm_after", blocks(ops, p, x, config.blocks), config)
    if config.pooling == "mean":
        x = ops.mean(ops.slice(x, 1, 1, None) if "class_token" in p else x, (1,))
    elif config.pooling == "attention":
        x = _attention_pool(ops, p, x, config)
    x = _norm(ops, p, "norm_pooled", x, config)
    return linear(ops, p, "projection", x) if "projection.weight" in p else x


def _attention_pool(ops: Operations[T], p: Parameters, x: T, config: VisionConfig) -> T:
    """(n, tokens, width) → (n, width): a learned query over all tokens, then a block's mlp."""
    q = linear(ops, p, "pool.query", ops.first_token(p["probe"], x))
    k, v = (linear(ops, p, name, x) for name in ("pool.key", "pool.value"))
    h = linear(ops, p, "pool.out", ops.attention(q, k, v, config.blocks.heads))
    return ops.reshape(mlp(ops, p, "pool.", h, config.blocks), (0, -1))


def _norm(ops: Operations[T], p: Parameters, name: str, x: T, config: VisionConfig) -> T:
    if name + ".weight" not in p:
        return x
    return ops.layer_norm(x, p[name + ".weight"], p[name + ".bias"], config.blocks.epsilon)


def stretch_positions(table: Array, old: tuple[int, int], new: tuple[int, int]) -> Array:
    """Positions of the class token and a grid (1 + h·w, width) → the same for another grid.

    By cubic convolution (Keys 1981) as torch has it: a = -0.75, the grids' outer edges on one
    another, at the edge the last row again; in float64, so that it costs no digits.
    """
    grid = table[1:].astype(np.float64).reshape(*old, -1)
    down, across = (_cubic(o, n) for o, n in zip(old, new, strict=True))
    stretched = np.einsum("ih,jw,hwc->ijc", down, across, grid, optimize=True)
    return as_float32(np.concatenate([table[:1], stretched.reshape(-1, table.shape[1])]))


def _cubic(old: int, new: int) -> Array:
    """(new, old): of what each of the `new` points along a side is made."""
    places = (np.arange(new) + 0.5) * old / new - 0.5
    first = np.floor(places).astype(np.int64)
    made = np.zeros((new, old))
    for reach in (-1, 0, 1, 2):
        distance = np.abs(places - (first + reach))
        near = (1.25 * distance - 2.25) * distance**2 + 1
        far = ((-0.75 * distance + 3.75) * distance - 6) * distance + 3
        weight = np.where(distance <= 1, near, far)
        np.add.at(made, (np.arange(new), np.clip(first + reach, 0, old - 1)), weight)
    return made


def fold_normalisation(
    weight: Array,
    bias: Array | None,
    scale: tuple[float, float, float],
    shift: tuple[float, float, float],
) -> tuple[Array, Array]:
    """The patch convolution of x·scale + shift as one of x itself.

    Exact because that convolution has no padding; done in float64, so that it costs no digits.
    """
    kernel = weight.astype(np.float64)
    constant = (kernel * np.reshape(shift, (1, 3, 1, 1))).sum((1, 2, 3))
    if bias is not None:
        constant = constant + bias
    return as_float32(kernel * np.reshape(scale, (1, 3, 1, 1))), as_float32(constant)
