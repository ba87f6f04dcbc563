"""BERT's encoder (Devlin et al. 2019, arXiv:1810.04805): layer norms after the additions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from unseen.networks.operations import Array, Operations

T = TypeVar("T")
Parameters = Mapping[str, Array]


@dataclass(frozen=True)
class BertConfig:
    """What a checkpoint's config says."""

    layers: int
    heads: int
    activation: str
    epsilon: float


def encoder(ops: Operations[T], p: Parameters, config: BertConfig, ids: T, mask: T) -> T:
    """int64 ids and mask (n, t) → (n, t, width). Every token is of type 0, as in one sentence."""
    x = ops.add(ops.embedding(p["tokens"], ids), ops.positions(p["positions"], ids))
    x = ops.add(x, ops.constant(p["types"][0]))
    x = ops.layer_norm(x, p["norm.weight"], p["norm.bias"], config.epsilon)
    for layer in range(config.layers):
        x = _layer(ops, p, f"layers.{layer}.", config, x, mask)
    return x


def _layer(ops: Operations[T], p: Parameters, prefix: str, config: BertConfig, x: T, mask: T) -> T:
    def linear(name: str, value: T) -> T:
        return ops.linear(value, p[f"{prefix}{name}.weight"], p[f"{prefix}{name}.bias"])

    def norm(name: str, value: T) -> T:
        weight, bias = p[f"{prefix}{name}.weight"], p[f"{prefix}{name}.bias"]
        return ops.layer_norm(value, weight, bias, config.epsilon)

    h = ops.attention(
        linear("query", x), linear("key", x), linear("value", x), config.heads, mask=mask
    )
    x = norm("norm1", ops.add(x, linear("out", h)))
    h = ops.activation(linear("mlp1", x), config.activation)
    return norm("norm2", ops.add(x, linear("mlp2", h)))
