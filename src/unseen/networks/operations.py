"""The operations that a network is written in, as a protocol.

A network's body (networks/network.py) is a plain function of an `Operations` object, parameters and
input tensors. What a tensor *is* belongs to the runtime: a numpy array, a value in an ONNX graph
that is being recorded, a torch tensor. Parameters are numpy arrays and go to the operations as they
are; a runtime converts them.

Conventions: float32; `linear` weights are (out, in) and convolution weights
(out, in / groups, kh, kw), as torch and safetensors store them; pictures are
(n, channels, height, width) after `pixels`; token sequences are (n, tokens, width). Only the first
axis (and the token axis of a text) may be unknown while a graph is recorded, so shapes given to
`reshape` use 0 for "as it is" and -1 once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

Array = NDArray[Any]


class Operations(Protocol[T]):
    """What every runtime can do. `T` is the runtime's own tensor."""

    # inputs and shapes
    def constant(self, value: Array) -> T:
        """A fixed array as a tensor of its own shape."""

    def pixels(self, x: T) -> T:
        """uint8 (n, height, width, 3) → float32 (n, 3, height, width), values kept 0…255."""

    def embedding(self, table: Array, ids: T) -> T:
        """`table` (vocabulary, width) and int64 `ids` (…) → (…, width): the row of each id."""

    def reshape(self, x: T, shape: Sequence[int]) -> T:
        """The same values in another shape; 0 keeps that axis, one -1 takes the rest (ONNX)."""

    def transpose(self, x: T, axes: Sequence[int]) -> T:
        """The axes of x in another order: axis i of the result is axis `axes[i]` of x."""

    def concat(self, xs: Sequence[T], axis: int) -> T:
        """Tensors that differ in the size of `axis` alone, one after another along it."""

    def slice(self, x: T, axis: int, start: int, stop: int | None) -> T:
        """`x[start:stop]` along `axis`, which stays an axis; None: to its end."""

    def first_token(self, row: Array, like: T) -> T:
        """A parameter (width,) → (n, 1, width): once an item, n the first axis of `like`."""

    def positions(self, table: Array, like: T) -> T:
        """`table` (longest, width) → (t, width): its first rows, t the second axis of `like`."""

    def take_token(self, x: T, index: T) -> T:
        """(n, t, width) and int64 (n,) → (n, width): the token at this index of each item."""

    def take(self, x: T, index: T, axis: int) -> T:
        """The slices of `axis` at an int64 `index` of any shape, which takes the place of it."""

    # arithmetic
    def add(self, a: T, b: T) -> T:
        """a + b, with numpy's broadcasting."""

    def mul(self, a: T, b: T) -> T:
        """a · b of each pair of values, with numpy's broadcasting."""

    def linear(self, x: T, weight: Array, bias: Array | None = None) -> T:
        """(…, in), weight (out, in), bias (out,) → (…, out): `x @ weight.T + bias`."""

    def conv(
        self,
        x: T,
        weight: Array,
        bias: Array | None = None,
        *,
        stride: int = 1,
        padding: tuple[int, int, int, int] = (0, 0, 0, 0),
        groups: int = 1,
    ) -> T:
        """(n, in, h, w), weight (out, in / groups, kh, kw), bias (out,) → (n, out, h', w'): a 2-D
        convolution. `padding`, with zeros, is (top, left, bottom, right)."""

    def avg_pool(self, x: T, size: int) -> T:
        """(n, channels, h, w) → (n, channels, h // size, w // size): the mean of each square."""

    def attention(
        self, q: T, k: T, v: T, heads: int, *, causal: bool = False, mask: T | None = None
    ) -> T:
        """Scaled dot-product attention: q (n, queries, width), k and v (n, keys, width) → (n,
        queries, width), softmax(q kᵀ / √d) v of each head, d = width / heads.

        `mask` is int64 (n, keys): 0 hides a key. `causal` hides every key after its query
        (queries and keys are then the same tokens).
        """

    def tree_attention(self, q: T, k: T, v: T, heads: int, queries: T, keys: T, bias: T) -> T:
        """`attention` of sections of a prefix tree, whose nodes are the tokens of one item.

        q, k and v (1, nodes, width); `queries` (s, t) and `keys` (s, k), int64, say which nodes
        each section has; `bias` (s, t, k) is added to the scores: 0, or minus infinity where a
        query does not see a key. → (1, s · t, width).
        """

    def attention_weights(
        self, q: T, k: T, heads: int, *, causal: bool = False, mask: T | None = None
    ) -> T:
        """The weights of `attention`, softmax(q kᵀ / √d): (n, queries, width) and (n, keys, width)
        → (n, heads, queries, keys), each row of the last axis summing to 1.

        `causal` and `mask` as there.
        """

    def matmul(self, a: T, b: T) -> T:
        """(…, m, k) and (…, k, p) → (…, m, p): a product on the last two axes; the axes before
        them broadcast as numpy's do. Both have at least two axes."""

    # pointwise and reductions
    def layer_norm(self, x: T, weight: Array, bias: Array, epsilon: float) -> T:
        """(…, width), weight and bias (width,) → (…, width): normalised over the last axis."""

    def activation(self, x: T, name: str) -> T:
        """One of `ACTIVATIONS` of each value."""

    def softmax(self, x: T) -> T:
        """Positive values whose sum over the last axis is 1."""

    def keep_top(self, x: T, k: int) -> T:
        """(n, m) → (n, m): all but the k largest of each row set to 0."""

    def mean(self, x: T, axes: Sequence[int]) -> T:
        """The mean over `axes`, which the result does not have."""

    def masked_mean(self, x: T, mask: T) -> T:
        """(n, t, width) and int64 (n, t) → (n, width): the mean of the tokens whose mask is 1."""

    def l2_normalise(self, x: T) -> T:
        """(…, width) → (…, width): each row of the last axis divided by its length."""

    def complete(self, x: T) -> T:
        """(n, m) → (n, m + 1): each row of length 1 by one more value, which is not negative.

        A row longer than 1 is first scaled to length 1; its new value is 0.
        """


# `gelu` is exact (erf); `quick_gelu` is x·sigmoid(1.702 x), as in OpenAI's CLIP; `gelu_tanh` is the
# approximation of Hendrycks & Gimpel 2016 (arXiv:1606.08415); `relu6` is min(max(x, 0), 6).
ACTIVATIONS = ("gelu", "gelu_tanh", "quick_gelu", "relu", "relu6", "sigmoid", "silu", "tanh")


def as_float32(array: Array) -> NDArray[np.float32]:
    """A parameter as contiguous float32, whatever it was stored as."""
    return np.ascontiguousarray(array, dtype=np.float32)


def as_float16(array: Array) -> NDArray[np.float16]:
    """A parameter as float16; what is larger than float16 holds becomes its largest number."""
    largest = np.finfo(np.float16).max
    return np.clip(array, -largest, largest).astype(np.float16)
