"""The text net of CLIP (causal, read at the end-of-text token; Radford et al. 2021) and of SigLIP
(every token sees every other, read at the last of a fixed number; Zhai et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from unseen.networks.operations import Array, Input, Network, Operations
from unseen.networks.transformer import Blocks, blocks, linear

T = TypeVar("T")
Parameters = Mapping[str, Array]


@dataclass(frozen=True)
class TextConfig:
    """What a checkpoint's config says of its text net."""

    blocks: Blocks
    dimension: int
    causal: bool = True


def network(config: TextConfig, parameters: Parameters) -> Network[T]:
    """The text net: int64 ids (n, t) and the place of the token that is read (n,) → (n, dimension).

    A causal net never looks to the right, so ids after that token change nothing: a batch may be
    cut to its longest text, and what pads the others is of no importance. Any other net sees the
    padding as well: its texts must all be padded as it was trained.
    """

    def body(ops: Operations[T], ids: T, ends: T) -> T:
        return ops.l2_normalise(text(ops, parameters, config, ids, ends))

    inputs = (Input("ids", "int64", (None, None)), Input("ends", "int64", (None,)))
    return Network("text", inputs, body, config.dimension)


def text(ops: Operations[T], p: Parameters, config: TextConfig, ids: T, ends: T) -> T:
    """int64 (n, t) and (n,) → the projected token at `ends`, float32 (n, dimension)."""
    x = ops.add(ops.embedding(p["tokens"], ids), ops.positions(p["positions"], ids))
    x = ops.take_token(blocks(ops, p, x, config.blocks, causal=config.causal), ends)
    norm = p["norm_after.weight"], p["norm_after.bias"]
    x = ops.layer_norm(x, *norm, config.blocks.epsilon)
    return linear(ops, p, "projection", x) if "projection.weight" in p else x
