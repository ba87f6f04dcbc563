"""FastViT (Vasu et al. 2023, arXiv:2303.14189) as MobileCLIP has it (arXiv:2311.17049, 2508.20691).

Every convolution of the checkpoint with its parallel branches, batch norms and scales is one
convolution with a bias here, as the authors' own code makes them for use. What a checkpoint has no
parameter for it does not do: positions, squeeze-and-excitation, the norm before attention.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from unseen.networks.layers import (
    excitation,
    image_inputs,
    linear,
    normalised_pixels,
    optional_norm,
    tower,
)
from unseen.networks.network import Network, Parameters
from unseen.networks.operations import Operations

T = TypeVar("T")

HEAD_WIDTH = 32  # of every attention
EPSILON = 1e-5  # of the layer norms, where there are any


@dataclass(frozen=True)
class FastViTConfig:
    """What a checkpoint's config and the names of its weights say. `stages`: blocks in each."""

    image_size: tuple[int, int]  # height, width
    stages: tuple[int, ...]
    activation: str
    dimension: int
    scale: tuple[float, float, float]  # of a pixel 0…255, a channel: x·scale + shift
    shift: tuple[float, float, float]


def network(config: FastViTConfig, parameters: Parameters) -> Network[Any]:
    """The image net: uint8 (n, height, width, 3) → `embedding` (n, dimension), and `features` (n,
    channels of the last convolution), see `layers.tower`."""
    return tower(
        "image",
        image_inputs(config.image_size),
        partial(vision, config),
        parameters,
        dimension=config.dimension,
    )


def vision(config: FastViTConfig, ops: Operations[T], p: Parameters, images: T) -> T:
    """uint8 (n, height, width, 3) → the mean over the pixels of the last convolution."""
    return ops.mean(places(config, ops, p, images), (2, 3))


def grid(config: FastViTConfig, p: Parameters) -> tuple[int, int]:
    """Rows and columns of `places`: the stem halves a side twice, a stage that shrinks once."""
    shrunk = sum(f"stages.{stage}.shrink.weight" in p for stage in range(len(config.stages)))
    height, width = config.image_size
    for _ in range(2 + shrunk):
        height, width = _halved(height), _halved(width)
    return height, width


def places(config: FastViTConfig, ops: Operations[T], p: Parameters, images: T) -> T:
    """uint8 (n, height, width, 3) → the last convolution, (n, channels, rows, columns)."""
    x = normalised_pixels(ops, images, config.scale, config.shift)
    act = partial(ops.activation, name=config.activation)
    x = act(_conv(ops, p, "stem.0", x, 2))
    x = act(_conv(ops, p, "stem.1", x, 2, p["stem.1.weight"].shape[0]))
    x = act(_conv(ops, p, "stem.2", x))
    channels = p["stem.2.weight"].shape[0]
    height, width = (_halved(_halved(side)) for side in config.image_size)
    for stage, count in enumerate(config.stages):
        prefix = f"stages.{stage}."
        if f"{prefix}shrink.weight" in p:
            x = _conv(ops, p, f"{prefix}shrink", x, 2, channels)
            x = act(_squeezed(ops, p, f"{prefix}shrink", x))
            x = act(_conv(ops, p, f"{prefix}mix", x))
            channels = p[f"{prefix}mix.weight"].shape[0]
            height, width = _halved(height), _halved(width)
        if f"{prefix}positions.weight" in p:
            x = _conv(ops, p, f"{prefix}positions", x, 1, channels)  # x itself is in it
        for block in range(count):
            x = _block(ops, p, f"{prefix}{block}.", x, (height, width), config)
    return act(_squeezed(ops, p, "last", _conv(ops, p, "last", x, 1, channels)))


def _block(
    ops: Operations[T],
    p: Parameters,
    prefix: str,
    x: T,
    size: tuple[int, int],
    config: FastViTConfig,
) -> T:
    """Mix the pixels, by a convolution or by attention, then the channels of each."""
    channels = p[prefix + "filter.weight"].shape[0]
    if prefix + "mixer.weight" in p:
        x = _conv(ops, p, prefix + "mixer", x, 1, channels)  # x itself is in it
    else:
        x = ops.add(x, _attention(ops, p, prefix, x, size))
    h = _conv(ops, p, prefix + "mlp1", _conv(ops, p, prefix + "filter", x, 1, channels))
    return ops.add(x, _conv(ops, p, prefix + "mlp2", ops.activation(h, config.activation)))


def _attention(ops: Operations[T], p: Parameters, prefix: str, x: T, size: tuple[int, int]) -> T:
    """(n, channels, height, width) → the same: every pixel sees every other."""
    channels = p[prefix + "query.weight"].shape[1]
    h = ops.transpose(ops.reshape(x, (0, channels, -1)), (0, 2, 1))
    h = optional_norm(ops, p, prefix + "norm", h, EPSILON)
    q, k, v = (linear(ops, p, prefix + name, h) for name in ("query", "key", "value"))
    h = linear(ops, p, prefix + "out", ops.attention(q, k, v, channels // HEAD_WIDTH))
    return ops.reshape(ops.transpose(h, (0, 2, 1)), (0, channels, *size))


def _squeezed(ops: Operations[T], p: Parameters, name: str, x: T) -> T:
    """x with its channels weighed, where there are the parameters for that."""
    if name + ".squeeze.weight" not in p:
        return x
    return ops.mul(x, excitation(ops, p, name + ".", x, "relu"))


def _conv(
    ops: Operations[T], p: Parameters, name: str, x: T, stride: int = 1, groups: int = 1
) -> T:
    """A convolution that pads by half its kernel; `groups`: the channels of x, each by itself."""
    weight = p[name + ".weight"]
    half = weight.shape[2] // 2
    return ops.conv(
        x, weight, p[name + ".bias"], stride=stride, padding=(half, half, half, half), groups=groups
    )


def _halved(side: int) -> int:
    return (side + 1) // 2
