"""Operations on float32 that give the same bits on every machine: what int8 is rounded from.

A value near the middle between two whole numbers is rounded to one or to the other by the last bit
of a float, and each such step moves the values behind it. Runtimes differ in that bit: they sum in
another order, fuse a multiplication with an addition, and have their own exponential. So here are

- additions, multiplications, divisions and square roots of single values alone, as nodes of their
  own: IEEE 754 says what they give;
- sums in double precision, or of whole multiples of a power of two that stay below 2²⁴ of it, which
  are exact in any order;
- rational functions in place of exponentials.

What is behind a network's pooling is as in every other precision.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.typing import NDArray

from unseen.networks.operations import Array, as_float32
from unseen.runtimes.graph import CompiledOperations, Value

FLOAT, DOUBLE = 1, 11  # of onnx.TensorProto
SUM_BITS = 22  # of the largest sum that is expected: two fewer than float32 keeps, for other inputs
WEIGHT_BITS = 13  # of attention's weights, which sum to 1
SQUARINGS, START, END = 5, 1.03996503, 0.99925455  # of the exponential, below
LARGEST_POWER = 1e20  # above it p / (1 + |p|) is 1
ROUNDS = 1.5 * 2**23  # added to a value and taken away, this leaves a whole number


@dataclass(frozen=True)
class Curve:
    """x·σ(x) of a σ that is like the logistic function: ½ + ½ tanh z, with some z of x.

    tanh z is near p / (1 + |p|) with p = u (u² + shift)ⁿ, u = scale·x and n = 2^squarings, as it is
    z near 0, and at both ends nearer to ±1 than any power. Fitted to the least largest error of
    x·σ(x), which is 0.0036 (silu 0.0061, both GELUs 0.0042); int8 has steps of 0.01 and more.
    """

    scale: float
    shift: float
    squarings: int

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """As the graph computes it, in numpy."""
        u = x * np.float32(self.scale)
        power = np.minimum((u * u + np.float32(self.shift)) ** 2**self.squarings, LARGEST_POWER)
        p = u * power
        return as_float32(u * (p / (1 + np.abs(p)) + 1) / np.float32(2 * self.scale))

    @property
    def least(self) -> float:
        """Its least value, and a little less."""
        return 1.001 * float(self(np.linspace(-8, 0, 20_001).astype(np.float32)).min())


CURVES = {
    "gelu": Curve(0.49198657180769156, 1.1953584867353406, 2),
    "gelu_tanh": Curve(0.493155805097659, 1.1923280303735042, 2),
    "quick_gelu": Curve(0.713276321829972, 1.2410083956394447, 1),
    "silu": Curve(0.41908127017841, 1.241008396140366, 1),
}


@dataclass(frozen=True)
class Normed:
    """A layer norm that was recorded: centred · inverse · weight + bias."""

    centred: Value
    inverse: Value  # of the deviation of each row
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


@dataclass(frozen=True)
class Scaled:
    """A linear layer that was recorded: product · scale + bias."""

    product: Value
    scale: Value  # of each row
    bias: NDArray[np.float32] | None


@dataclass(frozen=True)
class Curved:
    """An activation that was recorded: value · factor."""

    value: Value
    factor: float
    least: float  # of the value


class ExactOperations(CompiledOperations):
    """Records layer norms, activations and attention. `ranges`: of each layer, see `int8`.

    The tables hold what a value was made of: a reader of it may take that instead, and what nobody
    reads in the end is not written.
    """

    def __init__(self, parameters: IO[bytes] | None, ranges: Sequence[NDArray[np.float32]]) -> None:
        super().__init__(parameters)
        self._ranges: Iterator[NDArray[np.float32]] = iter(ranges)
        # Where no layer is rounded nothing is gained.
        self._exact = any(largest.size for largest in ranges)
        self.normed: dict[Value, Normed] = {}
        self.scaled: dict[Value, Scaled] = {}
        self.curved: dict[Value, Curved] = {}
        self.mixed: set[Value] = set()  # what attention gave

    def layer_norm(self, x: Value, weight: Array, bias: Array, epsilon: float) -> Value:
        if not self._exact:
            return super().layer_norm(x, weight, bias, epsilon)
        wide, axis = self.emit("Cast", x, to=DOUBLE), self._integers(-1)
        mean = self.emit("ReduceMean", wide, axis, keepdims=1)
        squares = self.emit("ReduceMean", self.mul(wide, wide), axis, keepdims=1)
        variance = self.emit("Sub", squares, self.mul(mean, mean))
        variance = self.emit("Clip", variance, self._double(0))
        deviation = self.emit("Sqrt", self.add(variance, self._double([[epsilon]])))
        inverse = self.emit("Cast", self.emit("Reciprocal", deviation), to=FLOAT)
        centred = self.emit("Sub", x, self.emit("Cast", mean, to=FLOAT))
        weight, bias = as_float32(weight), as_float32(bias)
        y = self.mul(self.mul(centred, inverse), self.constant(weight))
        y = self.add(y, self.constant(bias))
        self.normed[y] = Normed(centred, inverse, weight, bias)
        return y

    def activation(self, x: Value, name: str) -> Value:
        curve = CURVES.get(name)
        if curve is None or x not in self.scaled:  # of anything but a layer in int8
            return super().activation(x, name)
        u = self._times(x, curve.scale)
        power = self.add(self.mul(u, u), self._number(curve.shift))
        for _ in range(curve.squarings):
            power = self.mul(power, power)
        if curve.squarings > 1:  # of an x of 4e4 it would be infinite, and the quotient no number
            power = self.emit("Min", power, self._number(LARGEST_POWER))
        sign = self.emit("Softsign", self.mul(u, power))
        value = self.mul(u, self.add(sign, self._number(1)))
        factor = 0.5 / curve.scale
        y = self.mul(value, self._number(factor))
        self.curved[y] = Curved(value, factor, curve.least / factor)
        return y

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
        q_whole, k_whole, v_whole = self._whole_inputs(q, k, v)
        queries_by_head, keys_by_head, values_by_head = (
            self._split(x, heads, [0, 2, 1, 3]) for x in (q_whole, k_whole, v_whole)
        )
        # ONNX Runtime reads the keys the other way round, and copies nothing.
        turned = self.emit("Transpose", keys_by_head, perm=[0, 1, 3, 2])
        scores = self.emit("MatMul", queries_by_head, turned)
        weights = self._rounded_softmax(self._visible(scores, q, causal=causal, mask=mask))
        y = self.emit("MatMul", weights, values_by_head)
        joined = self.emit("Transpose", y, perm=[0, 2, 1, 3])
        mixed = self.emit("Reshape", joined, self.emit("Shape", q))
        self.mixed.add(mixed)
        return mixed

    def tree_attention(
        self, q: Value, k: Value, v: Value, heads: int, queries: Value, keys: Value, bias: Value
    ) -> Value:
        q, k, v = self._whole_inputs(q, k, v)
        scores = self._tree_scores(q, k, heads, queries, keys, bias)
        mixed = self._tree_values(self._rounded_softmax(scores), v, heads, keys)
        self.mixed.add(mixed)
        return mixed

    def take(self, x: Value, index: Value, axis: int) -> Value:
        y = super().take(x, index, axis)
        if x in self.mixed:
            self.mixed.add(y)
        return y

    def _whole_inputs(self, q: Value, k: Value, v: Value) -> tuple[Value, Value, Value]:
        """Queries, keys and values of an attention, whose products are exact sums."""
        queries, keys, values, size = (float(i) for i in next(self._ranges))
        factor = 2.0**-SQUARINGS / math.sqrt(size)
        return (
            self._whole(q, queries * factor / 2 ** (SUM_BITS / 2), factor),
            self._whole(k, keys / 2 ** (SUM_BITS / 2)),
            self._whole(v, values / 2 ** (SUM_BITS - WEIGHT_BITS)),
        )

    def _rounded_softmax(self, x: Value) -> Value:
        """softmax(32 x) in multiples of 2⁻¹³.

        With x ≤ 0 and v = max(x + START, 0), eˣ is about v² + END but for a factor, and e³²ˣ is
        that to the 32nd: fitted to the least error beside the largest weight, which is 5e-5.
        """
        axis = self._integers(-1)
        largest = self.emit("ReduceMax", x, axis, keepdims=1)
        # Beside a score of 2²⁴ or more START is nothing: what float32 still tells apart, then.
        least = self.mul(self.emit("Abs", largest), self._of_rows(2.0**-22))
        start = self.emit("Sub", largest, self.emit("Clip", least, self._number(START)))
        v = self.emit("Clip", self.emit("Sub", x, start), self._number(0), self._number(START))
        e = self.add(self.mul(v, v), self._number(END))
        for _ in range(SQUARINGS):
            e = self.mul(e, e)
        total = self.emit("ReduceSum", self.emit("Cast", e, to=DOUBLE), axis, keepdims=1)
        inverse = self.emit("Cast", self.emit("Reciprocal", total), to=FLOAT)
        return self._whole(self.mul(e, inverse), 2.0**-WEIGHT_BITS)

    def _whole(self, x: Value, step: float, factor: float = 1.0) -> Value:
        """x · factor in multiples of a power of two, of `step` or the next larger one."""
        shift = ROUNDS * 2.0 ** math.ceil(math.log2(max(step, 1e-30)))
        return self.emit("Sub", self._times(x, factor, shift), self._number(shift))

    def _times(self, x: Value, factor: float, shift: float = 0.0) -> Value:
        """x · factor + shift, with no node more than x itself took, where x is a linear layer."""
        layer = self.scaled.get(x)
        if layer is None:
            x = x if factor == 1 else self.mul(x, self._number(factor))
            return self.add(x, self._number(shift)) if shift else x
        scale = layer.scale if factor == 1 else self.mul(layer.scale, self._of_rows(factor))
        y = self.mul(layer.product, scale)
        bias = np.zeros(1) if layer.bias is None else layer.bias.astype(np.float64)
        return self.add(y, self.constant(as_float32(bias * factor + shift)))

    def _of_rows(self, value: float) -> Value:
        """For products with a number of each row, (…, 1): ONNX Runtime takes 5 to 30 times as long
        with a number that has no axes."""
        return self.constant(np.full((1, 1), value, dtype=np.float32))

    def _double(self, value: float | list[list[float]]) -> Value:
        return self.constant(np.array(value, dtype=np.float64))
