"""The operations that a network is written in, as a protocol.

A network is a plain function of an `Operations` object and its input tensors. What a tensor *is*
belongs to the runtime: a numpy array, a value in an ONNX graph that is being recorded, a torch
tensor. Parameters are numpy arrays and go to the operations as they are; a runtime converts them.

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
        """A fixed array as a tensor; broadcasting follows numpy."""

    def pixels(self, x: T) -> T:
        """uint8 (n, height, width, 3) → float32 (n, 3, height, width), values kept 0…255."""

    def embedding(self, table: Array, ids: T) -> T:
        """Rows of `table` (vocabulary, width) by int64 `ids` (…) → (…, width)."""

    def reshape(self, x: T, shape: Sequence[int]) -> T:
        """0 keeps that axis, one -1 takes what is left (ONNX's rule)."""

    def transpose(self, x: T, axes: Sequence[int]) -> T: ...

    def concat(self, xs: Sequence[T], axis: int) -> T: ...

    def slice(self, x: T, axis: int, start: int, stop: int | None) -> T:
        """`x[start:stop]` along `axis`, which is kept."""

    def first_token(self, row: Array, like: T) -> T:
        """A parameter (width,) as (n, 1, width), n taken from the first axis of `like`."""

    def positions(self, table: Array, like: T) -> T:
        """The first t rows of `table` (longest, width), t the second axis of `like`."""

    def take_token(self, x: T, index: T) -> T:
        """(n, t, width) and int64 (n,) → (n, width): one token of each row."""

    # arithmetic
    def add(self, a: T, b: T) -> T: ...

    def mul(self, a: T, b: T) -> T: ...

    def linear(self, x: T, weight: Array, bias: Array | None = None) -> T:
        """`x @ weight.T + bias` on the last axis."""

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
        """2-D convolution; `padding` with zeros is (top, left, bottom, right)."""

    def avg_pool(self, x: T, size: int) -> T:
        """(n, channels, h, w) → (n, channels, h // size, w // size): the mean of each square."""

    def attention(
        self, q: T, k: T, v: T, heads: int, *, causal: bool = False, mask: T | None = None
    ) -> T:
        """Scaled dot-product attention, softmax(q kᵀ / √d) v, on (n, t, width) split into heads.

        `mask` is int64 (n, keys): 0 hides a key. `causal` hides every key after its query
        (queries and keys are then the same tokens).
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
        """Over the last axis."""

    def activation(self, x: T, name: str) -> T:
        """One of `ACTIVATIONS`."""

    def softmax(self, x: T) -> T:
        """Over the last axis."""

    def keep_top(self, x: T, k: int) -> T:
        """(n, m) → the same with all but the k largest of each row set to 0."""

    def mean(self, x: T, axes: Sequence[int]) -> T:
        """Mean over `axes`, which are dropped."""

    def masked_mean(self, x: T, mask: T) -> T:
        """(n, t, width) and int64 (n, t) → (n, width): mean of the tokens whose mask is 1."""

    def l2_normalise(self, x: T) -> T:
        """Rows of the last axis to length 1."""

    def complete(self, x: T) -> T:
        """(n, m) → (n, m + 1): one number more, not below zero, which makes rows as long as 1.

        Rows longer than 1 are first cut to it: their number is 0.
        """


# `gelu` is exact (erf); `quick_gelu` is x·sigmoid(1.702 x), OpenAI's own; `gelu_tanh` the
# approximation; `relu6` is min(max(x, 0), 6).
ACTIVATIONS = ("gelu", "gelu_tanh", "quick_gelu", "relu", "relu6", "sigmoid", "silu", "tanh")


def as_float32(array: Array) -> NDArray[np.float32]:
    """A parameter as contiguous float32, whatever it was stored as."""
    return np.ascontiguousarray(array, dtype=np.float32)


def as_float16(array: Array) -> NDArray[np.float16]:
    """A parameter as float16; what is larger than float16 holds becomes its largest number."""
    largest = np.finfo(np.float16).max
    return np.clip(array, -largest, largest).astype(np.float16)
