"""The text net of CLIP (causal, read at the end-of-text token; Radford et al. 2021), of SigLIP
(every token sees every other, read at the last of a fixed number; Zhai et al. 2023), of CoCa (read
at a token of its own behind the text; Yu et al. 2022, arXiv:2205.01917) and of TIPS (the mean of
the tokens; Maninis et al. 2025, arXiv:2410.16512)."""

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
    """What a checkpoint's config says of its text net.

    `pooling`: "end", the token whose index is given; "class", the class token behind the text;
    "mean", the mean of the tokens. The last two are given a mask of the tokens that are seen.
    """

    blocks: Blocks
    dimension: int
    causal: bool = True
    pooling: str = "end"


def network(config: TextConfig, parameters: Parameters) -> Network[Any]:
    """The text net: int64 ids (n, t), and the index of the token that is read (n,) or a mask, 0
    hides a token (n, t; with a class token n, t + 1) → `embedding` (n, dimension) and `features`
    (n, width), see `layers.tower`.

    A causal net never looks to the right, so ids after that token change nothing: a batch may be
    cut to its longest text, and what pads the others is of no importance. Any other net sees the
    padding as well, but for what a mask hides: its texts must all be padded as it was trained.
    """
    second = Input("ends", "int64", (None,))
    if config.pooling != "end":
        second = Input("mask", "int64", (None, None))
    inputs = (Input("ids", "int64", (None, None)), second)
    read = text if config.pooling == "end" else masked_text
    return tower("text", inputs, partial(read, config), parameters, dimension=config.dimension)


def text(config: TextConfig, ops: Operations[T], p: Parameters, ids: T, ends: T) -> T:
    """int64 (n, t) and (n,) → the token at `ends` after the last norm, float32 (n, width)."""
    x = ops.add(ops.embedding(p["tokens"], ids), ops.positions(p["positions"], ids))
    x = ops.take_token(blocks(ops, p, x, config.blocks, causal=config.causal), ends)
    return norm(ops, p, "norm_after", x, config.blocks.epsilon)


def masked_text(config: TextConfig, ops: Operations[T], p: Parameters, ids: T, mask: T) -> T:
    """int64 (n, t) and a mask → the class token, or the mean, after the last norm (n, width)."""
    x = ops.embedding(p["tokens"], ids)
    if config.pooling == "class":
        x = ops.concat([x, ops.first_token(p["class_token"], x)], 1)
    x = ops.add(x, ops.positions(p["positions"], x))
    x = blocks(ops, p, x, config.blocks, causal=config.causal, mask=mask)
    if config.pooling == "class":
        x = ops.reshape(ops.slice(x, 1, -1, None), (0, -1))
        return norm(ops, p, "norm_after", x, config.blocks.epsilon)
    return ops.masked_mean(norm(ops, p, "norm_after", x, config.blocks.epsilon), mask)
