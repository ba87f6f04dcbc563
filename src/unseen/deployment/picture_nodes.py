"""Preprocessing as nodes of an ONNX graph: pixels of any size → what the image net takes.

The result is that of Pillow 13 within one grey level. Four things make it so (each was tried):
`Resize` works on bytes, as rounding between its two passes is part of the result; each pass is a
node of its own, in the order that Pillow takes; `exclude_outside` gives the filter's weights at an
edge; and both take computed sizes, because a scale would be rounded otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from unseen.errors import ModelError
from unseen.images.preprocess import WHOLE_RATIO, Preprocess, TwoViews
from unseen.runtimes.graph import OnnxOperations, Value

UINT8, INT64, FLOAT, DOUBLE = 2, 7, 1, 11  # of onnx.TensorProto
FILTERS: dict[Image.Resampling, dict[str, Any]] = {
    Image.Resampling.BICUBIC: {"mode": "cubic", "cubic_coeff_a": -0.5},
    Image.Resampling.BILINEAR: {"mode": "linear"},
}
CUBIC_SUPPORT = 2.0
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
    if p.resample not in FILTERS:
        raise ModelError(
            f"the checkpoint resizes pictures with the filter {p.resample.name}; only "
            f"{' and '.join(f.name for f in FILTERS)} can be exported."
        )
    if p.crop is not None and (p.shortest is not None or p.cover is not None):
        picture = _shorter(ops, picture)
    sizes = _target(Sizes(ops), p, picture)
    if sizes is not None:
        picture = resize(ops, picture, *sizes, p.resample)
    return picture.pixels if p.crop is None else _crop(ops, p, picture)


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


def _shorter(ops: OnnxOperations, picture: Picture) -> Picture:
    """A picture far longer than wide, without its ends, which the crop would cut off anyway.

    So many pixels go on both sides that the middle stays where it was: a multiple of the short
    side, which becomes a multiple of the crop's. 1 × 2,000 would be resized to 224 × 448,000.
    """
    size = Sizes(ops)

    def spare(side: Value, other: Value) -> Value:
        times = size(
            "Div", size("Sub", side, size("Mul", other, WHOLE_RATIO)), size("Mul", other, 2)
        )
        return size("Mul", size("Max", times, 0), other)

    top, left = spare(picture.height, picture.width), spare(picture.width, picture.height)
    starts = ops.concat([top, left], 0)
    bottom, right = size("Sub", picture.height, top), size("Sub", picture.width, left)
    pixels = _slice(ops, picture.pixels, starts, ops.concat([bottom, right], 0))
    return Picture(pixels, size("Sub", bottom, top), size("Sub", right, left))


def resize(
    ops: OnnxOperations,
    picture: Picture,
    height: Value,
    width: Value,
    resample: Image.Resampling,
) -> Picture:
    """`Image.resize` of Pillow 13: one pass an axis, the first across but for tall pictures."""
    size = Sizes(ops)
    down_first = _is_down_first(size, picture, height, width)
    between = [
        ops.emit("Where", down_first, height, picture.height),
        ops.emit("Where", down_first, picture.width, width),
    ]
    pixels = picture.pixels
    for sides in (between, [height, width]):
        pixels = _resize_pass(ops, pixels, sides, resample)
    return Picture(pixels, height, width)


def _is_down_first(size: Sizes, picture: Picture, height: Value, width: Value) -> Value:
    """bool (1,): whether Pillow 13 makes the pass down before that across (its PR #9549)."""
    rows, columns = size("Sub", picture.height, height), size("Sub", picture.width, width)
    larger = size("Greater", rows, size("Mul", columns, 2))
    return size.ops.emit("And", size("Less", height, picture.height), larger)


def _resize_pass(
    ops: OnnxOperations, pixels: Value, sides: list[Value], resample: Image.Resampling
) -> Value:
    # All four sizes: with the attribute `axes` ONNX Runtime cannot infer shapes in linear mode.
    batch = ops.emit("Shape", pixels, start=0, end=2)
    return ops.emit(
        "Resize",
        pixels,
        "",
        "",
        ops.concat([batch, *sides], 0),
        antialias=1,
        exclude_outside=1,
        coordinate_transformation_mode="half_pixel",
        **FILTERS[resample],
    )


def _crop(ops: OnnxOperations, p: Preprocess, picture: Picture) -> Value:
    """The window in the middle, padded with black where the picture is smaller."""
    assert p.crop is not None
    size = Sizes(ops)
    sides = list(zip((picture.height, picture.width), p.crop, strict=True))
    pixels = picture.pixels
    if p.exact is not None or p.cover is not None or (p.shortest or 0) >= max(p.crop):
        spare = [size("Sub", side, window) for side, window in sides]
        if p.exact is not None and any(e < c for e, c in zip(p.exact, p.crop, strict=True)):
            pixels, spare = _padded(ops, p, pixels, spare, 0)
    else:
        pixels, spare = _padded(ops, p, pixels, [size("Sub", a, b) for a, b in sides], 0)
    starts = ops.concat([_middle(size, p, value) for value in spare], 0)
    ends = ops.emit("Add", starts, ops.constant(np.array(p.crop, dtype=np.int64)))
    return _slice(ops, pixels, starts, ends)


def _middle(size: Sizes, p: Preprocess, spare: Value) -> Value:
    """Where the window begins, of the pixels that are too many."""
    half = size("Div", spare, 2)
    if not p.round_crop:
        return half
    # Half a pixel goes to the even side: one more where the spare and its half are odd.
    return size("Add", half, size("Mul", size("Mod", spare, 2), size("Mod", half, 2)))


def _padded(
    ops: OnnxOperations, p: Preprocess, pixels: Value, spare: list[Value], value: int
) -> tuple[Value, list[Value]]:
    """Pixels around the picture where too few are there, and how many are too many then."""
    size = Sizes(ops)
    missing = [size("Max", size("Sub", 0, s), 0) for s in spare]
    before = [
        size("Div", m, 2) if p.round_crop else size("Div", size("Add", m, 1), 2) for m in missing
    ]
    after = [size("Sub", m, b) for m, b in zip(missing, before, strict=True)]
    return _pad(ops, pixels, before, after, value), [size("Max", s, 0) for s in spare]


def _pad(
    ops: OnnxOperations, pixels: Value, before: list[Value], after: list[Value], value: int
) -> Value:
    none = ops.constant(np.array([0, 0], dtype=np.int64))
    pads = ops.concat([none, *before, none, *after], 0)
    return ops.emit("Pad", pixels, pads, ops.constant(np.array(value, dtype=np.uint8)))


def _slice(ops: OnnxOperations, pixels: Value, starts: Value, ends: Value) -> Value:
    axes = ops.constant(np.array([2, 3], dtype=np.int64))
    return ops.emit("Slice", pixels, starts, ends, axes)


# the two views of the built-in model


def _whole_on_white(ops: OnnxOperations, views: TwoViews, picture: Picture) -> Value:
    size, side = Sizes(ops), views.side
    longest = size("Max", picture.height, picture.width)
    fitted = [
        size("Max", size("Div", size("Mul", s, side), longest), 1)
        for s in (picture.height, picture.width)
    ]
    down, across = (
        _Axis(length, size.double(0), size.ratio(length, new))
        for length, new in zip((picture.height, picture.width), fitted, strict=True)
    )
    whole = _resampled(ops, picture, side, down, across, fitted)
    whole = _slice(
        ops, whole, ops.constant(np.array([0, 0], dtype=np.int64)), ops.concat(fitted, 0)
    )
    spare = [size("Sub", side, s) for s in fitted]
    before = [size("Div", s, 2) for s in spare]
    after = [size("Sub", s, b) for s, b in zip(spare, before, strict=True)]
    return _pad(ops, whole, before, after, 255)


def _centre(ops: OnnxOperations, views: TwoViews, picture: Picture) -> Value:
    """The centre square, whose edges may lie between two pixels."""
    size = Sizes(ops)
    shortest = size("Min", picture.height, picture.width)
    down, across = (
        _Axis(
            length, size.ratio(size("Sub", length, shortest), 2), size.ratio(shortest, views.side)
        )
        for length in (picture.height, picture.width)
    )
    sides = [size.number(views.side)] * 2
    return _resampled(ops, picture, views.side, down, across, sides)


@dataclass(frozen=True)
class _Axis:
    """How one axis is resampled: its pixels, where the first new one begins, and how many old
    ones each new one takes (both in double precision)."""

    length: Value
    offset: Value
    scale: Value


def _resampled(
    ops: OnnxOperations,
    picture: Picture,
    side: int,
    down: _Axis,
    across: _Axis,
    sides: list[Value],
) -> Value:
    """Pillow's bicubic resize to the last byte: (n, 3, side, side); `sides`: the part that counts.

    The embedding of the built-in model keeps its most probable classes, a step that one grey level
    can flip, so here the bytes are equal, and the box may begin at half a pixel; `Resize` can do
    neither.
    """

    def rows(pixels: Value) -> Value:
        return _pass(ops, pixels, side, down)

    def columns(pixels: Value) -> Value:
        turned = _pass(ops, ops.transpose(pixels, (0, 1, 3, 2)), side, across)
        return ops.transpose(turned, (0, 1, 3, 2))

    return ops.branch(
        _is_down_first(Sizes(ops), picture, *sides),
        lambda: columns(rows(picture.pixels)),
        lambda: rows(columns(picture.pixels)),
    )


def _pass(ops: OnnxOperations, pixels: Value, side: int, axis: _Axis) -> Value:
    """Bytes (n, 3, rows, columns) → (n, 3, side, columns).

    The new rows are made in blocks, as those of a block need only some of the old ones.
    """
    indices, weights = _filter(ops, side, axis)
    windows = ops.emit("Gather", pixels, indices, axis=2)  # (n, 3, blocks, taps, columns)
    sums = ops.matmul(weights, ops.emit("Cast", windows, to=FLOAT))
    block = _block(side)
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
    return ops.emit("Reshape", values, ops.concat([start, size.number(side), columns], 0))


def _filter(ops: OnnxOperations, side: int, axis: _Axis) -> tuple[Value, Value]:
    """Which old pixels the blocks of new ones need, int64 (blocks, taps), and how much of each,
    float32 (blocks, 2 · block, taps).

    The weight at a distance x, in pixels of the larger of the two rasters, is Keys' (1981) with
    a = -0.5. As in Pillow each new pixel's weights sum to 1, and are whole numbers of 2^-22. Those
    are split into their upper and lower bits, so that a product in float32 is exact.
    """
    size = Sizes(ops)
    block = _block(side)
    widest = ops.emit("Max", axis.scale, _double(ops, 1))
    reach = ops.mul(widest, _double(ops, CUBIC_SUPPORT))
    width = ops.add(ops.mul(axis.scale, _double(ops, block)), ops.mul(reach, _double(ops, 2)))
    taps = size("Add", size.whole(ops.emit("Ceil", width)), 2)
    zero, one = (ops.constant(np.array(i, dtype=np.int64)) for i in (0, 1))
    steps = ops.emit("Range", zero, ops.emit("Squeeze", taps), one)
    targets = (np.arange(side, dtype=np.float64) + 0.5).reshape(-1, block, 1)
    centres = ops.add(ops.mul(ops.constant(targets), axis.scale), axis.offset)
    begin = ops.emit("Floor", ops.emit("Sub", ops.slice(centres, 1, 0, 1), reach))
    indices = ops.add(size.whole(begin), ops.reshape(steps, (1, 1, -1)))  # (blocks, 1, taps)
    away = ops.emit("Sub", ops.add(size.double(indices), _double(ops, 0.5)), centres)
    weights = _cubic(ops, ops.emit("Abs", ops.emit("Div", away, widest)))
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
    square = ops.mul(x, x)
    cube = ops.mul(square, x)
    near = _polynomial(ops, (cube, 1.5), (square, -2.5), constant=1.0)
    far = _polynomial(ops, (cube, -0.5), (square, 2.5), (x, -4.0), constant=2.0)
    within = ops.emit("Less", x, _double(ops, CUBIC_SUPPORT))
    outer = ops.emit("Where", within, far, _double(ops, 0))
    return ops.emit("Where", ops.emit("Less", x, _double(ops, 1)), near, outer)


def _polynomial(ops: OnnxOperations, *terms: tuple[Value, float], constant: float) -> Value:
    total = _double(ops, constant)
    for power, factor in terms:
        total = ops.add(total, ops.mul(power, _double(ops, factor)))
    return total


def _double(ops: OnnxOperations, value: float) -> Value:
    return ops.constant(np.array(value, dtype=np.float64))
