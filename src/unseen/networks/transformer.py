"""The pre-norm transformer block that CLIP's image and text nets share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from unseen.networks.operations import Array, Operations

T = TypeVar("T")
Parameters = Mapping[str, Array]


def block(
    ops: Operations[T],
    p: Parameters,
    prefix: str,
    x: T,
    heads: int,
    activation: str,
    epsilon: float,
    *,
    causal: bool = False,
) -> T:
    """One layer on (n, tokens, width): x + attention(norm x), then x + mlp(norm x)."""
    h = ops.layer_norm(x, p[prefix + "norm1.weight"], p[prefix + "norm1.bias"], epsilon)
    q, k, v = (_linear(ops, p, prefix + name, h) for name in ("query", "key", "value"))
    h = ops.attention(q, k, v, heads, causal=causal)
    x = ops.add(x, _linear(ops, p, prefix + "out", h))
    return _mlp(ops, p, prefix, x, activation, epsilon)


def last_block_for_one_token(
    ops: Operations[T],
    p: Parameters,
    prefix: str,
    x: T,
    heads: int,
    activation: str,
    epsilon: float,
) -> T:
    """`block` for the first token alone, (n, tokens, width) → (n, 1, width).

    Keys and values still come from every token; nothing is masked, so this is exact.
    """
    h = ops.layer_norm(x, p[prefix + "norm1.weight"], p[prefix + "norm1.bias"], epsilon)
    first = ops.slice(h, 1, 0, 1)
    q = _linear(ops, p, prefix + "query", first)
    k, v = (_linear(ops, p, prefix + name, h) for name in ("key", "value"))
    h = ops.attention(q, k, v, heads)
    x = ops.add(ops.slice(x, 1, 0, 1), _linear(ops, p, prefix + "out", h))
    return _mlp(ops, p, prefix, x, activation, epsilon)


def _mlp(
    ops: Operations[T], p: Parameters, prefix: str, x: T, activation: str, epsilon: float
) -> T:
    h = ops.layer_norm(x, p[prefix + "norm2.weight"], p[prefix + "norm2.bias"], epsilon)
    h = ops.activation(_linear(ops, p, prefix + "mlp1", h), activation)
    return ops.add(x, _linear(ops, p, prefix + "mlp2", h))


def _linear(ops: Operations[T], p: Parameters, name: str, x: T) -> T:
    return ops.linear(x, p[name + ".weight"], p[name + ".bias"])
