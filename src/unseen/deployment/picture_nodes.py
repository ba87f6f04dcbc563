"""Preprocessing as nodes of an ONNX graph: pixels of any size → what the image net takes.

The result is that of Pillow 13 to the last byte. ONNX has the operator `Resize`, which is not used:
a runtime may leave out the antialiasing (OpenVINO does, and is then off by up to 78 grey levels),
rounds in its own way, and makes all of a picture of which a crop is needed. Here the filter is a
product of matrices, which every runtime has, and only the window that is kept is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from unseen.errors import ModelError
from unseen.images.preprocess import Preprocess, TwoViews
from unseen.runtimes.graph import OnnxOperations, Value

UINT8, INT64, FLOAT, DOUBLE = 2, 7, 1, 11  # of onnx.TensorProto
SUPPORT = {Image.Resampling.BICUBIC: 2.0, Image.Resampling.BILINEAR: 1.0}  # reach to either side
COEFFICIENT_BITS = 22  # of Pillow's whole-number coefficients
LOW_BITS = 11  # of these


@dataclass(frozen=True)
class Picture:
    """Bytes (n, 3, height, width) in a graph, and the values of its two sides, int64 (1,)."""

    pixels: Value
    height: Value
    width: Value


class Sizes:
    """Arithmetic on whole numbers, int64 (1,), as nodes of a graph."""

    def __init__(self, ops: OnnxOperations) -> None:
        self.ops = ops

    def number(self, value: int) -> Value:
        """A fixed number."""
        return self.ops.constant(np.array([value], dtype=np.int64))

    def __call__(self, operator: str, *values: Value | int) -> Value:
        """One node; whole numbers among its inputs become constants."""
        names = [self.number(v) if isinstance(v, int) else v for v in values]
        return self.ops.emit(operator, *names)

    def ratio(self, value: Value, other: Value | int) -> Value:
        """The quotient in double precision, as Python divides."""
        return self.ops.emit("Div", self.double(value), self.double(other))

    def double(self, value: Value | int) -> Value:
        """A whole number in double precision."""
        name = self.number(value) if isinstance(value, int) else value
        return self.ops.emit("Cast", name, to=DOUBLE)

    def whole(self, value: Value) -> Value:
        """A double as a whole number; its fraction is dropped."""
        return self.ops.emit("Cast", value, to=INT64)


def prepare(ops: OnnxOperations, preprocess: Any, images: Value) -> Value:
    """Record preprocessing.

    Parameters
    ----------
    ops : OnnxOperations
        The recorder.
    preprocess : Preprocess or TwoViews
        What is done to a picture.
    images : Value
        Bytes (n, height, width, 3) of upright RGB pictures, all of one size.

    Returns
    -------
    Value
        Bytes as the image net takes them: (n, height, width, 3), or (n, 2, side, side, 3).

    Raises
    ------
    ModelError
        If the preprocessing cannot be written as ONNX nodes.
    """
    channels_first = ops.transpose(images, (0, 3, 1, 2))
    height, width = (ops.emit("Shape", images, start=axis, end=axis + 1) for axis in (1, 2))
    picture = Picture(channels_first, height, width)
    if isinstance(preprocess, TwoViews):
        views = [_whole_on_white(ops, preprocess, picture), _centre(ops, preprocess, picture)]
        last = [ops.transpose(view, (0, 2, 3, 1)) for view in views]
        axis = ops.constant(np.array([1], dtype=np.int64))
        return ops.concat([ops.emit("Unsqueeze", view, axis) for view in last], 1)
    if not isinstance(preprocess, Preprocess):
        raise ModelError(
            "this model takes patches of a picture's own shape, which an ONNX file of one graph "
            "cannot make; export a model that takes pictures of one size."
        )
    return ops.transpose(_resize_and_crop(ops, preprocess, picture), (0, 2, 3, 1))


def _resize_and_crop(ops: OnnxOperations, p: Preprocess, picture: Picture) -> Value:
    if p.resample not in SUPPORT:
        raise ModelError(
            f"the checkpoint resizes pictures with the filter {p.resample.name}; only "
            f"{' and '.join(f.name for f in SUPPORT)} can be exported."
        )
    if p.output is None:
        raise ModelError(
            "the checkpoint makes pictures of several shapes; only those of one can be exported."
        )
    size = Sizes(ops)
    new = _target(size, p, picture) or (picture.height, picture.width)
    down, across = (
        _Axis(
            length,
            size.double(0),
            size.ratio(length, resized),
            resized,
            _start(size, p, size("Sub", resized, side)),
            side,
        )
        for length, resized, side in zip(
            (picture.height, picture.width), new, p.output, strict=True
        )
    )
    return _resampled(ops, picture, down, across, p.resample, padding=0)


def _target(size: Sizes, p: Preprocess, picture: Picture) -> tuple[Value, Value] | None:
    """(height, width) after resizing, by the rules of `Preprocess`; None: as it is."""
    height, width = picture.height, picture.width
    if p.exact is not None:
        return size.number(p.exact[0]), size.number(p.exact[1])
    if (box := p.cover or p.inside) is not None:
        ratios = [size.ratio(height, box[0]), size.ratio(width, box[1])]
        ratio = size.ops.emit("Min" if p.cover else "Max", *ratios)
        rounded = [
            size.whole(size.ops.emit("Round", size.ops.emit("Div", size.double(side), ratio)))
            for side in (height, width)
        ]
        return size("Max", rounded[0], 1), size("Max", rounded[1], 1)
    if p.shortest is None:
        return None
    upright = size("LessOrEqual", width, height)
    # Whole numbers divide as `int(a / b)` does here: no quotient comes near 2^53.
    long_height = size("Div", size("Mul", height, p.shortest), width)
    long_width = size("Div", size("Mul", width, p.shortest), height)
    return (
        size("Where", upright, long_height, p.shortest),
        size("Where", upright, p.shortest, long_width),
    )


def _start(size: Sizes, p: Preprocess, spare: Value) -> Value:
    """Where the window begins, of the pixels that are too many or, below 0, too few."""
    missing = size("Max", size("Sub", 0, spare), 0)
    before = size("Div", missing if p.round_crop else size("Add", missing, 1), 2)
    positive = size("Max", spare, 0)
    half = size("Div", positive, 2)
    if p.round_crop:
        # Half a pixel goes to the even side: one more where the spare and its half are odd.
        half = size("Add", half, size("Mul", size("Mod", positive, 2), size("Mod", half, 2)))
    return size("Sub", half, before)


# the two views of the built-in model


def _whole_on_white(ops: OnnxOperations, views: TwoViews, picture: Picture) -> Value:
    size, side = Sizes(ops), views.side
    longest = size("Max", picture.height, picture.width)

    def axis(length: Value) -> _Axis:
        new = size("Max", size("Div", size("Mul", length, side), longest), 1)
        before = size("Div", size("Sub", side, new), 2)
        scale = size.ratio(length, new)
        return _Axis(length, size.double(0), scale, new, size("Sub", 0, before), side)

    down, across = axis(picture.height), axis(picture.width)
    return _resampled(ops, picture, down, across, Image.Resampling.BICUBIC, padding=255)


def _centre(ops: OnnxOperations, views: TwoViews, picture: Picture) -> Value:
    """The centre square, whose edges may lie between two pixels."""
    size, side = Sizes(ops), views.side
    shortest = size("Min", picture.height, picture.width)

    def axis(length: Value) -> _Axis:
        offset = size.ratio(size("Sub", length, shortest), 2)
        scale = size.ratio(shortest, side)
        return _Axis(length, offset, scale, size.number(side), size.number(0), side)

    down, across = axis(picture.height), axis(picture.width)
    return _resampled(ops, picture, down, across, Image.Resampling.BICUBIC, padding=255)


# one axis after the other


@dataclass(frozen=True)
class _Axis:
    """How one axis is resampled, and the window of it that is kept."""

    length: Value  # old pixels, int64 (1,)
    offset: Value  # of the first new pixel, in old ones, double (1,)
    scale: Value  # old pixels that a new one takes, double (1,)
    new: Value  # pixels after resizing, int64 (1,)
    start: Value  # of these the first in the window, int64 (1,); below 0 there is padding
    side: int  # pixels of the window


def _resampled(
    ops: OnnxOperations,
    picture: Picture,
    down: _Axis,
    across: _Axis,
    resample: Image.Resampling,
    *,
    padding: int,
) -> Value:
    """The window of `Image.resize` of Pillow 13: bytes (n, 3, rows, columns).

    The embedding of the built-in model keeps its most probable classes, a step that one grey level
    can flip: bytes must be equal, and its box may begin at half a pixel.
    """
    size = Sizes(ops)
    places = {axis: _places(size, axis) for axis in (down, across)}

    def rows(pixels: Value) -> Value:
        return _pass(ops, pixels, down, places[down], resample)

    def columns(pixels: Value) -> Value:
        turned = ops.transpose(pixels, (0, 1, 3, 2))
        return ops.transpose(_pass(ops, turned, across, places[across], resample), (0, 1, 3, 2))

    pixels = ops.branch(
        _is_down_first(size, picture, down.new, across.new),
        lambda: columns(rows(picture.pixels)),
        lambda: rows(columns(picture.pixels)),
    )
    shown = ops.emit(
        "And",
        ops.reshape(_is_inside(size, down, places[down]), (-1, 1)),
        _is_inside(size, across, places[across]),
    )
    return ops.emit("Where", shown, pixels, ops.constant(np.array(padding, dtype=np.uint8)))


def _places(size: Sizes, axis: _Axis) -> Value:
    """Which new pixels are in the window, int64 (side,)."""
    return size("Add", axis.start, size.ops.constant(np.arange(axis.side, dtype=np.int64)))


def _is_inside(size: Sizes, axis: _Axis, places: Value) -> Value:
    above = size("GreaterOrEqual", places, 0)
    return size.ops.emit("And", above, size("Less", places, axis.new))


def _is_down_first(size: Sizes, picture: Picture, height: Value, width: Value) -> Value:
    """bool (1,): whether Pillow 13 makes the pass down before that across (its PR #9549)."""
    rows, columns = size("Sub", picture.height, height), size("Sub", picture.width, width)
    larger = size("Greater", rows, size("Mul", columns, 2))
    return size.ops.emit("And", size("Less", height, picture.height), larger)


def _pass(
    ops: OnnxOperations, pixels: Value, axis: _Axis, places: Value, resample: Image.Resampling
) -> Value:
    """Bytes (n, 3, rows, columns) → (n, 3, side, columns).

    The new rows are made in blocks, as those of a block need only some of the old ones.
    """
    indices, weights = _filter(ops, axis, places, resample)
    windows = ops.emit("Gather", pixels, indices, axis=2)  # (n, 3, blocks, taps, columns)
    sums = ops.matmul(weights, ops.emit("Cast", windows, to=FLOAT))
    block = _block(axis.side)
    high, low = (
        ops.emit("Cast", part, to=INT64)
        for part in (ops.slice(sums, 3, 0, block), ops.slice(sums, 3, block, None))
    )
    size = Sizes(ops)
    total = ops.add(size("Mul", high, 1 << LOW_BITS), low)
    half = size("Add", total, 1 << (COEFFICIENT_BITS - 1))
    # What is below 0 becomes 0 anyway, so it does not matter that whole numbers divide towards 0.
    values = size("Min", size("Max", size("Div", half, 1 << COEFFICIENT_BITS), 0), 255)
    values = ops.emit("Cast", values, to=UINT8)
    columns = ops.emit("Shape", pixels, start=3, end=4)
    start = ops.emit("Shape", pixels, start=0, end=2)
    return ops.emit("Reshape", values, ops.concat([start, size.number(axis.side), columns], 0))


def _filter(
    ops: OnnxOperations, axis: _Axis, places: Value, resample: Image.Resampling
) -> tuple[Value, Value]:
    """Which old pixels the blocks of new ones need, int64 (blocks, taps), and how much of each,
    float32 (blocks, 2 · block, taps).

    As in Pillow each new pixel's weights sum to 1, and are whole numbers of 2^-22. Those are split
    into their upper and lower bits, so that a product in float32 is exact.
    """
    size = Sizes(ops)
    block = _block(axis.side)
    widest = ops.emit("Max", axis.scale, _double(ops, 1))
    reach = ops.mul(widest, _double(ops, SUPPORT[resample]))
    width = ops.add(ops.mul(axis.scale, _double(ops, block)), ops.mul(reach, _double(ops, 2)))
    taps = size("Add", size.whole(ops.emit("Ceil", width)), 2)
    zero, one = (ops.constant(np.array(i, dtype=np.int64)) for i in (0, 1))
    steps = ops.emit("Range", zero, ops.emit("Squeeze", taps), one)
    # Padding is made of the nearest pixel, and then replaced.
    existing = size("Min", size("Max", places, 0), size("Sub", axis.new, 1))
    middles = ops.add(size.double(existing), _double(ops, 0.5))
    centres = ops.add(ops.mul(middles, axis.scale), axis.offset)
    centres = ops.reshape(centres, (-1, block, 1))
    begin = ops.emit("Floor", ops.emit("Sub", ops.slice(centres, 1, 0, 1), reach))
    indices = ops.add(size.whole(begin), ops.reshape(steps, (1, 1, -1)))  # (blocks, 1, taps)
    away = ops.emit("Sub", ops.add(size.double(indices), _double(ops, 0.5)), centres)
    weights = WEIGHTS[resample](ops, ops.emit("Abs", ops.emit("Div", away, widest)))
    last = size("Sub", axis.length, 1)
    nearest = size("Min", size("Max", indices, 0), last)
    inside = size.double(ops.emit("Equal", nearest, indices))
    weights = ops.mul(weights, inside)
    taps_axis = ops.constant(np.array([2], dtype=np.int64))
    weights = ops.emit("Div", weights, ops.emit("ReduceSum", weights, taps_axis, keepdims=1))
    scaled = ops.mul(weights, _double(ops, 1 << COEFFICIENT_BITS))
    # Half a step goes away from zero, as Pillow rounds.
    whole = ops.emit("Floor", ops.add(ops.emit("Abs", scaled), _double(ops, 0.5)))
    whole = ops.mul(whole, ops.emit("Sign", scaled))
    unit = _double(ops, 1 << LOW_BITS)
    high = ops.emit("Round", ops.emit("Div", whole, unit))
    low = ops.emit("Sub", whole, ops.mul(high, unit))
    both = ops.emit("Cast", ops.concat([high, low], 1), to=FLOAT)
    return ops.emit("Squeeze", nearest, ops.constant(np.array([1], dtype=np.int64))), both


def _block(side: int) -> int:
    """How many new pixels are made together: the largest divisor of `side` up to 16."""
    return max(n for n in range(1, 17) if side % n == 0)


def _cubic(ops: OnnxOperations, x: Value) -> Value:
    """Keys' filter (1981) with a = -0.5, at a distance in pixels of the larger raster."""
    square = ops.mul(x, x)
    cube = ops.mul(square, x)
    near = _polynomial(ops, (cube, 1.5), (square, -2.5), constant=1.0)
    far = _polynomial(ops, (cube, -0.5), (square, 2.5), (x, -4.0), constant=2.0)
    outer = ops.emit("Where", ops.emit("Less", x, _double(ops, 2)), far, _double(ops, 0))
    return ops.emit("Where", ops.emit("Less", x, _double(ops, 1)), near, outer)


def _linear(ops: OnnxOperations, x: Value) -> Value:
    """A triangle, which is 0 from a distance of 1 on."""
    return ops.emit("Max", ops.emit("Sub", _double(ops, 1), x), _double(ops, 0))


def _polynomial(ops: OnnxOperations, *terms: tuple[Value, float], constant: float) -> Value:
    total = _double(ops, constant)
    for power, factor in terms:
        total = ops.add(total, ops.mul(power, _double(ops, factor)))
    return total


def _double(ops: OnnxOperations, value: float) -> Value:
    return ops.constant(np.array(value, dtype=np.float64))


WEIGHTS: dict[Image.Resampling, Callable[[OnnxOperations, Value], Value]] = {
    Image.Resampling.BICUBIC: _cubic,
    Image.Resampling.BILINEAR: _linear,
}
