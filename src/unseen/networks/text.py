"""The text net of CLIP (causal, read at the end-of-text token; Radford et al. 2021) and of SigLIP
(every token sees every other, read at the last of a fixed number; Zhai et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from unseen.networks.layers import norm, tower
from unseen.networks.network import Input, Network, Parameters
from unseen.networks.operations import Operations
from unseen.networks.transformer import Blocks, blocks

T = TypeVar("T")


@dataclass(frozen=True)
class TextConfig:
    """What a checkpoint's config says of its text net."""

    blocks: Blocks
    dimension: int
    causal: bool = True


def network(config: TextConfig, parameters: Parameters) -> Network[Any]:
    """The text net: int64 ids (n, t) and the index of the token that is read (n,) → `embedding`
    (n, dimension) and `features` (n, width), see `layers.tower`.

    A causal net never looks to the right, so ids after that token change nothing: a batch may be
    cut to its longest text, and what pads the others is of no importance. Any other net sees the
    padding as well: its texts must all be padded as it was trained.
    """

    inputs = (Input("ids", "int64", (None, None)), Input("ends", "int64", (None,)))
    return tower("text", inputs, partial(text, config), parameters, dimension=config.dimension)


def text(config: TextConfig, ops: Operations[T], p: Parameters, ids: T, ends: T) -> T:
    """int64 (n, t) and (n,) → the token at `ends` after the last norm, float32 (n, width)."""
    x = ops.add(ops.embedding(p["tokens"], ids), ops.positions(p["positions"], ids))
    x = ops.take_token(blocks(ops, p, x, config.blocks, causal=config.causal), ends)
    return norm(ops, p, "norm_after", x, config.blocks.epsilon)
