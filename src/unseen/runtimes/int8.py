"""Linear layers in whole numbers of 8 bits, for CPUs.

A weight has a scale a column and is stored as int8. What comes in gets a scale a row, which means a
token of a picture, so that a picture's embedding does not depend on the others in its batch. Before
that each channel is divided by a fixed number, and the weight's row multiplied by it, which evens
out the few channels that are far larger than the rest (SmoothQuant, Xiao et al. 2022,
arXiv:2211.10438, at α = 0.5). All other operations stay in float32, and so do the layers behind
the pooling: they cost nothing, and their errors would reach the embedding whole.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import IO

import numpy as np
from numpy.typing import NDArray

from unseen.networks.operations import Array, as_float32
from unseen.runtimes.graph import CONTRIBUTED, CompiledOperations, Value

SMALLEST = 1 << 14  # parameters: a smaller layer gains nothing
ALPHA = 0.5
LARGEST_DIVISOR = 1e3
ZERO = 128  # unsigned, this is 0: the kernels multiply unsigned by signed


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


class Int8Operations(CompiledOperations):
    """Records linear layers in 8 bits. `ranges`: the largest input of each channel, a layer.

    A layer with an empty range stays in float32.
    """

    def __init__(
        self, parameters: IO[bytes] | None, ranges: Sequence[NDArray[np.float32]], bits: int
    ) -> None:
        super().__init__(parameters)
        self._ranges = iter(ranges)
        self._top = 2 ** (bits - 1) - 1
        # Values in 8 bits, by the name of what they were: queries, keys and values share theirs.
        self._rows: dict[Value, tuple[Value, Value, NDArray[np.float32]]] = {}

    def linear(self, x: Value, weight: Array, bias: Array | None = None) -> Value:
        largest = next(self._ranges)
        if weight.size < SMALLEST or not largest.size:
            return super().linear(x, weight, bias)
        matrix = as_float32(weight.T)
        if x not in self._rows:
            divisor = _divisor(largest, matrix)
            self._rows[x] = (*self._quantised(x, divisor), divisor)
        rows, row_scale, divisor = self._rows[x]
        matrix = matrix * divisor[:, None]
        scale = np.maximum(np.abs(matrix).max(0), 1e-12) / self._top
        y = self.emit(
            "MatMulIntegerToFloat",
            rows,
            self.constant(np.round(matrix / scale).astype(np.int8)),
            self._number(1.0),
            self.constant(scale.astype(np.float32)),
            self.constant(np.array(ZERO, dtype=np.uint8)),
            self.constant(np.zeros(matrix.shape[1], dtype=np.int8)),
            domain=CONTRIBUTED,
        )
        y = self.mul(y, row_scale)
        return y if bias is None else self.add(y, self.constant(as_float32(bias)))

    def _quantised(self, x: Value, divisor: NDArray[np.float32]) -> tuple[Value, Value]:
        """Float32 (…, channels) → uint8 around `ZERO`, and the scale of each row."""
        even = self.mul(x, self.constant(as_float32(1 / divisor)))
        largest = self.emit("ReduceMax", self.emit("Abs", even), self._integers(-1), keepdims=1)
        largest = self.emit("Max", largest, self._number(1e-12))
        steps = self.mul(even, self.emit("Div", self._number(127.0), largest))
        # The cast cuts towards zero, and all is above it: half a step more rounds.
        rows = self.emit("Cast", self.add(steps, self._number(ZERO + 0.5)), to=2)
        return rows, self.mul(largest, self._number(1 / 127))


def _divisor(largest: NDArray[np.float32], matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """What each channel is divided by: more where its values are large and its weights small."""
    # Only what is larger than usual counts: of few tokens the small ranges are chance.
    values = np.maximum(largest, np.median(largest)).astype(np.float64) + 1e-5
    weights = np.abs(matrix).max(1).astype(np.float64)
    weights = np.maximum(weights, np.median(weights)) + 1e-5
    divisor = values**ALPHA / weights ** (1 - ALPHA)  # SmoothQuant, equation 4
    divisor /= np.exp(np.log(divisor).mean())  # geometric mean 1: only ratios count
    return as_float32(np.clip(divisor, 1 / LARGEST_DIVISOR, LARGEST_DIVISOR))
