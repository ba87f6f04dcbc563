"""Linear layers in whole numbers of 8 bits, for CPUs.

A weight has a scale a column and is stored as int8. What comes in gets a scale a row, which means a
token of a picture, so that a picture's embedding does not depend on the others in its batch. What
an activation gives is hardly ever negative: its zero lies low, which leaves it finer steps. What a
norm gives is divided, a channel by a fixed number, and the weight's row multiplied by it, which
evens out the few channels that are far larger than the rest (SmoothQuant, Xiao et al. 2022,
arXiv:2211.10438, at α = 0.5): one factor with the norm's own; its constant goes into the layer's.

Pixels are bytes already: patches are multiplied as they are. Between two layers all is as `exact`
says, so that a net gives the same bits on every machine that multiplies whole numbers. The layers
behind the pooling stay in float32: they cost nothing, and their errors would reach the embedding.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, ClassVar

import numpy as np
from numpy.typing import NDArray

from unseen.networks.operations import Array, as_float32
from unseen.runtimes.exact import ExactOperations, Scaled
from unseen.runtimes.graph import CONTRIBUTED, Value

BLOCKS_OPSET = 21  # the first whose QuantizeLinear takes a scale for each row of any tensor
SMALLEST = 1 << 14  # parameters: a smaller layer gains nothing
ALPHA = 0.5
LARGEST_DIVISOR = 1e3
ZERO = 128  # unsigned, this is 0: the kernels multiply unsigned by signed
LOW_ZERO = 40  # the same of values that are hardly ever negative


def weight_bits() -> int:
    """8, or 7 where two products added in 16 bits may overflow: x86 CPUs without AVX-512 VNNI.

    Their instruction (VPMADDUBSW) adds u8·s8 + u8·s8 and cuts at 32,767 in silence; with weights of
    at most 63 the sum stays below it. VNNI and ARM add in 32 bits.
    """
    if platform.machine().lower() not in ("x86_64", "amd64", "i386", "i686", "x86"):
        return 8
    try:
        from numpy._core._multiarray_umath import __cpu_features__ as features  # type: ignore[import-not-found]  # noqa: PLC0415
    except ImportError:  # numpy 1, or another arrangement: what is always right
        return 7
    return 8 if features.get("AVX512VNNI") else 7


@dataclass(frozen=True)
class Rows:
    """Values in 8 bits: value = factor · scale · (row - zero) + offset."""

    rows: Value  # uint8
    zero: int
    scale: Value  # of each row
    factor: NDArray[np.float32]  # of each channel, or of all
    offset: NDArray[np.float32] | None  # of each channel


class Int8Operations(ExactOperations):
    """Records linear layers in 8 bits. `ranges`: the largest input of each channel, a layer.

    A layer with an empty range stays in float32.
    """

    domains: ClassVar[Mapping[str, int]] = {"": BLOCKS_OPSET, CONTRIBUTED: 1}

    def __init__(
        self, parameters: IO[bytes] | None, ranges: Sequence[NDArray[np.float32]], bits: int
    ) -> None:
        super().__init__(parameters, ranges)
        self._top = 2 ** (bits - 1) - 1
        # Values in 8 bits, by the name of what they were: queries, keys and values share theirs.
        self._rows: dict[Value, Rows] = {}
        self._bytes: dict[Value, Value] = {}  # of pixels: the picture's bytes

    def linear(self, x: Value, weight: Array, bias: Array | None = None) -> Value:
        largest = next(self._ranges)
        if weight.size < SMALLEST or not largest.size:
            return super().linear(x, weight, bias)
        matrix = as_float32(weight.T)
        if x not in self._rows:
            self._rows[x] = self._quantised(x, largest, matrix)
        x8 = self._rows[x]
        if x8.offset is not None:
            constant = x8.offset.astype(np.float64) @ matrix
            bias = constant if bias is None else constant + bias
        matrix = matrix * x8.factor.reshape(-1, 1)
        scale = np.maximum(np.abs(matrix).max(0), 1e-12) / self._top
        product = self._product(x8.rows, x8.zero, np.round(matrix / scale), scale)
        layer = Scaled(product, x8.scale, None if bias is None else as_float32(bias))
        y = self.mul(product, x8.scale)
        if layer.bias is not None:
            y = self.add(y, self.constant(layer.bias))
        self.scaled[y] = layer
        return y

    def _product(self, rows: Value, zero: int, weight: Array, scale: Array) -> Value:
        return self.emit(
            "MatMulIntegerToFloat",
            rows,
            self.constant(weight.astype(np.int8)),
            self._number(1.0),
            self.constant(as_float32(scale)),
            self.constant(np.array(zero, dtype=np.uint8)),
            domain=CONTRIBUTED,
        )

    def _quantised(self, x: Value, largest: Array, matrix: NDArray[np.float32]) -> Rows:
        """Float32 (…, channels) in 8 bits."""
        width, one = len(matrix), np.ones(1, dtype=np.float32)
        if x in self.curved:
            curved = self.curved[x]
            highest = self.emit("ReduceMax", curved.value, self._integers(-1), keepdims=1)
            scale = self.mul(highest, self._of_rows(1 / (255 - LOW_ZERO)))
            scale = self.emit("Clip", scale, self._number(-curved.least / LOW_ZERO))
            rows = self._rounded(curved.value, width, scale, LOW_ZERO)
            return Rows(rows, LOW_ZERO, scale, one * np.float32(curved.factor), None)
        if x in self.mixed:  # its channels come from one layer, and are alike
            scale = self._largest(x)
            return Rows(self._rounded(x, width, scale, ZERO), ZERO, scale, one, None)
        divisor, normed = _divisor(largest, matrix), self.normed.get(x)
        value, factor = (x, one) if normed is None else (normed.centred, normed.weight)
        even = self.mul(value, self.constant(as_float32(factor / divisor)))
        scale = self._largest(even)
        rows = self._rounded(even, width, scale, ZERO)
        if normed is None:
            return Rows(rows, ZERO, scale, divisor, None)
        return Rows(rows, ZERO, self.mul(scale, normed.inverse), divisor, normed.bias)

    def _largest(self, x: Value) -> Value:
        """The largest absolute value of each row, in 127 steps."""
        axis = self._integers(-1)
        highest = self.emit("ReduceMax", x, axis, keepdims=1)
        lowest = self.emit("Neg", self.emit("ReduceMin", x, axis, keepdims=1))
        largest = self.mul(self.emit("Max", highest, lowest), self._of_rows(1 / 127))
        return self.emit("Clip", largest, self._number(1e-12 / 127))

    def _rounded(self, x: Value, width: int, scale: Value, zero: int) -> Value:
        """x / scale + zero as uint8; `scale` has a number for each row."""
        zeros = self._filled(self.emit("Shape", scale), np.array([zero], dtype=np.uint8))
        return self.emit("QuantizeLinear", x, scale, zeros, axis=-1, block_size=width)

    def pixels(self, x: Value) -> Value:
        y = super().pixels(x)
        self._bytes[y] = x
        return y

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
        """Of bytes in squares side by side, a product of whole numbers; else as in float32."""
        out, channels, height, width = weight.shape
        in_squares = height == width == stride and not any(padding) and groups == 1
        if x not in self._bytes or not in_squares or not self._exact:
            return super().conv(x, weight, bias, stride=stride, padding=padding, groups=groups)
        # (n, H, W, 3): first the rows of the squares lie beside each other, then the squares.
        rows = self.reshape(self._bytes[x], (0, 0, -1, width * channels))
        squares = self.reshape(self.transpose(rows, (0, 2, 1, 3)), (0, 0, -1, weight[0].size))
        squares = self.transpose(squares, (0, 2, 1, 3))
        kernel = as_float32(weight).transpose(0, 2, 3, 1)
        scale = np.maximum(np.abs(kernel).max((1, 2, 3)), 1e-12) / self._top
        matrix = _diffused(kernel / scale.reshape(-1, 1, 1, 1), self._top).reshape(out, -1).T
        y = self._product(squares, 0, matrix, scale)
        if bias is not None:
            y = self.add(y, self.constant(as_float32(bias)))
        return self.transpose(y, (0, 3, 1, 2))


def _divisor(largest: NDArray[np.float32], matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """What each channel is divided by: more where its values are large and its weights small."""
    # Only what is larger than usual counts: of few tokens the small ranges are chance.
    values = np.maximum(largest, np.median(largest)).astype(np.float64) + 1e-5
    weights = np.abs(matrix).max(1).astype(np.float64)
    weights = np.maximum(weights, np.median(weights)) + 1e-5
    divisor = values**ALPHA / weights ** (1 - ALPHA)  # SmoothQuant, equation 4
    divisor /= np.exp(np.log(divisor).mean())  # geometric mean 1: only ratios count
    return as_float32(np.clip(divisor, 1 / LARGEST_DIVISOR, LARGEST_DIVISOR))


def _diffused(kernel: Array, top: int) -> NDArray[np.float64]:
    """A kernel (out, rows, columns, channels) in whole numbers, each error added to the next value.

    From left to right, and in the next row from right to left: errors of neighbours cancel, and so
    do their products with the pixels of a picture, where neighbours are alike.
    """
    whole = np.zeros(kernel.shape)
    carried = np.zeros(kernel[:, 0, 0].shape)
    rows, columns = kernel.shape[1:3]
    for row in range(rows):
        for column in range(columns)[:: -1 if row % 2 else 1]:
            value = kernel[:, row, column] + carried
            whole[:, row, column] = np.clip(np.round(value), -top, top)
            carried = value - whole[:, row, column]
    return whole
