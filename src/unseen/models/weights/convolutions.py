"""Convolutions that were trained as several layers side by side, as the one that they are in use.

Rules like those of `models/weights/rules.py`; MobileOne (Vasu et al. 2022, arXiv:2206.04040, §3.1)
and FastViT (arXiv:2303.14189, §3.2) say why they are equal. In float64, so that it costs no digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.networks.layers import BATCH_NORM_EPSILON
from unseen.networks.operations import as_float32

Array = NDArray[Any]


@dataclass(frozen=True)
class Branches:
    """The sum of convolutions that take the same input, each with its batch norm after it.

    Parameters
    ----------
    parameter : str
        Which it gives: "weight" or "bias".
    side : int
        Of the kernel; a smaller one is in its middle.
    convs : tuple of str
        Their names, before .conv and .bn.
    identity : str or None
        A batch norm of the input itself.
    """

    parameter: str
    side: int
    convs: tuple[str, ...]
    identity: str | None = None

    def __call__(self, weights: Mapping[str, Array]) -> Array:
        kernel, bias = self.both(weights)
        return as_float32(kernel if self.parameter == "weight" else bias)

    def both(self, weights: Mapping[str, Array]) -> tuple[Array, Array]:
        """Kernel (out, in / groups, side, side) and bias (out,), float64."""
        parts = [self._conv(weights, name) for name in self.convs]
        if self.identity is not None:
            factor, shift = affine(weights, self.identity)
            # Of a convolution of each channel alone, where no other says how wide its groups are.
            inputs = parts[0][0].shape[1] if parts else 1
            parts.append((_scaled(identity_kernel(len(factor), inputs, self.side), factor), shift))
        kernel, bias = parts[0]
        for other_kernel, other_bias in parts[1:]:
            kernel, bias = kernel + other_kernel, bias + other_bias
        return kernel, bias

    def _conv(self, weights: Mapping[str, Array], name: str) -> tuple[Array, Array]:
        factor, shift = affine(weights, f"{name}.bn")
        kernel = _scaled(weights[f"{name}.conv.weight"], factor)
        margin = (self.side - kernel.shape[2]) // 2
        return np.pad(kernel, ((0, 0), (0, 0), (margin, margin), (margin, margin))), shift


@dataclass(frozen=True)
class Mixer:
    """x + scale · (mixer(x) - norm(x)) as one convolution of each channel: FastViT's RepMixer."""

    parameter: str
    mixer: Branches
    norm: Branches
    scale: str

    def __call__(self, weights: Mapping[str, Array]) -> Array:
        scale = weights[self.scale].astype(np.float64).reshape(-1)
        (kernel, bias), (norm_kernel, norm_bias) = self.mixer.both(weights), self.norm.both(weights)
        if self.parameter == "bias":
            return as_float32(scale * (bias - norm_bias))
        identity = identity_kernel(len(scale), 1, self.mixer.side)
        return as_float32(identity + _scaled(kernel - norm_kernel, scale))


@dataclass(frozen=True)
class PlusInput:
    """The kernel of a convolution of each channel alone, to whose output its input is added."""

    name: str

    def __call__(self, weights: Mapping[str, Array]) -> Array:
        kernel = weights[self.name]
        identity = identity_kernel(len(kernel), 1, kernel.shape[2])
        return as_float32(kernel + identity)


@dataclass(frozen=True)
class NormedInput:
    """Part `index` of a linear layer without bias, and the batch norm before it, as one layer."""

    parameter: str
    linear: str
    norm: str
    index: int
    of: int

    def __call__(self, weights: Mapping[str, Array]) -> Array:
        factor, shift = affine(weights, self.norm)
        part = np.split(weights[self.linear].astype(np.float64), self.of)[self.index]
        return as_float32(part * factor if self.parameter == "weight" else part @ shift)


def affine(weights: Mapping[str, Array], norm: str) -> tuple[Array, Array]:
    """A batch norm at inference as x · factor + shift, both (channels,) float64."""
    scale, shift, mean, variance = (
        weights[f"{norm}.{name}"].astype(np.float64)
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    factor = scale / np.sqrt(variance + BATCH_NORM_EPSILON)
    return factor, shift - mean * factor


def identity_kernel(channels: int, inputs: int, side: int) -> Array:
    """The convolution (channels, inputs, side, side) that gives its input back; `inputs`: the
    channels of a group."""
    kernel = np.zeros((channels, inputs, side, side))
    rows = np.arange(channels)
    kernel[rows, rows % inputs, side // 2, side // 2] = 1
    return kernel


def _scaled(kernel: Array, factor: Array) -> Array:
    scaled: Array = kernel.astype(np.float64) * factor.reshape(-1, 1, 1, 1)
    return scaled
