"""ConvNeXt (Liu et al. 2022, arXiv:2201.03545) as OpenCLIP has it, from timm.

The scale of a block's branch is folded into its last layer. What a checkpoint has no parameter for
it does not do: the hidden layer between the pooled features and the projection.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from unseen.networks.layers import (
    TO_LAST,
    TO_SECOND,
    fold_normalisation,
    image_inputs,
    linear,
    norm,
    norm_of_channels,
    tower,
)
from unseen.networks.network import Network, Parameters
from unseen.networks.operations import Operations

T = TypeVar("T")

HIDDEN_ACTIVATION = "gelu"  # between the pooled features and the projection


@dataclass(frozen=True)
class ConvNeXtConfig:
    """What a checkpoint's config says. `stages`: how many blocks each has; the first convolution's
    stride is its kernel, that of the other stages 2."""

    image_size: tuple[int, int]  # height, width
    stages: tuple[int, ...]
    activation: str
    epsilon: float
    dimension: int
    scale: tuple[float, float, float]  # of a pixel 0…255, a channel: x·scale + shift
    shift: tuple[float, float, float]


def network(config: ConvNeXtConfig, parameters: Parameters) -> Network[Any]:
    """The image net: uint8 (n, height, width, 3) → `embedding` (n, dimension), and `features`, what
    is projected, see `layers.tower`."""
    return tower(
        "image",
        image_inputs(config.image_size),
        partial(vision, config),
        parameters,
        dimension=config.dimension,
    )


def vision(config: ConvNeXtConfig, ops: Operations[T], p: Parameters, images: T) -> T:
    """uint8 (n, height, width, 3) → the pooled and normalised last stage, (n, width)."""
    x = ops.mean(places(config, ops, p, images), (2, 3))
    x = norm(ops, p, "norm_pooled", x, config.epsilon)
    if "hidden.weight" in p:
        x = ops.activation(linear(ops, p, "hidden", x), HIDDEN_ACTIVATION)
    return x


def grid(config: ConvNeXtConfig, p: Parameters) -> tuple[int, int]:
    """Rows and columns of `places`."""
    stride = p["stem.weight"].shape[2] * 2 ** (len(config.stages) - 1)
    height, width = (side // stride for side in config.image_size)
    return height, width


def places(config: ConvNeXtConfig, ops: Operations[T], p: Parameters, images: T) -> T:
    """uint8 (n, height, width, 3) → what the last stage gives, (n, width, rows, columns)."""
    weight, bias = fold_normalisation(
        p["stem.weight"], p.get("stem.bias"), config.scale, config.shift
    )
    x = ops.conv(ops.pixels(images), weight, bias, stride=weight.shape[2])
    x = norm_of_channels(ops, p, "stem_norm", x, config.epsilon)
    for stage, count in enumerate(config.stages):
        if stage > 0:
            name = f"stages.{stage}.downsample"
            x = norm_of_channels(ops, p, f"{name}_norm", x, config.epsilon)
            x = ops.conv(x, p[f"{name}.weight"], p[f"{name}.bias"], stride=2)
        for block in range(count):
            x = _block(ops, p, f"stages.{stage}.{block}.", x, config)
    return x


def _block(ops: Operations[T], p: Parameters, prefix: str, x: T, config: ConvNeXtConfig) -> T:
    """Filter each channel, then mix the channels of each pixel; what came in is added."""
    weight, bias = p[prefix + "filter.weight"], p[prefix + "filter.bias"]
    half = weight.shape[2] // 2
    h = ops.conv(x, weight, bias, padding=(half, half, half, half), groups=weight.shape[0])
    h = norm(ops, p, prefix + "norm", ops.transpose(h, TO_LAST), config.epsilon)
    h = ops.activation(linear(ops, p, prefix + "mlp1", h), config.activation)
    h = linear(ops, p, prefix + "mlp2", h)
    return ops.add(x, ops.transpose(h, TO_SECOND))
