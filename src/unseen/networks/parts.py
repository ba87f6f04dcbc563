"""What each place of a picture adds to its embedding: the image nets again, with other outputs.

A network of this file has one output, `parts` (n, cells + 1, width): for each cell of its grid a
row, and last the vector that the tower's head is given, of which the rows are parts. What follows
(norms, projection, length) is computed from that output by networks/linearised.py.

A transformer that is read at one token: what that token receives from token j in block i is
u_j = Σ_h A_h[0, j] · W_o,h v_h,j, and its last value is the sum of all these, of the MLPs, and of
its own first value (the decomposition of Gandelsman et al. 2023, arXiv:2310.05916). Token j is by
then a mixture of patches: it is spread over where it came from by R = Π (½ mean_h A + ½ I)
(attention rollout, Abnar & Zuidema 2020, arXiv:2005.00928), whose rows sum to 1, so the total stays
the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numpy as np

from unseen.networks import (
    builtin,
    convnext,
    distilled,
    efficientnet,
    fastvit,
    hybrid,
    resnet,
    vit,
)
from unseen.networks.layers import image_inputs, linear, norm, optional_norm
from unseen.networks.network import Input, Network, Parameters, single_output
from unseen.networks.operations import Operations, as_float32
from unseen.networks.transformer import Blocks, Rotation, attended, before, mlp, rotated

T = TypeVar("T")

NAME = "parts"  # of these networks, and of their output


def _network(
    body: Callable[..., Any],
    inputs: tuple[Input, ...],
    cells: int,
    width: int,
    parameters: Parameters,
) -> Network[Any]:
    shape = (None, cells + 1, width)
    return single_output(NAME, inputs, body, shape, output=NAME, parameters=parameters)


# vision transformers

# What enters the first block, and how queries and keys are turned, of pictures.
Begin = Callable[[Any, Parameters, Any], tuple[Any, Rotation[Any] | None]]


def vision_network(config: vit.VisionConfig, parameters: Parameters) -> Network[Any]:
    """uint8 (n, height, width, 3) → `parts` (n, patches + 1, width).

    The last row is, by the pooling, the class token after the last block; what the learned query
    receives, before the MLP of the pool; or the mean of the patches after their norm.
    """

    def begin(ops: Operations[T], p: Parameters, images: T) -> tuple[T, Rotation[T] | None]:
        return vit.embedded(config, ops, p, images), vit.turning(config, ops, p)

    cells = math.prod(vit.patches(config))
    body = partial(_POOLINGS[config.pooling], config, begin, cells)
    width = config.pool_width or config.width
    return _network(body, image_inputs(config.image_size), cells, width, parameters)


def vision_grid(config: vit.VisionConfig, parameters: Parameters) -> tuple[int, int]:
    """Rows and columns of patches."""
    return vit.patches(config)


def hybrid_network(config: hybrid.HybridConfig, parameters: Parameters) -> Network[Any]:
    """As `vision_network`, of patches that convolutions made: each has seen its neighbours."""

    def begin(ops: Operations[T], p: Parameters, images: T) -> tuple[T, None]:
        return hybrid.embedded(config, ops, p, images), None

    cells = math.prod(hybrid.grid(config, parameters))
    body = partial(_mean if config.stages else _token, config, begin, cells)
    return _network(body, image_inputs(config.image_size), cells, config.width, parameters)


def _token(
    config: vit.VisionConfig | hybrid.HybridConfig,
    begin: Begin,
    cells: int,
    ops: Operations[T],
    p: Parameters,
    images: T,
) -> T:
    """Read at the class token: exact."""
    x, turning = begin(ops, p, images)
    blocks, spread, rows = config.blocks, None, None
    for layer in range(blocks.layers):
        prefix, last = f"layers.{layer}.", layer == blocks.layers - 1
        weights, v = _looked_at(ops, p, prefix, x, blocks, turning, first_token=last)
        mixed = _mixed(ops, weights, v, blocks.heads)
        added = _received(ops, p, prefix, weights, v, mixed, blocks)
        if spread is not None:
            added = ops.matmul(ops.transpose(spread, (0, 2, 1)), added)
        rows = added if rows is None else ops.add(rows, added)
        x = ops.slice(x, 1, 0, 1) if last else x
        x = mlp(ops, p, prefix, attended(ops, p, prefix, x, mixed, blocks), blocks)
        if not last:
            spread = _spread(ops, weights, spread, cells + vit.leading(p))
    assert rows is not None
    return ops.concat([_of_patches(ops, p, rows), x], axis=1)


def _attention(
    config: vit.VisionConfig,
    begin: Begin,
    cells: int,
    ops: Operations[T],
    p: Parameters,
    images: T,
) -> T:
    """Read by a learned query: the rows are exact before the MLP of the pool."""
    x, spread = _encoded(config, begin, cells, ops, p, images)
    heads, epsilon = config.pool_heads or config.blocks.heads, config.blocks.epsilon
    query = optional_norm(ops, p, "pool.query_norm", ops.first_token(p["probe"], x), epsilon)
    x = optional_norm(ops, p, "pool.key_norm", x, epsilon)
    q = linear(ops, p, "pool.query", query)
    k, v = (linear(ops, p, name, x) for name in ("pool.key", "pool.value"))
    weights = ops.attention_weights(q, k, heads)
    each = ops.linear(_from_each(ops, weights, v, heads), p["pool.out.weight"])
    pooled = linear(ops, p, "pool.out", _mixed(ops, weights, v, heads))
    return ops.concat([_of_patches(ops, p, ops.matmul(spread, each)), pooled], axis=1)


def _mean(
    config: vit.VisionConfig | hybrid.HybridConfig,
    begin: Begin,
    cells: int,
    ops: Operations[T],
    p: Parameters,
    images: T,
) -> T:
    """The mean of the patches, each after its own norm: exact."""
    x, spread = _encoded(config, begin, cells, ops, p, images)
    first = vit.leading(p)
    patches = ops.slice(x, 1, first, None)
    rows = ops.matmul(ops.slice(spread, 2, first, None), ops.mul(patches, _number(ops, 1 / cells)))
    pooled = ops.reshape(ops.mean(patches, (1,)), (0, 1, config.width))
    return ops.concat([_of_patches(ops, p, rows), pooled], axis=1)


_POOLINGS: dict[str, Callable[..., Any]] = {
    "token": _token,
    "attention": _attention,
    "mean": _mean,
}


def _encoded(
    config: vit.VisionConfig | hybrid.HybridConfig,
    begin: Begin,
    cells: int,
    ops: Operations[T],
    p: Parameters,
    images: T,
) -> tuple[T, T]:
    """The tokens after all blocks and their norm, (n, tokens, width); and how much of each lies in
    each of them, (n, where it came from, where it is)."""
    x, turning = begin(ops, p, images)
    blocks, spread = config.blocks, None
    for layer in range(blocks.layers):
        prefix = f"layers.{layer}."
        weights, v = _looked_at(ops, p, prefix, x, blocks, turning)
        x = attended(ops, p, prefix, x, _mixed(ops, weights, v, blocks.heads), blocks)
        x = mlp(ops, p, prefix, x, blocks)
        spread = _spread(ops, weights, spread, cells + vit.leading(p))
    assert spread is not None
    x = optional_norm(ops, p, "norm_after", x, blocks.epsilon)
    return x, ops.transpose(spread, (0, 2, 1))


def _looked_at(
    ops: Operations[T],
    p: Parameters,
    prefix: str,
    x: T,
    blocks: Blocks,
    turning: Rotation[T] | None,
    *,
    first_token: bool = False,
) -> tuple[T, T]:
    """The weights of a block's attention, and its values. `first_token`: of that query alone."""
    h = before(ops, p, prefix + "norm1", x, blocks)
    q = linear(ops, p, prefix + "query", ops.slice(h, 1, 0, 1) if first_token else h)
    k, v = (linear(ops, p, prefix + name, h) for name in ("key", "value"))
    if turning is not None:
        q, k = rotated(ops, q, turning, first_token=first_token), rotated(ops, k, turning)
    return ops.attention_weights(q, k, blocks.heads), v


def _received(
    ops: Operations[T], p: Parameters, prefix: str, weights: T, values: T, mixed: T, blocks: Blocks
) -> T:
    """What the first token receives from each: (n, tokens, width). Biases are no token's.

    A norm of what they give together (EVA-02) is linear but for its deviation, which is held.
    """
    each = _from_each(ops, weights, values, blocks.heads)
    total, name = ops.slice(mixed, 1, 0, 1), prefix + "attention_norm"
    if name + ".weight" in p:
        each = _held_norm(ops, p, name, each, total, blocks.epsilon)
        total = norm(ops, p, name, total, blocks.epsilon)
    each = ops.linear(each, p[prefix + "out.weight"])
    if blocks.post_norm:
        total = linear(ops, p, prefix + "out", total)
        each = _held_norm(ops, p, prefix + "norm1", each, total, blocks.epsilon)
    return each


def _held_norm(
    ops: Operations[T], p: Parameters, name: str, rows: T, total: T, epsilon: float
) -> T:
    """The layer norm `name` of rows (n, tokens, width), with the deviation of `total` (n, 1, width)
    and without its bias: of rows that sum to `total`, it sums to the norm of that."""
    width = len(p[name + ".weight"])
    # The length of (centred total, √(width·ε)) is √width deviations: its last part, made of length
    # 1, is √ε of a deviation.
    rest = ops.first_token(np.array([math.sqrt(width * epsilon)], dtype=np.float32), total)
    unit = ops.l2_normalise(ops.concat([_centred(ops, total), rest], 2))
    inverse = ops.mul(ops.slice(unit, 2, width, None), _number(ops, 1 / math.sqrt(epsilon)))
    scaled = ops.mul(_centred(ops, rows), ops.constant(as_float32(p[name + ".weight"])))
    return ops.mul(scaled, inverse)


def _centred(ops: Operations[T], x: T) -> T:
    """(n, tokens, width), less the mean of each token."""
    mean = ops.reshape(ops.mean(x, (2,)), (0, -1, 1))
    return ops.add(x, ops.mul(mean, _number(ops, -1)))


def _from_each(ops: Operations[T], weights: T, values: T, heads: int) -> T:
    """The values (n, tokens, width), each weighed as the first query weighs it, head by head, in
    weights (n, heads, queries, tokens)."""
    first = ops.transpose(ops.slice(weights, 2, 0, 1), (0, 3, 1, 2))  # (n, tokens, heads, 1)
    weighed = ops.mul(ops.reshape(values, (0, 0, heads, -1)), first)
    return ops.reshape(weighed, (0, 0, -1))


def _mixed(ops: Operations[T], weights: T, values: T, heads: int) -> T:
    """What `attention` gives, of weights that are known: (n, queries, width)."""
    split = ops.transpose(ops.reshape(values, (0, 0, heads, -1)), (0, 2, 1, 3))
    return ops.reshape(ops.transpose(ops.matmul(weights, split), (0, 2, 1, 3)), (0, 0, -1))


def _spread(ops: Operations[T], weights: T, before: T | None, tokens: int) -> T:
    """R^i = (½ mean of the heads + ½ I) R^(i-1): (n, where a token is, where it came from)."""
    half = ops.constant(np.array(0.5, dtype=np.float32))
    own = ops.constant(0.5 * np.eye(tokens, dtype=np.float32))
    step = ops.add(ops.mul(ops.mean(weights, (1,)), half), own)
    return step if before is None else ops.matmul(step, before)


def _of_patches(ops: Operations[T], p: Parameters, rows: T) -> T:
    first = vit.leading(p)
    return ops.slice(rows, 1, first, None) if first else rows


# convolutional nets


def resnet_network(config: resnet.ResNetConfig, parameters: Parameters) -> Network[Any]:
    """uint8 (n, height, width, 3) → `parts` (n, places + 1, channels); the last row is what the
    attention pool gives. Exact.

    Each place speaks for itself, and for its share of the mean, which is the pool's first token.
    """
    cells = math.prod(resnet_grid(config, parameters))
    channels = parameters["pool.query.weight"].shape[1]

    def body(ops: Operations[T], p: Parameters, images: T) -> T:
        q, tokens, x = resnet.pool_tokens(ops, p, resnet.places(config, ops, p, images))
        k, v = (linear(ops, p, name, tokens) for name in ("pool.key", "pool.value"))
        weights = ops.attention_weights(q, k, config.heads)  # (n, heads, 1, 1 + places)
        each = ops.transpose(weights, (0, 3, 1, 2))
        of_mean = ops.mul(ops.slice(each, 1, 0, 1), _number(ops, 1 / cells))
        own = _by_head(ops, config.heads, ops.slice(v, 1, 1, None), ops.slice(each, 1, 1, None))
        shared = _by_head(ops, config.heads, ops.linear(x, p["pool.value.weight"]), of_mean)
        return ops.concat([ops.add(own, shared), _mixed(ops, weights, v, config.heads)], axis=1)

    return _network(body, image_inputs(config.image_size), cells, channels, parameters)


def resnet_grid(config: resnet.ResNetConfig, parameters: Parameters) -> tuple[int, int]:
    """Rows and columns of the last stage: the stem and three stages halve the picture, twice."""
    height, width = config.image_size
    stride = 4 * 2 ** (len(config.stages) - 1)
    return height // stride, width // stride


def _by_head(ops: Operations[T], heads: int, values: T, weights: T) -> T:
    """Values (n, places, channels), each head's part times its weight (n, places, heads, 1)."""
    weighed = ops.mul(ops.reshape(values, (0, 0, heads, -1)), weights)
    return ops.reshape(weighed, (0, 0, -1))


def efficientnet_network(
    config: efficientnet.EfficientNetConfig, parameters: Parameters
) -> Network[Any]:
    """uint8 (n, height, width, 3) → `parts` (n, places + 1, dimension); the last row is the mean.
    Exact."""
    cells = math.prod(efficientnet.grid(config, parameters))
    return _mean_network(efficientnet.places, config, parameters, cells, config.dimension)


def convnext_network(config: convnext.ConvNeXtConfig, parameters: Parameters) -> Network[Any]:
    """uint8 (n, height, width, 3) → `parts` (n, places + 1, width); the last row is the mean,
    before its norm. Exact."""
    cells = math.prod(convnext.grid(config, parameters))
    width = len(parameters["norm_pooled.weight"])
    return _mean_network(convnext.places, config, parameters, cells, width)


def fastvit_network(config: fastvit.FastViTConfig, parameters: Parameters) -> Network[Any]:
    """uint8 (n, height, width, 3) → `parts` (n, places + 1, channels); the last row is the mean.
    Exact."""
    cells = math.prod(fastvit.grid(config, parameters))
    width = len(parameters["last.weight"])
    return _mean_network(fastvit.places, config, parameters, cells, width)


def _mean_network(
    places: Callable[..., Any],
    config: Any,
    parameters: Parameters,
    cells: int,
    width: int,
) -> Network[Any]:
    """Of an architecture that ends in the mean of its `places`, which have `width` numbers each."""

    def body(ops: Operations[T], p: Parameters, images: T) -> T:
        x: T = places(config, ops, p, images)
        return _shares_of_mean(ops, x, width, cells, 1)

    return _network(body, image_inputs(config.image_size), cells, width, parameters)


def builtin_network(config: builtin.ImageConfig, parameters: Parameters) -> Network[Any]:
    """uint8 (n, 2, side, side, 3) → `parts` (n, 2 · places + 1, 1280): of the first view, then of
    the second; the last row is the mean."""
    side = config.image_size
    cells = 2 * efficientnet.lite_grid(side) ** 2

    def body(ops: Operations[T], p: Parameters, images: T) -> T:
        views = builtin.normalised_views(config, ops, images)
        x = efficientnet.lite_places(ops, p, views, side)
        return _shares_of_mean(ops, x, builtin.WIDTH, cells, 2)

    inputs = (Input("images", "uint8", (None, 2, side, side, 3)),)
    return _network(body, inputs, cells, builtin.WIDTH, parameters)


def builtin_grid(config: builtin.ImageConfig, parameters: Parameters) -> tuple[int, int]:
    """Rows and columns of places, of each view."""
    side = efficientnet.lite_grid(config.image_size)
    return side, side


def distilled_network(config: distilled.ImageConfig, parameters: Parameters) -> Network[Any]:
    """uint8 (n, side, side, 3) → `parts` (n, places + 1, 1280); the last row is the mean."""
    cells = efficientnet.lite_grid(config.side) ** 2

    def body(ops: Operations[T], p: Parameters, images: T) -> T:
        x = efficientnet.lite_places(ops, p, distilled.normalised(ops, images), config.side)
        return _shares_of_mean(ops, x, distilled.WIDTH, cells, 1)

    inputs = image_inputs((config.side, config.side))
    return _network(body, inputs, cells, distilled.WIDTH, parameters)


def distilled_grid(config: distilled.ImageConfig, parameters: Parameters) -> tuple[int, int]:
    """Rows and columns of places."""
    side = efficientnet.lite_grid(config.side)
    return side, side


def _shares_of_mean(ops: Operations[T], x: T, width: int, cells: int, views: int) -> T:
    """(n · views, width, rows, columns) → each place's share of the mean, and the mean."""
    flat = ops.transpose(ops.reshape(x, (0, width, -1)), (0, 2, 1))
    flat = ops.reshape(flat, (-1, cells, width)) if views > 1 else flat
    mean = ops.reshape(ops.mean(flat, (1,)), (0, 1, width))
    return ops.concat([ops.mul(flat, _number(ops, 1 / cells)), mean], axis=1)


def _number(ops: Operations[T], value: float) -> T:
    return ops.constant(np.array(value, dtype=np.float32))
