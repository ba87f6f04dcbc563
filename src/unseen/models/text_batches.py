"""Token ids of many texts → batches as the text net takes them.

Texts that begin alike share what a causal net computes of their beginning: they are given to it as
a prefix tree (`networks.prefix_tree`). Any other net is given texts of like length together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from unseen.models.inputs import EndToken, TextInputs, TokenIds
from unseen.models.model import Model
from unseen.networks.operations import Array

TOKENS = 2048  # in a batch of padded texts: enough to fill the cores, little to pad
# In a batch of a prefix tree: of 192, 256, 384, 512 and 768 the fastest in int8 on two cores, a
# thread each (1,240, 1,430, 1,390, 1,340 and 900 prompts a second); in fp32 none was faster.
NODES = 256
KEYS = 8192  # texts times nodes on the longest way: what attention holds at once
WIDTHS = (2, 4, 8, 16, 32, 64, 128)  # of a section of the tree

Batch = tuple[list[int], tuple[Array, ...]]  # which texts, and the arrays that the net takes


def text_batches(model: Model, ids: TokenIds, rule: TextInputs | None = None) -> Iterator[Batch]:
    """The texts in the order in which they are best encoded, some at a time.

    Parameters
    ----------
    model : Model
        Whose text net takes them: its prefix tree where it shares prefixes.
    ids : sequence of sequence of int
        The token ids of each text.
    rule : TextInputs, optional
        What makes arrays of ids; by default the model's own.

    Yields
    ------
    tuple
        The indices of some texts, and their arrays.
    """
    rule = rule or model.text_inputs
    if model.shares_prefixes and isinstance(rule, EndToken):
        yield from tree_batches([rule.read(tokens) for tokens in ids])
        return
    for batch in batches_of_like_length([len(tokens) for tokens in ids], TOKENS):
        yield batch, rule([ids[i] for i in batch])


def batches_of_like_length(lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Indices in batches of similar length, shortest first, each at most `tokens` when padded."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[index] > tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


class PrefixTree:
    """The tree of some texts that were added in the order of their ids.

    `ids`, `depths`: of each node. `ways`: the nodes of each text from the root to its end.
    `common`: how many of these the text before it has, too.
    """

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.depths: list[int] = []
        self.ways: list[list[int]] = []
        self.common: list[int] = []

    def add(self, tokens: Sequence[int], common: int) -> None:
        """A text whose first `common` tokens are those of the text before it."""
        start = len(self.ids)
        shared = self.ways[-1][:common] if self.ways else []
        self.ids.extend(tokens[common:])
        self.depths.extend(range(common, len(tokens)))
        self.ways.append([*shared, *range(start, len(self.ids))])
        self.common.append(common)

    def arrays(self) -> tuple[Array, ...]:
        """As `networks.prefix_tree.INPUTS` says."""
        lengths, common = np.array([len(way) for way in self.ways]), np.array(self.common)
        ways = np.zeros((len(lengths), lengths.max()), dtype=np.int64)
        for row, way in zip(ways, self.ways, strict=True):
            row[: len(way)] = way
        width = _width(lengths - common, int(lengths.max()))
        counts = -(-(lengths - common) // width)  # sections of each text
        texts = np.repeat(np.arange(len(lengths)), counts)
        first = np.repeat(np.cumsum(counts) - counts, counts)
        starts = common[texts] + width * (np.arange(len(texts)) - first)
        stops = np.minimum(starts + width, lengths[texts])
        depths = starts[:, None] + np.arange((stops - starts).max())
        is_node = depths < stops[:, None]
        queries = np.zeros(depths.shape, dtype=np.int64)
        queries[is_node] = np.arange(len(self.ids))  # nodes are numbered in this order
        return (
            np.array([self.ids], dtype=np.int64),
            np.array(self.depths, dtype=np.int64),
            queries,
            ways[texts, : stops.max()],
            _bias(depths, int(stops.max())),
            np.flatnonzero(is_node),
            ways[np.arange(len(lengths)), lengths - 1][:, None],
            ways,
            _bias(lengths[:, None] - 1, int(lengths.max())),
        )


def tree_batches(texts: TokenIds, nodes: int = NODES) -> Iterator[Batch]:
    """Prefix trees of at most so many nodes, or of one text."""
    order = sorted(range(len(texts)), key=lambda index: list(texts[index]))
    batch, tree, longest, last = list[int](), PrefixTree(), 0, list[int]()
    for index in order:
        tokens = list(texts[index])
        common = _common(last, tokens) if batch else 0
        longest = max(longest, len(tokens))
        is_full = len(tree.ids) + len(tokens) - common > nodes or (len(batch) + 1) * longest > KEYS
        if batch and is_full:
            yield batch, tree.arrays()
            batch, tree, longest, common = [], PrefixTree(), len(tokens), 0
        tree.add(tokens, common)
        batch.append(index)
        last = tokens
    if batch:
        yield batch, tree.arrays()


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens they begin with alike."""
    pairs = enumerate(zip(a, b, strict=False))
    return next((i for i, (x, y) in pairs if x != y), min(len(a), len(b)))


def _width(new: Array, longest: int) -> int:
    """How many nodes a section has, so that queries and keys are few, padding included."""

    def places(width: int) -> int:
        return int((-(-new // width)).sum()) * (width + 2 * longest)

    return min(WIDTHS, key=places)


def _bias(seen: Array, keys: int) -> Array:
    """(…,), the last key that each query sees → (…, keys): 0, then minus infinity."""
    bias = np.where(np.arange(keys) <= seen[..., None], 0, -np.inf)
    return bias.astype(np.float32)
