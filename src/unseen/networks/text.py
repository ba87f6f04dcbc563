"""CLIP's text net: a causal transformer, read at the end-of-text token (Radford et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from unseen.networks.operations import Array, Input, Network, Operations
from unseen.networks.transformer import block

T = TypeVar("T")
Parameters = Mapping[str, Array]


@dataclass(frozen=True)
class TextConfig:
    """What a checkpoint's config says of its text net."""

    layers: int
    heads: int
    activation: str
    epsilon: float
    dimension: int


def network(config: TextConfig, parameters: Parameters) -> Network[T]:
    """The text net: int64 ids (n, t) and the place of the end-of-text token (n,) → (n, dimension).

    A causal net never looks to the right, so ids after the end-of-text token change nothing:
    a batch may be cut to its longest text, and what pads the others is of no importance.
    """

    def body(ops: Operations[T], ids: T, ends: T) -> T:
        return ops.l2_normalise(text(ops, parameters, config, ids, ends))

    inputs = (Input("ids", "int64", (None, None)), Input("ends", "int64", (None,)))
    return Network("text", inputs, body, config.dimension)


def text(ops: Operations[T], p: Parameters, config: TextConfig, ids: T, ends: T) -> T:
    """int64 (n, t) and (n,) → the projected end-of-text token, float32 (n, dimension)."""
    x = ops.add(ops.embedding(p["tokens"], ids), ops.positions(p["positions"], ids))
    for layer in range(config.layers):
        x = block(
            ops,
            p,
            f"layers.{layer}.",
            x,
            config.heads,
            config.activation,
            config.epsilon,
            causal=True,
        )
    x = ops.take_token(x, ends)
    x = ops.layer_norm(x, p["norm_after.weight"], p["norm_after.bias"], config.epsilon)
    return ops.linear(x, p["projection"])
