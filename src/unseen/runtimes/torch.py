"""Records a network as a list of torch calls, once, and replays it on a GPU.

Imported only when a device other than the processor was asked for: importing torch takes seconds.
`TorchNetwork` runs a network's body once, with operations that note what is to be done; parameters
are read there, one at a time, and go to the device. Every call replays the notes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from unseen.errors import ModelError
from unseen.networks.operations import Array, Network

try:
    import torch
    import torch.nn.functional as F  # noqa: N812 - as everyone writes it
except ImportError as error:
    raise ModelError(
        f'A GPU needs torch, which cannot be imported here ({error}): pip install "unseen[gpu]", '
        'or device="cpu", which needs none.'
    ) from error

R = TypeVar("R")

Value = int  # a tensor, while a network is recorded, is a number: inputs first, then steps
Call = Callable[..., torch.Tensor]

# What a device without memory left says, in whichever words: torch has no one class for it.
OUT_OF_MEMORY = ("out of memory", "not enough memory", "ALLOC_FAILED")

CENTRE = 128  # of the values of a pixel: what is left of 0…255 is exact in bfloat16

DEVICES = '"auto", "cpu", "cuda", "cuda:0" (any number) or "mps"'


class OutOfMemory(Exception):  # noqa: N818 - an event that is handled, not an error to report
    """The device has too little memory for what was asked; what was cached there is freed."""


def device_for(wanted: str) -> str | None:
    """The torch device that is meant, checked; None for the processor, ONNX Runtime's.

    "auto" is the best GPU there is. Raises ModelError for a device that is not here.
    """
    kind, _, number = wanted.partition(":")
    if wanted == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else None
    if wanted == "cpu":
        return None
    if kind == "cuda" and (wanted == "cuda" or (number.isascii() and number.isdecimal())):
        _check_cuda(wanted, int(number or 0))
        return f"cuda:{int(number)}" if number else "cuda"  # torch refuses "cuda:01"
    if wanted == "mps":
        if not torch.backends.mps.is_available():
            raise ModelError(
                'device="mps": torch finds no Apple GPU here (it needs an Apple chip, macOS 12.3 '
                'and a torch for it); use device="cpu".'
            )
        return wanted
    raise ModelError(f"device={wanted!r} is none that is known: {DEVICES}.")


def _check_cuda(wanted: str, number: int) -> None:
    if torch.version.cuda is None and torch.version.hip is None:
        raise ModelError(
            f"device={wanted!r}: the installed torch {torch.__version__} is built without CUDA; "
            'install one with it (https://pytorch.org/get-started/locally/), or use device="cpu".'
        )
    if not torch.cuda.is_available():
        raise ModelError(
            f"device={wanted!r}: torch finds no CUDA device here; see whether `nvidia-smi` lists "
            'one and whether its driver is new enough, or use device="cpu".'
        )
    count = torch.cuda.device_count()
    if number >= count:
        raise ModelError(
            f"device={wanted!r}: there is no such device, torch finds {count}, counted from 0; "
            f'use "cuda:{count - 1}" or a lower number.'
        )


def default_dtype(device: str) -> torch.dtype:
    """The fastest type that keeps the rankings: bfloat16 or float16 on a GPU, float32 elsewhere."""
    kind = torch.device(device).type
    if kind == "cuda":
        # Older cards than Ampere only emulate bfloat16, though torch says that they support it.
        modern = torch.version.hip is not None or torch.cuda.get_device_capability(device)[0] >= 8
        return torch.bfloat16 if modern else torch.float16
    return torch.float16 if kind == "mps" else torch.float32


def half_precision(device: str) -> str | None:
    """The name of the 16-bit type that `default_dtype` takes; None where it takes float32."""
    names = {torch.bfloat16: "bf16", torch.float16: "fp16"}
    return names.get(default_dtype(device))


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def version() -> str:
    """The release of torch."""
    return str(torch.__version__)


class TorchNetwork:
    """A network on a device; may be called from several threads.

    A batch that the device has no memory for is run in parts, and so is every later one of its
    size.
    """

    def __init__(self, network: Network[Value], device: str, dtype: torch.dtype | None = None):
        """`dtype`: of parameters and values, by default `default_dtype`. Raises ModelError."""
        self._name = network.name
        self._device = torch.device(device)
        self._inputs = len(network.inputs)
        self._dimension = network.dimension
        recorder = TorchOperations(
            self._device, default_dtype(device) if dtype is None else dtype, self._inputs
        )
        try:
            self._output: Value = self._guarded(
                lambda: network.body(recorder, *range(self._inputs))
            )
        except OutOfMemory as error:
            raise ModelError(
                f"{device}: the weights of the {self._name} net do not fit into what memory is "
                f'free there; use device="cpu". ({error})'
            ) from None
        self._steps = recorder.steps
        self._last = _last_uses(self._steps, self._inputs, self._output)
        # Threads may lower this at the same time; what is lost then costs one more attempt.
        self._most: int | None = None  # rows in a batch, once a larger one did not fit

    def __call__(self, *inputs: Array) -> NDArray[np.float32]:
        """Arrays in the order of the network's inputs → float32 (n, dimension)."""
        if len(inputs) != self._inputs:
            raise ValueError(f"{len(inputs)} inputs to a network of {self._inputs}")
        count, start = len(inputs[0]), 0
        parts: list[NDArray[np.float32]] = []
        while start < count:
            size = min(count - start, self._most or count)
            batch = [array[start : start + size] for array in inputs]
            try:
                parts.append(self._guarded(self._replay, *batch))
            except OutOfMemory as error:
                if size <= 1:
                    raise ModelError(
                        f"{self._device}: out of memory with a batch of one; this device is too "
                        f'small for the {self._name} net, or too full: use device="cpu". ({error})'
                    ) from None
                self._most = min(size // 2, self._most or count)
            else:
                start += size
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([np.zeros((0, self._dimension), np.float32), *parts])

    @torch.inference_mode()
    def _replay(self, *inputs: Array) -> NDArray[np.float32]:
        """One batch, in one go. A value is let go after the last step that reads it."""
        values: dict[Value, torch.Tensor] = {
            number: self._to_device(array) for number, array in enumerate(inputs)
        }
        for number, ((call, arguments), last) in enumerate(
            zip(self._steps, self._last, strict=True), self._inputs
        ):
            values[number] = call(*(values[i] for i in arguments))
            for i in last:
                del values[i]
        output: NDArray[np.float32] = values[self._output].float().cpu().numpy()
        return output

    def _to_device(self, array: Array) -> torch.Tensor:
        host = torch.from_numpy(np.require(array, requirements=["C", "W"]))
        if self._device.type != "cuda":
            return host.to(self._device)
        return host.pin_memory().to(self._device, non_blocking=True)

    def _guarded(self, work: Callable[..., R], *arguments: Any) -> R:
        """`work(*arguments)`; OutOfMemory where that is what it dies of."""
        try:
            return work(*arguments)
        except RuntimeError as error:
            reason = str(error)
            if not any(sign in reason for sign in OUT_OF_MEMORY):
                raise
        # The error is gone here, and with its frames the tensors that they held.
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        elif self._device.type == "mps":
            torch.mps.empty_cache()
        raise OutOfMemory(reason)


def _last_uses(
    steps: Sequence[tuple[Call, tuple[Value, ...]]], inputs: int, output: Value
) -> list[tuple[Value, ...]]:
    """For each step the values that nothing reads after it; the output is read at the end."""
    last: list[tuple[Value, ...]] = []
    seen = {output}
    for index in range(len(steps) - 1, -1, -1):
        _, arguments = steps[index]
        made = inputs + index  # also gone at once when nobody reads it
        done = {*arguments, made} - seen
        seen |= done
        last.append(tuple(done))
    return last[::-1]


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
    has the type of its first operand; `l2_normalise` gives float32, whatever it is given.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype, inputs: int) -> None:
        """`inputs`: how many values there are before the first step."""
        self.steps: list[tuple[Call, tuple[Value, ...]]] = []
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
        token = self._parameter(row).reshape(1, 1, -1)
        return self._step(lambda like: token.expand(len(like), 1, -1), like)

    def positions(self, table: Array, like: Value) -> Value:
        rows = self._parameter(table)
        return self._step(lambda like: rows[: like.shape[1]], like)

    def take_token(self, x: Value, index: Value) -> Value:
        return self._step(lambda x, at: x[torch.arange(len(x), device=x.device), at], x, index)

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
            n, queries, width = q.shape
            q, k, v = (x.reshape(n, -1, heads, width // heads).transpose(1, 2) for x in (q, k, v))
            if mask is None:
                y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
            else:
                seen = (mask != 0)[:, None, None, :]
                if causal:
                    seen = seen & seen.new_ones(queries, k.shape[2]).tril()
                # A query that no key is shown to takes the mean of all values: it is set to zero
                # and sees them all. The kernels themselves would make it NaN.
                blind = ~seen.any(-1, keepdim=True)
                y = F.scaled_dot_product_attention(q * ~blind, k, v, attn_mask=seen | blind)
            return y.transpose(1, 2).reshape(n, queries, width)

        return self._step(call, q, k, v, *([] if mask is None else [mask]))

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
            total = (x.float() * weights).sum(1)
            return (total / weights.sum(1).clamp(min=1e-9)).to(x.dtype)

        return self._step(call, x, mask)

    def l2_normalise(self, x: Value) -> Value:
        return self._step(lambda x: F.normalize(x.float(), dim=-1), x)

    def complete(self, x: Value) -> Value:
        def call(x: torch.Tensor) -> torch.Tensor:
            x = x.float()
            length = x.norm(dim=-1, keepdim=True)
            left = (1 - length.clamp(max=1).square()).sqrt()
            return torch.cat([x / length.clamp(min=1), left], -1)

        return self._step(call, x)
