"""BERT's encoder (Devlin et al. 2019, arXiv:1810.04805), which RoBERTa and XLM-RoBERTa share: layer
norms after the additions. And the heads that make it the text net of a CLIP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from unseen.networks.operations import Array, Input, Network, Operations
from unseen.networks.transformer import Blocks, linear

T = TypeVar("T")
Parameters = Mapping[str, Array]

POOLINGS = ("first", "mean")  # the first token, or the mean of those that are no padding


@dataclass(frozen=True)
class BertConfig:
    """What a checkpoint's config says.

    `first_position`: the row of the position table that the first token has: 0 in BERT, one after
    the padding id in RoBERTa.
    """

    blocks: Blocks
    first_position: int = 0


@dataclass(frozen=True)
class TextConfig:
    """A BERT as the text net of a CLIP. `hidden_activation`: between two projections, if any."""

    bert: BertConfig
    pooling: str
    dimension: int
    hidden_activation: str | None = None


def network(config: TextConfig, parameters: Parameters) -> Network[T]:
    """The text net: int64 ids and mask (n, t), 0 hides padding → float32 (n, dimension)."""

    def body(ops: Operations[T], ids: T, mask: T) -> T:
        return ops.l2_normalise(text(ops, parameters, config, ids, mask))

    inputs = (Input("ids", "int64", (None, None)), Input("mask", "int64", (None, None)))
    return Network("text", inputs, body, config.dimension)


def text(ops: Operations[T], p: Parameters, config: TextConfig, ids: T, mask: T) -> T:
    """int64 ids and mask (n, t) → (n, dimension): what there are parameters for, in this order."""
    x = encoder(ops, p, config.bert, ids, mask)
    if config.pooling == "mean":
        x = ops.masked_mean(x, mask)
    else:
        x = ops.reshape(ops.slice(x, 1, 0, 1), (0, -1))
    if "pooler.weight" in p:  # BERT's own, for the first token
        x = ops.activation(linear(ops, p, "pooler", x), "tanh")
    if "head_norm.weight" in p:
        norm = p["head_norm.weight"], p["head_norm.bias"]
        x = ops.layer_norm(x, *norm, config.bert.blocks.epsilon)
    if "hidden.weight" in p:
        x = linear(ops, p, "hidden", x)
    if config.hidden_activation is not None:
        x = ops.activation(x, config.hidden_activation)
    return linear(ops, p, "projection", x) if "projection.weight" in p else x


def encoder(ops: Operations[T], p: Parameters, config: BertConfig, ids: T, mask: T) -> T:
    """int64 ids and mask (n, t) → (n, t, width). Every token is of type 0, as in one sentence."""
    positions = p["positions"][config.first_position :]
    x = ops.add(ops.embedding(p["tokens"], ids), ops.positions(positions, ids))
    x = ops.add(x, ops.constant(p["types"][0]))
    x = ops.layer_norm(x, p["norm.weight"], p["norm.bias"], config.blocks.epsilon)
    for layer in range(config.blocks.layers):
        x = _layer(ops, p, f"layers.{layer}.", config.blocks, x, mask)
    return x


def _layer(ops: Operations[T], p: Parameters, prefix: str, config: Blocks, x: T, mask: T) -> T:
    def norm(name: str, value: T) -> T:
        weight, bias = p[f"{prefix}{name}.weight"], p[f"{prefix}{name}.bias"]
        return ops.layer_norm(value, weight, bias, config.epsilon)

    q, k, v = (linear(ops, p, prefix + name, x) for name in ("query", "key", "value"))
    h = ops.attention(q, k, v, config.heads, mask=mask)
    x = norm("norm1", ops.add(x, linear(ops, p, prefix + "out", h)))
    h = ops.activation(linear(ops, p, prefix + "mlp1", x), config.activation)
    return norm("norm2", ops.add(x, linear(ops, p, prefix + "mlp2", h)))
