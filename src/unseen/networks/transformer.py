"""The transformer block that image and text nets of CLIP, SigLIP and EVA share, and their pooling
by attention.

What a checkpoint has no parameter for a block does not do: the norm of what attention gives, the
gate of the mlp and the norm of its hidden values (EVA-02, Fang et al. 2023, arXiv:2303.11331).

Rotary positions (Su et al. 2021, arXiv:2104.09864), as EVA-02 and Perception Encoder (Bolya et al.
2025, arXiv:2504.13181) have them: queries and keys are turned by angles that grow with a patch's
row and column. A head's rows are expected with the first of each pair in its first half and the
second in its second half, as `models.weights.names.RotaryRows` puts them: the product of a query
and a key is the same sum in another order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from unseen.networks.layers import linear, norm, optional_norm
from unseen.networks.network import Parameters
from unseen.networks.operations import Array, Operations, as_float32

T = TypeVar("T")

BASE = 10_000.0  # of the frequencies of rotary positions


@dataclass(frozen=True)
class Blocks:
    """What a checkpoint's config says of a stack of blocks; `epsilon` is that of every norm.

    `post_norm`: a branch is normalised before it is added, and not what it is made of.
    """

    layers: int
    heads: int
    activation: str
    epsilon: float
    post_norm: bool = False


@dataclass(frozen=True)
class Rotary:
    """Where the patches of a picture lie, for their angles.

    `first`: the coordinate whose angles come first, "row" or "column". Rows and columns are counted
    from `start`, and scaled so that a side has the length `side`.
    """

    first: str
    start: float
    side: float


@dataclass(frozen=True)
class Rotation(Generic[T]):
    """Factors of every token, (tokens, width) each: x·cos + swapped(x)·sin."""

    cos: T
    sin: T
    heads: int
    half: int  # of a head's width


def blocks(
    ops: Operations[T],
    p: Parameters,
    x: T,
    config: Blocks,
    *,
    causal: bool = False,
    mask: T | None = None,
    rotation: Rotation[T] | None = None,
) -> T:
    """Every layer in turn on (n, tokens, width). `causal`, `mask`: as of `attention`."""
    for layer in range(config.layers):
        x = block(
            ops, p, f"layers.{layer}.", x, config, causal=causal, mask=mask, rotation=rotation
        )
    return x


def blocks_for_first_token(
    ops: Operations[T],
    p: Parameters,
    x: T,
    config: Blocks,
    *,
    mask: T | None = None,
    rotation: Rotation[T] | None = None,
) -> T:
    """As `blocks`, for a reader of the first token alone: (n, tokens, width) → (n, width).

    The last layer computes no query but that token's. Keys and values still come from every token
    and nothing is masked, so this is exact; it saves about 5 %.
    """
    for layer in range(config.layers - 1):
        x = block(ops, p, f"layers.{layer}.", x, config, mask=mask, rotation=rotation)
    prefix = f"layers.{config.layers - 1}."
    h = before(ops, p, prefix + "norm1", x, config)
    q = linear(ops, p, prefix + "query", ops.slice(h, 1, 0, 1))
    k, v = (linear(ops, p, prefix + name, h) for name in ("key", "value"))
    if rotation is not None:
        q, k = rotated(ops, q, rotation, first_token=True), rotated(ops, k, rotation)
    h = ops.attention(q, k, v, config.heads, mask=mask)
    x = attended(ops, p, prefix, ops.slice(x, 1, 0, 1), h, config)
    return ops.reshape(mlp(ops, p, prefix, x, config), (0, -1))


def block(
    ops: Operations[T],
    p: Parameters,
    prefix: str,
    x: T,
    config: Blocks,
    *,
    causal: bool = False,
    mask: T | None = None,
    rotation: Rotation[T] | None = None,
) -> T:
    """One layer on (n, tokens, width): x + attention(norm x), then x + mlp(norm x)."""
    h = before(ops, p, prefix + "norm1", x, config)
    q, k, v = (linear(ops, p, prefix + name, h) for name in ("query", "key", "value"))
    if rotation is not None:
        q, k = (rotated(ops, x, rotation) for x in (q, k))
    h = ops.attention(q, k, v, config.heads, causal=causal, mask=mask)
    return mlp(ops, p, prefix, attended(ops, p, prefix, x, h, config), config)


def mlp(ops: Operations[T], p: Parameters, prefix: str, x: T, config: Blocks) -> T:
    """x + mlp(norm x), the second half of a block."""
    h = before(ops, p, prefix + "norm2", x, config)
    h = optional_norm(ops, p, prefix + "mlp_norm", h, config.epsilon)  # ViTamin's
    if prefix + "gate.weight" in p:  # SwiGLU (Shazeer 2020, arXiv:2002.05202)
        gate = ops.activation(linear(ops, p, prefix + "gate", h), config.activation)
        h = ops.mul(gate, linear(ops, p, prefix + "mlp1", h))
    else:
        h = ops.activation(linear(ops, p, prefix + "mlp1", h), config.activation)
    h = optional_norm(ops, p, prefix + "hidden_norm", h, config.epsilon)
    return _added(ops, p, prefix + "norm2", x, linear(ops, p, prefix + "mlp2", h), config)


def attention_pool(
    ops: Operations[T],
    p: Parameters,
    x: T,
    config: Blocks,
    heads: int | None = None,
    mask: T | None = None,
) -> T:
    """(n, tokens, width) → (n, width): a learned query ("probe") over all tokens, then a block's
    mlp where there is one. `heads`: its own, if they are not the blocks'."""
    query = optional_norm(ops, p, "pool.query_norm", ops.first_token(p["probe"], x), config.epsilon)
    q = linear(ops, p, "pool.query", query)
    x = optional_norm(ops, p, "pool.key_norm", x, config.epsilon)
    k, v = (linear(ops, p, name, x) for name in ("pool.key", "pool.value"))
    h = linear(ops, p, "pool.out", ops.attention(q, k, v, heads or config.heads, mask=mask))
    return ops.reshape(mlp(ops, p, "pool.", h, config) if "pool.mlp1.weight" in p else h, (0, -1))


def before(ops: Operations[T], p: Parameters, name: str, x: T, config: Blocks) -> T:
    """What a branch is made of: x by its norm, or x where the norm comes after the branch."""
    return x if config.post_norm else norm(ops, p, name, x, config.epsilon)


def attended(ops: Operations[T], p: Parameters, prefix: str, x: T, h: T, config: Blocks) -> T:
    """x, and what its attention gave."""
    h = optional_norm(ops, p, prefix + "attention_norm", h, config.epsilon)
    return _added(ops, p, prefix + "norm1", x, linear(ops, p, prefix + "out", h), config)


def _added(ops: Operations[T], p: Parameters, name: str, x: T, branch: T, config: Blocks) -> T:
    return ops.add(x, norm(ops, p, name, branch, config.epsilon) if config.post_norm else branch)


def rotation(
    ops: Operations[T],
    config: Rotary,
    grid: tuple[int, int],
    *,
    heads: int,
    width: int,
    leading: int,
) -> Rotation[T]:
    """The factors for `leading` tokens that are not turned, then the patches of a grid (down,
    across), row by row."""
    cos, sin = factors(config, grid, heads, width, leading)
    return Rotation(ops.constant(cos), ops.constant(sin), heads, width // heads // 2)


def factors(
    config: Rotary, grid: tuple[int, int], heads: int, width: int, leading: int
) -> tuple[Array, Array]:
    """cos and sin of `rotation`, float32 (leading + patches, width); computed in float64."""
    half = width // heads // 2
    frequencies = BASE ** -(np.arange(half // 2) / (half // 2))
    rows, columns = ((np.arange(size) + config.start) / size * config.side for size in grid)
    places = {
        "row": np.repeat(rows, grid[1]),
        "column": np.tile(columns, grid[0]),
    }
    second = "column" if config.first == "row" else "row"
    angles = np.concatenate(
        [np.outer(places[name], frequencies) for name in (config.first, second)], 1
    )
    angles = np.concatenate([np.zeros((leading, half)), angles])
    cos, sin = np.cos(angles), np.sin(angles)
    # The minus of the first half: (a, b) is turned to (a·cos - b·sin, b·cos + a·sin).
    tables = np.concatenate([cos, cos], 1), np.concatenate([-sin, sin], 1)
    cos, sin = (np.tile(table, (1, heads)) for table in tables)
    return as_float32(cos), as_float32(sin)


def rotated(ops: Operations[T], x: T, by: Rotation[T], *, first_token: bool = False) -> T:
    """Queries or keys (n, tokens, width) turned; `first_token`: they are of that token alone."""
    cos, sin = by.cos, by.sin
    if first_token:
        cos, sin = (ops.slice(table, 0, 0, 1) for table in (cos, sin))
    heads = ops.reshape(x, (0, 0, by.heads, -1))
    halves = [ops.slice(heads, 3, by.half, None), ops.slice(heads, 3, 0, by.half)]
    swapped = ops.reshape(ops.concat(halves, 3), (0, 0, -1))
    return ops.add(ops.mul(x, cos), ops.mul(swapped, sin))
