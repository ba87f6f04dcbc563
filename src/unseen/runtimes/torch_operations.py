"""The operations in torch: each notes what is to be done; `runtimes/torch.py` replays the notes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - as everyone writes it

from unseen.networks.operations import Array

Value = int  # a tensor, while a network is recorded, is a number: inputs first, then steps
Call = Callable[..., torch.Tensor]
Step = tuple[Call, tuple[Value, ...]]  # what is called, and with which values

CENTRE = 128  # subtracted from a pixel: the rest of 0…255 is then exact in bfloat16


def _split(x: torch.Tensor, heads: int) -> torch.Tensor:
    """(n, t, width) → (n, heads, t, width / heads)."""
    n, _, width = x.shape
    return x.reshape(n, -1, heads, width // heads).transpose(1, 2)


def _wide(x: torch.Tensor) -> torch.Tensor:
    """In 32 bits at least: what sums many values, or divides by a length."""
    return x if x.dtype == torch.float64 else x.float()


def _gated(x: torch.Tensor, slope: float) -> torch.Tensor:
    """x·sigmoid(slope·x), in two allocations fewer than as written."""
    return (x * slope).sigmoid_().mul_(x)


_ACTIVATIONS: dict[str, Call] = {
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "quick_gelu": lambda x: _gated(x, 1.702),
    "relu": F.relu,
    "relu6": F.relu6,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "tanh": torch.tanh,
}


class TorchOperations:
    """`Operations[int]`: each operation notes a call, and returns the number of its value.

    Parameters and what is made of them are `dtype`; constants stay float32, and a sum or product
    has the type of its first operand; `l2_normalise` gives float32, or float64 of float64.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype, inputs: int) -> None:
        """`inputs`: how many values there are before the first step."""
        self.steps: list[Step] = []
        self._device = device
        self._dtype = dtype
        self._inputs = inputs
        self._pictures: set[Value] = set()  # values that are pixels as they are, 0…255

    def _step(self, call: Call, *arguments: Value) -> Value:
        self.steps.append((call, arguments))
        return self._inputs + len(self.steps) - 1

    def _parameter(self, array: Array) -> torch.Tensor:
        # Copied, because what is read may be a map of the file, which torch does not take.
        host = torch.from_numpy(np.array(array, dtype=np.float32, order="C"))
        return host.to(self._device, self._dtype)

    def constant(self, value: Array) -> Value:
        floats = np.issubdtype(value.dtype, np.floating)
        host = torch.from_numpy(np.array(value, dtype=np.float32 if floats else None, order="C"))
        tensor = host.to(self._device)
        return self._step(lambda: tensor)

    def pixels(self, x: Value) -> Value:
        # 0…255 are exact in every type. What lies in memory stays channels-last, as cuDNN likes it.
        dtype = self._dtype
        picture = self._step(lambda x: x.to(dtype).permute(0, 3, 1, 2), x)
        self._pictures.add(picture)
        return picture

    def embedding(self, table: Array, ids: Value) -> Value:
        rows = self._parameter(table)
        return self._step(lambda ids: F.embedding(ids, rows), ids)

    def reshape(self, x: Value, shape: Sequence[int]) -> Value:
        def call(x: torch.Tensor) -> torch.Tensor:
            return x.reshape([x.shape[i] if size == 0 else size for i, size in enumerate(shape)])

        return self._step(call, x)

    def transpose(self, x: Value, axes: Sequence[int]) -> Value:
        return self._step(lambda x: x.permute(tuple(axes)), x)

    def concat(self, xs: Sequence[Value], axis: int) -> Value:
        return self._step(lambda *xs: torch.cat(xs, axis), *xs)

    def slice(self, x: Value, axis: int, start: int, stop: int | None) -> Value:
        def call(x: torch.Tensor) -> torch.Tensor:
            index = [slice(None)] * x.ndim
            index[axis] = slice(start, stop)
            return x[tuple(index)]

        return self._step(call, x)

    def first_token(self, row: Array, like: Value) -> Value:
        token = self._parameter(row)
        return self._step(lambda like: token.reshape(1, 1, -1).expand(len(like), 1, -1), like)

    def positions(self, table: Array, like: Value) -> Value:
        rows = self._parameter(table)
        return self._step(lambda like: rows[: like.shape[1]], like)

    def take_token(self, x: Value, index: Value) -> Value:
        return self._step(lambda x, at: x[torch.arange(len(x), device=x.device), at], x, index)

    def take(self, x: Value, index: Value, axis: int) -> Value:
        return self._step(lambda x, at: x[(slice(None),) * axis + (at,)], x, index)

    def add(self, a: Value, b: Value) -> Value:
        return self._step(lambda a, b: (a + b).to(a.dtype), a, b)

    def mul(self, a: Value, b: Value) -> Value:
        return self._step(lambda a, b: (a * b).to(a.dtype), a, b)

    def linear(self, x: Value, weight: Array, bias: Array | None = None) -> Value:
        w = self._parameter(weight)
        b = None if bias is None else self._parameter(bias)
        return self._step(lambda x: F.linear(x.to(w.dtype), w, b), x)

    def conv(
        self,
        x: Value,
        weight: Array,
        bias: Array | None = None,
        *,
        stride: int = 1,
        padding: tuple[int, int, int, int] = (0, 0, 0, 0),
        groups: int = 1,
    ) -> Value:
        if weight.shape[2:] == (stride, stride) and stride > 1 and groups == 1 and not any(padding):
            return self._patches(x, weight, bias)
        kernel = self._parameter(weight)
        offset = None if bias is None else self._parameter(bias)
        top, left, bottom, right = padding

        def call(x: torch.Tensor) -> torch.Tensor:
            x = x.to(kernel.dtype)
            if (top, left) != (bottom, right):
                x = F.pad(x, (left, right, top, bottom))
                return F.conv2d(x, kernel, offset, stride, 0, 1, groups)
            return F.conv2d(x, kernel, offset, stride, (top, left), 1, groups)

        return self._step(call, x)

    def _patches(self, x: Value, weight: Array, bias: Array | None) -> Value:
        """A convolution of squares that do not overlap, as one matrix product of them.

        The product adds the bias before it rounds to 16 bits, a convolution afterwards. Pixels are
        first centred, which the bias undoes exactly: rounding the weights then costs no more than
        it would with pixels normalised outside of them (without it the error doubles).
        """
        out, channels, size, _ = weight.shape
        kernel = self._parameter(weight.transpose(0, 2, 3, 1).reshape(out, -1))
        centre = CENTRE if x in self._pictures else 0
        shift = centre * weight.sum((1, 2, 3), dtype=np.float64)
        offset = self._parameter(shift if bias is None else shift + bias)

        def call(x: torch.Tensor) -> torch.Tensor:
            n, _, height, width = x.shape
            rows, columns = height // size, width // size
            x = x[:, :, : rows * size, : columns * size].to(kernel.dtype).permute(0, 2, 3, 1)
            x = x.reshape(n, rows, size, columns, size * channels).transpose(2, 3)
            x = (x - centre if centre else x).reshape(n, rows * columns, -1)
            return F.linear(x, kernel, offset).transpose(1, 2).reshape(n, out, rows, columns)

        return self._step(call, x)

    def avg_pool(self, x: Value, size: int) -> Value:
        return self._step(lambda x: F.avg_pool2d(x, size), x)

    def attention(
        self,
        q: Value,
        k: Value,
        v: Value,
        heads: int,
        *,
        causal: bool = False,
        mask: Value | None = None,
    ) -> Value:
        def call(
            q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None = None
        ) -> torch.Tensor:
            shape, queries = q.shape, q.shape[1]
            q, k, v = (_split(x, heads) for x in (q, k, v))
            if mask is None:
                y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
            else:
                visible = (mask != 0)[:, None, None, :]
                if causal:
                    visible = visible & visible.new_ones(queries, k.shape[2]).tril()
                # A query without any key takes the mean of all values: it is set to zero and sees
                # them all. The kernels themselves would make it NaN.
                blind = ~visible.any(-1, keepdim=True)
                y = F.scaled_dot_product_attention(q * ~blind, k, v, attn_mask=visible | blind)
            return y.transpose(1, 2).reshape(shape)

        return self._step(call, q, k, v, *([] if mask is None else [mask]))

    def tree_attention(
        self, q: Value, k: Value, v: Value, heads: int, queries: Value, keys: Value, bias: Value
    ) -> Value:
        def call(
            q: torch.Tensor,
            k: torch.Tensor,
            v: torch.Tensor,
            queries: torch.Tensor,
            keys: torch.Tensor,
            bias: torch.Tensor,
        ) -> torch.Tensor:
            width = q.shape[2]
            q = _split(q[0][queries], heads)
            k, v = (_split(x[0][keys], heads) for x in (k, v))
            mask = bias.to(q.dtype)[:, None]
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
            return y.transpose(1, 2).reshape(1, -1, width)

        return self._step(call, q, k, v, queries, keys, bias)

    def attention_weights(
        self, q: Value, k: Value, heads: int, *, causal: bool = False, mask: Value | None = None
    ) -> Value:
        def call(
            q: torch.Tensor, k: torch.Tensor, mask: torch.Tensor | None = None
        ) -> torch.Tensor:
            queries, keys = _split(q, heads), _split(k, heads)
            scores = _wide(queries) @ _wide(keys).transpose(2, 3) / queries.shape[3] ** 0.5
            if causal:
                visible = scores.new_ones(scores.shape[2:], dtype=torch.bool).tril()
                scores = scores.masked_fill(~visible, -torch.inf)
            if mask is not None:
                # The least number, not -inf: a query without any key takes the mean.
                hidden = (mask == 0)[:, None, None, :]
                scores = scores.masked_fill(hidden, torch.finfo(scores.dtype).min)
            weights: torch.Tensor = scores.softmax(-1).to(q.dtype)
            return weights

        return self._step(call, q, k, *([] if mask is None else [mask]))

    def matmul(self, a: Value, b: Value) -> Value:
        return self._step(lambda a, b: a @ b.to(a.dtype), a, b)

    def layer_norm(self, x: Value, weight: Array, bias: Array, epsilon: float) -> Value:
        w, b = self._parameter(weight), self._parameter(bias)
        return self._step(lambda x: F.layer_norm(x.to(w.dtype), w.shape, w, b, epsilon), x)

    def activation(self, x: Value, name: str) -> Value:
        return self._step(_ACTIVATIONS[name], x)

    def softmax(self, x: Value) -> Value:
        return self._step(lambda x: x.softmax(-1), x)

    def keep_top(self, x: Value, k: int) -> Value:
        return self._step(lambda x: x.masked_fill(x < x.topk(k, -1).values[..., -1:], 0), x)

    def mean(self, x: Value, axes: Sequence[int]) -> Value:
        return self._step(lambda x: x.mean(tuple(axes)), x)

    def masked_mean(self, x: Value, mask: Value) -> Value:
        def call(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            weights = mask.unsqueeze(2).float()
            total = (_wide(x) * weights).sum(1)
            return (total / weights.sum(1).clamp(min=1e-9)).to(x.dtype)

        return self._step(call, x, mask)

    def l2_normalise(self, x: Value) -> Value:
        return self._step(lambda x: F.normalize(_wide(x), dim=-1), x)

    def complete(self, x: Value) -> Value:
        def call(x: torch.Tensor) -> torch.Tensor:
            x = _wide(x)
            length = x.norm(dim=-1, keepdim=True)
            rest = (1 - length.clamp(max=1).square()).sqrt()
            return torch.cat([x / length.clamp(min=1), rest], -1)

        return self._step(call, x)
