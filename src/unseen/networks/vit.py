"""The vision transformer (Dosovitskiy et al. 2021, arXiv:2010.11929) as CLIP (Radford et al. 2021,
arXiv:2103.00020) and SigLIP (Zhai et al. 2023, arXiv:2303.15343) have it; and as SigLIP 2 of any
resolution (NaFlex; Tschannen et al. 2025, arXiv:2502.14786), over as many patches as a picture has,
whose positions are stretched to the picture's shape.

What a checkpoint has no parameter for it does not do: the class token, the norms before the blocks,
after them and after pooling, registers and the projection are each there or not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np

from unseen.networks.layers import fold_normalisation, image_inputs, optional_norm, tower
from unseen.networks.network import Input, Network, Parameters
from unseen.networks.operations import Array, Operations, as_float32
from unseen.networks.transformer import (
    Blocks,
    Rotary,
    Rotation,
    attention_pool,
    blocks,
    blocks_for_first_token,
    rotation,
)

T = TypeVar("T")


@dataclass(frozen=True)
class VisionConfig:
    """What a checkpoint's config says of its image net.

    `pooling`: which vector the tokens give: "token", the class token; "mean", the mean of the
    patches; "attention", what a learned query ("probe") attends to (the multihead attention
    pooling of Lee et al. 2019, arXiv:1810.00825), with `pool_heads` heads; None: the blocks'.
    `rotary`: how queries and keys are turned; None: they are not. `pool_width`: of what the pool
    gives, if that is not the tokens'.
    """

    image_size: tuple[int, int]  # height, width
    patch: int
    width: int
    blocks: Blocks
    dimension: int
    scale: tuple[float, float, float]  # of a pixel 0…255, a channel: x·scale + shift
    shift: tuple[float, float, float]
    pooling: str = "token"
    pool_heads: int | None = None
    rotary: Rotary | None = None
    pool_width: int | None = None


@dataclass(frozen=True)
class NaFlexConfig:
    """What a checkpoint's config says of a net for any shape; `side`: of the positions' square."""

    patch: int
    side: int
    width: int
    blocks: Blocks
    dimension: int
    scale: tuple[float, float, float]  # of a pixel 0…255, a channel: x·scale + shift
    shift: tuple[float, float, float]


def network(config: VisionConfig, parameters: Parameters) -> Network[Any]:
    """The image net: uint8 (n, height, width, 3) → `embedding` (n, dimension), `features` (n,
    width), see `layers.tower`."""
    return tower(
        "image",
        image_inputs(config.image_size),
        partial(vision, config),
        parameters,
        dimension=config.dimension,
        width=config.pool_width or config.width,
    )


def masked_network(config: VisionConfig, parameters: Parameters) -> Network[Any]:
    """The image net of a picture of which some patches are gone: nobody attends to them.

    Its second input `mask`, int64 (n, tokens), is 0 for a token that is gone; the class token,
    where there is one, comes first and stays.
    """
    inputs = (
        *image_inputs(config.image_size),
        Input("mask", "int64", (None, tokens(config, parameters))),
    )
    return tower(
        "masked",
        inputs,
        partial(vision, config),
        parameters,
        dimension=config.dimension,
        width=config.pool_width or config.width,
    )


def patches(config: VisionConfig) -> tuple[int, int]:
    """Rows and columns of patches."""
    height, width = config.image_size
    return height // config.patch, width // config.patch


def tokens(config: VisionConfig, parameters: Parameters) -> int:
    """How many tokens a picture has, a class token and registers among them."""
    return math.prod(patches(config)) + leading(parameters)


def leading(parameters: Parameters) -> int:
    """How many tokens come before the patches: the class token, and registers."""
    registers = len(parameters["registers"]) if "registers" in parameters else 0
    return int("class_token" in parameters) + registers


def vision(
    config: VisionConfig, ops: Operations[T], p: Parameters, images: T, mask: T | None = None
) -> T:
    """uint8 (n, height, width, 3) → the pooled tokens, (n, width)."""
    x = embedded(config, ops, p, images)
    encode = blocks_for_first_token if config.pooling == "token" else blocks
    x = encode(ops, p, x, config.blocks, mask=mask, rotation=turning(config, ops, p))
    x = optional_norm(ops, p, "norm_after", x, config.blocks.epsilon)
    if config.pooling == "mean":
        first = leading(p)
        x = ops.slice(x, 1, first, None) if first else x
        if mask is None:
            x = ops.mean(x, (1,))
        else:
            x = ops.masked_mean(x, ops.slice(mask, 1, first, None))
    elif config.pooling == "attention":
        x = attention_pool(ops, p, x, config.blocks, config.pool_heads, mask)
    return optional_norm(ops, p, "norm_pooled", x, config.blocks.epsilon)


def embedded(config: VisionConfig, ops: Operations[T], p: Parameters, images: T) -> T:
    """uint8 (n, height, width, 3) → the tokens that enter the first block, (n, tokens, width)."""
    weight, bias = fold_normalisation(
        p["patch.weight"], p.get("patch.bias"), config.scale, config.shift
    )
    x = ops.conv(ops.pixels(images), weight, bias, stride=config.patch)
    x = ops.transpose(ops.reshape(x, (0, config.width, -1)), (0, 2, 1))  # (n, patches, width)
    if "class_token" in p:
        x = ops.concat([ops.first_token(p["class_token"], x), x], axis=1)
    x = ops.add(x, ops.constant(as_float32(p["positions"])))
    if "registers" in p:
        registers = [ops.first_token(row, x) for row in p["registers"]]
        x = ops.concat([ops.slice(x, 1, 0, 1), *registers, ops.slice(x, 1, 1, None)], 1)
    return optional_norm(ops, p, "norm_before", x, config.blocks.epsilon)


def turning(config: VisionConfig, ops: Operations[T], p: Parameters) -> Rotation[T] | None:
    """How queries and keys of every block are turned; None where they are not."""
    if config.rotary is None:
        return None
    return rotation(
        ops,
        config.rotary,
        patches(config),
        heads=config.blocks.heads,
        width=config.width,
        leading=leading(p),
    )


def naflex_network(config: NaFlexConfig, parameters: Parameters) -> Network[Any]:
    """The image net, for t patches a picture, of which the mask hides those that pad it → see
    `layers.tower`. The inputs: uint8 (n, t · patch, patch, 3), the patches one below the other;
    float32 (n, t, side) twice, the weights of rows and of columns of positions; int64 (n, t)."""
    inputs = (
        Input("patches", "uint8", (None, None, config.patch, 3)),
        Input("rows", "float32", (None, None, config.side)),
        Input("columns", "float32", (None, None, config.side)),
        Input("mask", "int64", (None, None)),
    )
    return tower(
        "image",
        inputs,
        partial(naflex_vision, config),
        parameters,
        dimension=config.dimension,
        width=config.width,
    )


def naflex_vision(
    config: NaFlexConfig,
    ops: Operations[T],
    p: Parameters,
    patches: T,
    rows: T,
    columns: T,
    mask: T,
) -> T:
    """The inputs of `naflex_network` → the pooled tokens, (n, width)."""
    kernel = p["patch.weight"].reshape(config.width, config.patch, config.patch, 3)
    weight, bias = fold_normalisation(
        kernel.transpose(0, 3, 1, 2), p.get("patch.bias"), config.scale, config.shift
    )
    x = ops.conv(ops.pixels(patches), weight, bias, stride=config.patch)  # (n, width, t, 1)
    x = ops.transpose(ops.reshape(x, (0, config.width, -1)), (0, 2, 1))
    places = ops.mul(ops.reshape(rows, (0, 0, -1, 1)), ops.reshape(columns, (0, 0, 1, -1)))
    places = ops.reshape(places, (0, 0, config.side * config.side))
    positions = ops.matmul(places, ops.constant(as_float32(p["positions"])))
    x = blocks(ops, p, ops.add(x, positions), config.blocks, mask=mask)
    x = optional_norm(ops, p, "norm_after", x, config.blocks.epsilon)
    return attention_pool(ops, p, x, config.blocks, mask=mask)


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
    """(new, old): the weights of the old points along a side in each of the `new` ones."""
    centres = (np.arange(new) + 0.5) * old / new - 0.5
    first = np.floor(centres).astype(np.int64)
    weights = np.zeros((new, old))
    for offset in (-1, 0, 1, 2):
        distance = np.abs(centres - (first + offset))
        inner = (1.25 * distance - 2.25) * distance**2 + 1  # up to a distance of 1
        outer = ((-0.75 * distance + 3.75) * distance - 6) * distance + 3  # from 1 to 2
        weight = np.where(distance <= 1, inner, outer)
        np.add.at(weights, (np.arange(new), np.clip(first + offset, 0, old - 1)), weight)
    return weights
