"""A causal text net on the prefix tree of several texts: what they begin with is computed once.

A token of a causal net sees only the tokens before it. Texts that begin alike have the same values
there, so the texts of a batch are a tree: each node is one token, is computed once, and sees the
nodes on its way from the root. 1,000 labels in 80 templates have 10 tokens a text, and 4 nodes.
`models.text_batches` makes the arrays.
"""

from __future__ import annotations

from functools import partial
from typing import Any, TypeVar

from unseen.networks.layers import linear, norm, tower
from unseen.networks.network import Input, Network, Parameters
from unseen.networks.operations import Operations
from unseen.networks.text import TextConfig
from unseen.networks.transformer import attended, before, mlp

T = TypeVar("T")

# Of r nodes in s sections, and n texts. A section is a few nodes after each other of one text; t is
# the most that one has, k and m the most nodes on the way of a section and of a text.
INPUTS = (
    Input("ids", "int64", (1, None)),  # (1, r): one item, which no runtime divides
    Input("depths", "int64", (None,)),  # (r,): the place of a node in its texts
    Input("queries", "int64", (None, None)),  # (s, t): the nodes of each section
    Input("keys", "int64", (None, None)),  # (s, k): all nodes on its way
    Input("bias", "float32", (None, None, None)),  # (s, t, k): minus infinity where a key is hidden
    Input("places", "int64", (None,)),  # (r,): of each node in `queries`, row by row
    Input("ends", "int64", (None, 1)),  # (n, 1): the node that is read
    Input("keys_of_ends", "int64", (None, None)),  # (n, m)
    Input("bias_of_ends", "float32", (None, 1, None)),  # (n, 1, m)
)


def network(config: TextConfig, parameters: Parameters) -> Network[Any]:
    """The net of `text.network`, read at the end, on `INPUTS` → an item a text."""
    features = partial(text, config)
    return tower("text", INPUTS, features, parameters, dimension=config.dimension)


def text(
    config: TextConfig,
    ops: Operations[T],
    p: Parameters,
    ids: T,
    depths: T,
    queries: T,
    keys: T,
    bias: T,
    places: T,
    ends: T,
    keys_of_ends: T,
    bias_of_ends: T,
) -> T:
    """`INPUTS` → the nodes at `ends` after the last norm, float32 (n, width).

    The last layer computes no query but theirs.
    """
    stack = config.blocks
    x = ops.add(ops.embedding(p["tokens"], ids), ops.embedding(p["positions"], depths))
    for layer in range(stack.layers):
        prefix = f"layers.{layer}."
        h = before(ops, p, prefix + "norm1", x, stack)
        q, k, v = (linear(ops, p, prefix + name, h) for name in ("query", "key", "value"))
        if layer < stack.layers - 1:
            h = ops.tree_attention(q, k, v, stack.heads, queries, keys, bias)
            h = ops.take(h, places, 1)
        else:
            h = ops.tree_attention(q, k, v, stack.heads, ends, keys_of_ends, bias_of_ends)
            x = ops.reshape(ops.take(x, ends, 1), (1, -1, p["tokens"].shape[1]))
        x = mlp(ops, p, prefix, attended(ops, p, prefix, x, h, stack), stack)
    x = ops.reshape(x, (-1, p["tokens"].shape[1]))
    return norm(ops, p, "norm_after", x, stack.epsilon)
