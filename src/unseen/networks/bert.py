"""BERT's encoder (Devlin et al. 2019, arXiv:1810.04805): a transformer that looks both ways, with
the layer norm after each half of a block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from unseen.networks.operations import Array, Input, Network, Operations, as_float32

T = TypeVar("T")
Parameters = Mapping[str, Array]

INPUTS = (Input("ids", "int64", (None, None)), Input("mask", "int64", (None, None)))


@dataclass(frozen=True)
class BertConfig:
    """What a checkpoint's config says of its text net."""

    width: int
    layers: int
    heads: int
    activation: str
    epsilon: float
    first_position: int = 0  # RoBERTa's tables begin with rows that no token uses


def network(config: BertConfig, parameters: Parameters) -> Network[T]:
    """Sentence embeddings by the mean of the tokens (Reimers & Gurevych 2019, arXiv:1908.10084).

    int64 ids (n, t) and mask (n, t), 0 where a text has ended → float32 (n, width), length 1.
    """

    def body(ops: Operations[T], ids: T, mask: T) -> T:
        hidden = encode(ops, parameters, config, ids, mask)
        return ops.l2_normalise(ops.masked_mean(hidden, mask))

    return Network("text", INPUTS, body, config.width)


def encode(ops: Operations[T], p: Parameters, config: BertConfig, ids: T, mask: T) -> T:
    """int64 (n, t) and (n, t) → the last hidden states, float32 (n, t, width)."""
    # A single text is of the first type throughout, so its row is part of every position.
    positions = as_float32(p["positions"][config.first_position :]) + as_float32(p["types"][0])
    x = ops.add(ops.embedding(p["tokens"], ids), ops.positions(positions, ids))
    x = _norm(ops, p, config, "norm", x)
    for layer in range(config.layers):
        x = _block(ops, p, config, f"layers.{layer}.", x, mask)
    return x


def _block(ops: Operations[T], p: Parameters, config: BertConfig, prefix: str, x: T, mask: T) -> T:
    """One layer on (n, t, width): norm(x + attention x), then norm(x + mlp x)."""
    q, k, v = (_linear(ops, p, prefix + name, x) for name in ("query", "key", "value"))
    h = _linear(ops, p, prefix + "out", ops.attention(q, k, v, config.heads, mask=mask))
    x = _norm(ops, p, config, prefix + "norm1", ops.add(x, h))
    h = ops.activation(_linear(ops, p, prefix + "mlp1", x), config.activation)
    h = _linear(ops, p, prefix + "mlp2", h)
    return _norm(ops, p, config, prefix + "norm2", ops.add(x, h))


def _linear(ops: Operations[T], p: Parameters, name: str, x: T) -> T:
    return ops.linear(x, p[name + ".weight"], p[name + ".bias"])


def _norm(ops: Operations[T], p: Parameters, config: BertConfig, name: str, x: T) -> T:
    return ops.layer_norm(x, p[name + ".weight"], p[name + ".bias"], config.epsilon)
