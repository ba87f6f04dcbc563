"""The pre-norm transformer block that the image and text nets of CLIP and SigLIP share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from unseen.networks.layers import linear, norm
from unseen.networks.network import Parameters
from unseen.networks.operations import Operations

T = TypeVar("T")


@dataclass(frozen=True)
class Blocks:
    """What a checkpoint's config says of a stack of blocks; `epsilon` is that of every norm."""

    layers: int
    heads: int
    activation: str
    epsilon: float


def blocks(
    ops: Operations[T],
    p: Parameters,
    x: T,
    config: Blocks,
    *,
    causal: bool = False,
    mask: T | None = None,
) -> T:
    """Every layer in turn on (n, tokens, width); `mask`, `causal`: as of `attention`."""
    for layer in range(config.layers):
        x = block(ops, p, f"layers.{layer}.", x, config, causal=causal, mask=mask)
    return x


def blocks_for_first_token(
    ops: Operations[T], p: Parameters, x: T, config: Blocks, *, mask: T | None = None
) -> T:
    """As `blocks`, for a reader of the first token alone: (n, tokens, width) → (n, width).

    The last layer computes no query but that token's. Keys and values still come from every token
    and nothing is masked, so this is exact; it saves about 5 %.
    """
    for layer in range(config.layers - 1):
        x = block(ops, p, f"layers.{layer}.", x, config, mask=mask)
    prefix = f"layers.{config.layers - 1}."
    h = norm(ops, p, prefix + "norm1", x, config.epsilon)
    q = linear(ops, p, prefix + "query", ops.slice(h, 1, 0, 1))
    k, v = (linear(ops, p, prefix + name, h) for name in ("key", "value"))
    h = ops.attention(q, k, v, config.heads, mask=mask)
    x = ops.add(ops.slice(x, 1, 0, 1), linear(ops, p, prefix + "out", h))
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
) -> T:
    """One layer on (n, tokens, width): x + attention(norm x), then x + mlp(norm x)."""
    h = norm(ops, p, prefix + "norm1", x, config.epsilon)
    q, k, v = (linear(ops, p, prefix + name, h) for name in ("query", "key", "value"))
    h = ops.attention(q, k, v, config.heads, causal=causal, mask=mask)
    x = ops.add(x, linear(ops, p, prefix + "out", h))
    return mlp(ops, p, prefix, x, config)


def mlp(ops: Operations[T], p: Parameters, prefix: str, x: T, config: Blocks) -> T:
    """x + mlp(norm x), the second half of a block."""
    h = norm(ops, p, prefix + "norm2", x, config.epsilon)
    h = ops.activation(linear(ops, p, prefix + "mlp1", h), config.activation)
    return ops.add(x, linear(ops, p, prefix + "mlp2", h))
