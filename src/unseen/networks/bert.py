"""BERT's encoder (Devlin et al. 2019, arXiv:1810.04805), which RoBERTa and XLM-RoBERTa share: layer
norms after the additions. And the heads that make it the text net of a CLIP."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from unseen.networks.layers import linear, norm, optional_norm, tower
from unseen.networks.network import Input, Network, Parameters
from unseen.networks.operations import Operations
from unseen.networks.transformer import Blocks

T = TypeVar("T")


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
    """A BERT as the text net of a CLIP.

    `pooling`: "first", the first token, or "mean", the mean of the tokens that are not padding.
    `hidden_activation`: between two projections, if there are two.
    """

    bert: BertConfig
    pooling: str
    dimension: int
    hidden_activation: str | None = None


def network(config: TextConfig, parameters: Parameters) -> Network[Any]:
    """The text net: int64 ids and mask (n, t), 0 hides padding → `embedding` (n, dimension) and
    `features` (n, width), see `layers.tower`."""
    inputs = (Input("ids", "int64", (None, None)), Input("mask", "int64", (None, None)))
    return tower("text", inputs, partial(text, config), parameters, dimension=config.dimension)


def text(config: TextConfig, ops: Operations[T], p: Parameters, ids: T, mask: T) -> T:
    """int64 ids and mask (n, t) → (n, width): what there are parameters for, in this order."""
    x = encoder(ops, p, config.bert, ids, mask)
    if config.pooling == "mean":
        x = ops.masked_mean(x, mask)
    else:
        x = ops.reshape(ops.slice(x, 1, 0, 1), (0, -1))
    if "pooler.weight" in p:  # BERT's own, for the first token
        x = ops.activation(linear(ops, p, "pooler", x), "tanh")
    x = optional_norm(ops, p, "head_norm", x, config.bert.blocks.epsilon)
    if "hidden.weight" in p:
        x = linear(ops, p, "hidden", x)
    if config.hidden_activation is not None:
        x = ops.activation(x, config.hidden_activation)
    return x


def encoder(ops: Operations[T], p: Parameters, config: BertConfig, ids: T, mask: T) -> T:
    """int64 ids and mask (n, t) → (n, t, width). Every token is of type 0, as in one sentence."""
    positions = p["positions"][config.first_position :]
    x = ops.add(ops.embedding(p["tokens"], ids), ops.positions(positions, ids))
    if "types" in p:  # DistilBERT has none
        x = ops.add(x, ops.constant(p["types"][0]))
    x = norm(ops, p, "norm", x, config.blocks.epsilon)
    for layer in range(config.blocks.layers):
        x = _layer(ops, p, f"layers.{layer}.", config.blocks, x, mask)
    return x


def _layer(ops: Operations[T], p: Parameters, prefix: str, config: Blocks, x: T, mask: T) -> T:
    q, k, v = (linear(ops, p, prefix + name, x) for name in ("query", "key", "value"))
    h = ops.attention(q, k, v, config.heads, mask=mask)
    x = ops.add(x, linear(ops, p, prefix + "out", h))
    x = norm(ops, p, prefix + "norm1", x, config.epsilon)
    h = ops.activation(linear(ops, p, prefix + "mlp1", x), config.activation)
    x = ops.add(x, linear(ops, p, prefix + "mlp2", h))
    return norm(ops, p, prefix + "norm2", x, config.epsilon)
