"""Layers that find their parameters by name, and what every tower begins and ends with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from unseen.networks.network import (
    EMBEDDING,
    FEATURES,
    PROJECTED,
    Input,
    Network,
    Output,
    Parameters,
)
from unseen.networks.operations import Array, Operations, as_float32

T = TypeVar("T")
Channels = tuple[float, float, float]  # red, green, blue
BATCH_NORM_EPSILON = 1e-5  # torch's, which no config states
TO_LAST, TO_SECOND = (0, 2, 3, 1), (0, 3, 1, 2)  # where the axis of the channels goes


def linear(ops: Operations[T], p: Parameters, name: str, x: T) -> T:
    """The parameters `name`.weight and, where there is one, `name`.bias: (…, in) → (…, out)."""
    return ops.linear(x, p[name + ".weight"], p.get(name + ".bias"))


def norm(ops: Operations[T], p: Parameters, name: str, x: T, epsilon: float) -> T:
    """The layer norm `name` over the last axis."""
    return ops.layer_norm(x, p[name + ".weight"], p[name + ".bias"], epsilon)


def optional_norm(ops: Operations[T], p: Parameters, name: str, x: T, epsilon: float) -> T:
    """As `norm`; x itself where there is no such parameter."""
    return norm(ops, p, name, x, epsilon) if name + ".weight" in p else x


def norm_of_channels(ops: Operations[T], p: Parameters, name: str, x: T, epsilon: float) -> T:
    """The layer norm `name` over the channels of each pixel: (n, channels, height, width)."""
    return ops.transpose(norm(ops, p, name, ops.transpose(x, TO_LAST), epsilon), TO_SECOND)


def normalised_pixels(ops: Operations[T], images: T, scale: Channels, shift: Channels) -> T:
    """uint8 (n, height, width, 3) → x·scale + shift, float32 (n, 3, height, width).

    For networks whose first convolution pads: its zeros come after the normalisation, which
    therefore cannot be folded into its weights.
    """
    factor, offset = (
        ops.constant(np.array(c, dtype=np.float32).reshape(1, 3, 1, 1)) for c in (scale, shift)
    )
    return ops.add(ops.mul(ops.pixels(images), factor), offset)


def fold_normalisation(
    weight: Array,
    bias: Array | None,
    scale: Channels,
    shift: Channels,
) -> tuple[Array, Array]:
    """A convolution of x·scale + shift as one of x itself.

    Exact because that convolution has no padding; done in float64, so that it costs no digits.
    """
    kernel = weight.astype(np.float64)
    constant = (kernel * np.reshape(shift, (1, 3, 1, 1))).sum((1, 2, 3))
    if bias is not None:
        constant = constant + bias
    return as_float32(kernel * np.reshape(scale, (1, 3, 1, 1))), as_float32(constant)


def excitation(ops: Operations[T], p: Parameters, prefix: str, x: T, activation: str) -> T:
    """(n, channels, height, width) → (n, channels, 1, 1): how much each channel counts, 0…1.

    Squeeze-and-excitation (Hu et al. 2018, arXiv:1709.01507): the parameters `prefix`squeeze and
    `prefix`excite.
    """
    h = ops.reshape(ops.mean(x, (2, 3)), (0, -1, 1, 1))
    for name, last in (("squeeze", activation), ("excite", "sigmoid")):
        weight, bias = p[f"{prefix}{name}.weight"], p[f"{prefix}{name}.bias"]
        h = ops.activation(ops.conv(h, weight, bias), last)
    return h


def image_inputs(size: tuple[int, int]) -> tuple[Input, ...]:
    """What an image tower is given: uint8 pictures (n, height, width, 3)."""
    return (Input("images", "uint8", (None, *size, 3)),)


def tower(
    name: str,
    inputs: tuple[Input, ...],
    features: Callable[..., Any],
    parameters: Parameters,
    *,
    dimension: int,
    width: int | None = None,
) -> Network[Any]:
    """One side of a dual encoder.

    Parameters
    ----------
    name : str
        "image" or "text".
    inputs : tuple of Input
        What the network is given.
    features : callable
        ``features(operations, parameters, *tensors)`` → one vector an item, (n, width).
    parameters : mapping of str to array
        Those that `features` uses, and ``projection.weight`` where there is a projection.
    dimension : int
        The length of an embedding.
    width : int, optional
        The length of the features; None if the config does not say it.

    Returns
    -------
    Network
        Its outputs: `embedding` (n, dimension), the projected features, rows of length 1;
        `features` (n, width); and `projected` (n, dimension), of any length.
    """

    def body(
        ops: Operations[T], p: Parameters, requested: frozenset[str], *tensors: T
    ) -> dict[str, T]:
        x = features(ops, p, *tensors)
        values = {FEATURES: x}
        if requested & {EMBEDDING, PROJECTED}:
            values[PROJECTED] = linear(ops, p, "projection", x) if "projection.weight" in p else x
        if EMBEDDING in requested:
            values[EMBEDDING] = ops.l2_normalise(values[PROJECTED])
        return values

    outputs = (
        Output(EMBEDDING, (None, dimension)),
        Output(FEATURES, (None, width)),
        Output(PROJECTED, (None, dimension)),
    )
    return Network(name, inputs, outputs, body, parameters)
