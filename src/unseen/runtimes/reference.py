"""The operations in plain numpy: short and slow, the definition of right.

The other runtimes are held against this one; it is held against transformers (tests/judges).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.networks.network import Network
from unseen.networks.operations import Array, as_float32

Tensor = NDArray[Any]


def run(network: Network[Tensor], *inputs: Array) -> NDArray[np.float32]:
    """Carry `network` out on arrays → its primary output, float32."""
    (output,) = run_outputs(network, *inputs).values()
    return output


def run_outputs(
    network: Network[Tensor], *inputs: Array, outputs: Sequence[str] | None = None
) -> dict[str, NDArray[np.float32]]:
    """Carry `network` out on arrays → the requested outputs by name, float32."""
    values = network.apply(NumpyOperations(), *inputs, outputs=outputs)
    return {name: as_float32(value) for name, value in values.items()}


def _erf(x: Tensor) -> Tensor:
    """numpy has none; math.erf a value at a time is slow and right."""
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x), dtype=np.float32)


def _sigmoid(x: Tensor) -> Tensor:
    with np.errstate(over="ignore"):
        return np.asarray(1.0 / (1.0 + np.exp(-x)), dtype=np.float32)


def _split(x: Tensor, heads: int) -> Tensor:
    """(n, t, width) → (n, heads, t, width / heads)."""
    n, _, width = x.shape
    return np.transpose(x.reshape(n, -1, heads, width // heads), (0, 2, 1, 3))


# GELU and its approximation by tanh: Hendrycks & Gimpel 2016 (arXiv:1606.08415), §2.
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": lambda x: x * 0.5 * (1.0 + _erf(x / np.float32(math.sqrt(2.0)))),
    "gelu_tanh": lambda x: (
        0.5 * x * (1.0 + np.tanh(np.float32(math.sqrt(2.0 / math.pi)) * (x + 0.044715 * x**3)))
    ),
    "quick_gelu": lambda x: x * _sigmoid(1.702 * x),
    "relu": lambda x: np.maximum(x, 0.0),
    "relu6": lambda x: np.clip(x, 0.0, 6.0),
    "sigmoid": _sigmoid,
    "silu": lambda x: x * _sigmoid(x),
    "tanh": np.tanh,
}


class NumpyOperations:
    """`Operations[ndarray]`; see the protocol for what each one means."""

    def constant(self, value: Array) -> Tensor:
        return value

    def pixels(self, x: Tensor) -> Tensor:
        return np.asarray(np.moveaxis(x, 3, 1), dtype=np.float32)

    def embedding(self, table: Array, ids: Tensor) -> Tensor:
        return as_float32(table[ids])

    def reshape(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        return x.reshape([x.shape[i] if size == 0 else size for i, size in enumerate(shape)])

    def transpose(self, x: Tensor, axes: Sequence[int]) -> Tensor:
        return np.transpose(x, axes)

    def concat(self, xs: Sequence[Tensor], axis: int) -> Tensor:
        return np.concatenate(xs, axis)

    def slice(self, x: Tensor, axis: int, start: int, stop: int | None) -> Tensor:
        index: list[slice] = [slice(None)] * x.ndim
        index[axis] = slice(start, stop)
        return x[tuple(index)]

    def first_token(self, row: Array, like: Tensor) -> Tensor:
        return np.broadcast_to(as_float32(row), (len(like), 1, row.size))

    def positions(self, table: Array, like: Tensor) -> Tensor:
        return as_float32(table[: like.shape[1]])

    def take_token(self, x: Tensor, index: Tensor) -> Tensor:
        return np.asarray(x[np.arange(len(x)), index])

    def take(self, x: Tensor, index: Tensor, axis: int) -> Tensor:
        return np.take(x, index, axis)

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        return np.asarray(a + b)

    def mul(self, a: Tensor, b: Tensor) -> Tensor:
        return np.asarray(a * b)

    def linear(self, x: Tensor, weight: Array, bias: Array | None = None) -> Tensor:
        y = x @ as_float32(weight).T
        return np.asarray(y if bias is None else y + as_float32(bias))

    def conv(
        self,
        x: Tensor,
        weight: Array,
        bias: Array | None = None,
        *,
        stride: int = 1,
        padding: tuple[int, int, int, int] = (0, 0, 0, 0),
        groups: int = 1,
    ) -> Tensor:
        top, left, bottom, right = padding
        x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
        kernel = as_float32(weight)
        n, channels = x.shape[:2]
        out, _, kh, kw = kernel.shape
        view: Any = np.lib.stride_tricks.sliding_window_view  # its types before numpy 2.3 are wrong
        windows = view(x, (kh, kw), axis=(2, 3))
        windows = windows[:, :, ::stride, ::stride]  # (n, channels, h, w, kh, kw)
        h, w = windows.shape[2:4]
        windows = windows.reshape(n, groups, channels // groups, h, w, kh, kw)
        kernel = kernel.reshape(groups, out // groups, channels // groups, kh, kw)
        y = np.einsum("ngchwij,gocij->ngohw", windows, kernel, optimize=True)
        y = y.reshape(n, out, h, w)
        return np.asarray(y if bias is None else y + as_float32(bias).reshape(1, -1, 1, 1))

    def avg_pool(self, x: Tensor, size: int) -> Tensor:
        n, channels, h, w = x.shape
        h, w = h // size, w // size
        squares = x[:, :, : h * size, : w * size].reshape(n, channels, h, size, w, size)
        return np.asarray(squares.mean((3, 5)))

    def attention(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        heads: int,
        *,
        causal: bool = False,
        mask: Tensor | None = None,
    ) -> Tensor:
        weights = self.attention_weights(q, k, heads, causal=causal, mask=mask)
        y = weights @ _split(v, heads)
        return np.transpose(y, (0, 2, 1, 3)).reshape(q.shape)

    def tree_attention(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        heads: int,
        queries: Tensor,
        keys: Tensor,
        bias: Tensor,
    ) -> Tensor:
        q, k, v = (_split(x[0][nodes], heads) for x, nodes in ((q, queries), (k, keys), (v, keys)))
        scores = q @ k.transpose(0, 1, 3, 2) / np.float32(math.sqrt(q.shape[3]))
        y = self.softmax(scores + bias[:, None]) @ v
        return np.transpose(y, (0, 2, 1, 3)).reshape(1, queries.size, -1)

    def attention_weights(
        self, q: Tensor, k: Tensor, heads: int, *, causal: bool = False, mask: Tensor | None = None
    ) -> Tensor:
        size = q.shape[2] // heads
        scores = _split(q, heads) @ _split(k, heads).transpose(0, 1, 3, 2)
        # So that their variance does not grow with the size (Vaswani et al. 2017, §3.2.1).
        scores = scores / np.float32(math.sqrt(size))
        if causal:
            scores = np.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -np.inf)
        if mask is not None:
            # The least number, not -inf: a query without any key takes the mean instead of NaN.
            scores = np.where(mask[:, None, None, :] != 0, scores, np.finfo(np.float32).min)
        return self.softmax(scores)

    def matmul(self, a: Tensor, b: Tensor) -> Tensor:
        return np.asarray(a @ b)

    def layer_norm(self, x: Tensor, weight: Array, bias: Array, epsilon: float) -> Tensor:
        centred = x - x.mean(-1, keepdims=True)
        variance = (centred**2).mean(-1, keepdims=True)
        scaled = centred / np.sqrt(variance + np.float32(epsilon))
        return np.asarray(scaled * as_float32(weight) + as_float32(bias))

    def activation(self, x: Tensor, name: str) -> Tensor:
        return np.asarray(_ACTIVATIONS[name](x), dtype=np.float32)

    def softmax(self, x: Tensor) -> Tensor:
        e = np.exp(x - x.max(-1, keepdims=True))  # without the largest, exp would overflow
        return np.asarray(e / e.sum(-1, keepdims=True))

    def keep_top(self, x: Tensor, k: int) -> Tensor:
        kth = np.partition(x, -k, axis=-1)[..., -k, None]
        return np.where(x >= kth, x, np.float32(0))

    def mean(self, x: Tensor, axes: Sequence[int]) -> Tensor:
        return np.asarray(x.mean(tuple(axes)))

    def masked_mean(self, x: Tensor, mask: Tensor) -> Tensor:
        weights = mask.astype(np.float32)[..., None]
        return np.asarray((x * weights).sum(1) / np.maximum(weights.sum(1), 1e-9))

    def l2_normalise(self, x: Tensor) -> Tensor:
        # 1e-12 keeps a row of zeros a row of zeros instead of NaN.
        return np.asarray(x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12))

    def complete(self, x: Tensor) -> Tensor:
        length = np.linalg.norm(x, axis=-1, keepdims=True)
        rest = np.sqrt(1 - np.minimum(length, 1) ** 2)  # |x|² + rest² = 1
        return np.concatenate([x / np.maximum(length, 1), rest], -1)
