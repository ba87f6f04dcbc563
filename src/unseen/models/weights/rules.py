"""Rules that compute one of our parameters from what a checkpoint stores.

Each is a row of the table in `names`. Those of networks of convolutions are in `convolutions`, and
that of weights in fewer bits, which the built-in model has, is in `names`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.networks.layers import BATCH_NORM_EPSILON
from unseen.networks.resnet import fold_batch_norm
from unseen.networks.vit import stretch_positions

Array = NDArray[Any]


@dataclass(frozen=True)
class Part:
    """Part `index` of a weight that is stored as one with others, along its first axis."""

    name: str
    index: int
    of: int

    def __call__(self, weights: Mapping[str, Array]) -> Array:
        part: Array = np.split(weights[self.name], self.of)[self.index]
        return part


@dataclass(frozen=True)
class RotaryRows:
    """As `Part`, the rows of each head in another order: the first of each pair, then the second.

    So that `networks.transformer` turns halves of a head where the checkpoint turns neighbours.
    """

    name: str
    heads: int
    index: int = 0
    of: int = 1

    def __call__(self, weights: Mapping[str, Array]) -> Array:
        part = np.split(weights[self.name], self.of)[self.index]
        pairs = part.reshape(self.heads, -1, 2, *part.shape[1:])
        rows: Array = np.moveaxis(pairs, 2, 1).reshape(part.shape)
        return rows


@dataclass(frozen=True)
class Transposed:
    """A projection that is stored (in, out)."""

    name: str

    def __call__(self, weights: Mapping[str, Array]) -> Array:
        transpose: Array = weights[self.name].T
        return transpose


@dataclass(frozen=True)
class Times:
    """A weight times a number."""

    name: str
    factor: float

    def __call__(self, weights: Mapping[str, Array]) -> Array:
        product: Array = weights[self.name] * np.float32(self.factor)
        return product


@dataclass(frozen=True)
class Sinusoids:
    """Positions that no checkpoint stores: all sines, then all cosines, of `width` / 2 frequencies
    from 1 down to 1 / 10,000 (Vaswani et al. 2017, as tensor2tensor has them)."""

    length: int
    width: int

    def __call__(self, weights: Mapping[str, Array]) -> NDArray[np.float32]:
        half = self.width // 2
        frequencies = np.exp(-np.log(1e4) * np.arange(half) / max(half - 1, 1))
        angles = np.outer(np.arange(self.length), frequencies)
        table = np.zeros((self.length, self.width), dtype=np.float32)  # an odd last one stays 0
        table[:, :half], table[:, half : 2 * half] = np.sin(angles), np.cos(angles)
        return table


@dataclass(frozen=True)
class LastAxes:
    """The last `ndim` axes of a weight whose other axes have the length 1."""

    name: str
    ndim: int

    def __call__(self, weights: Mapping[str, Array]) -> Array:
        array = weights[self.name]
        return array.reshape(array.shape[-self.ndim :])


@dataclass(frozen=True)
class PositionsOfPatches:
    """Positions of patches alone, (1, n, width) → (1 + n, width): that of the class token is 0."""

    name: str

    def __call__(self, weights: Mapping[str, Array]) -> Array:
        (patches,) = weights[self.name]
        return np.concatenate([np.zeros_like(patches[:1]), patches])


@dataclass(frozen=True)
class StretchedPositions:
    """Positions of a class token and a grid (height, width), for a grid of another size."""

    name: str
    grid: tuple[int, int]
    new_grid: tuple[int, int]

    def __call__(self, weights: Mapping[str, Array]) -> Array:
        return stretch_positions(weights[self.name], self.grid, self.new_grid)


@dataclass(frozen=True)
class FoldedBatchNorm:
    """The "weight" or the "bias" of a convolution without bias and the batch norm after it."""

    conv: str
    norm: str
    parameter: str
    epsilon: float

    def __call__(self, weights: Mapping[str, Array]) -> Array:
        statistics = ("weight", "bias", "running_mean", "running_var")
        stored = (weights[f"{self.norm}.{name}"] for name in statistics)
        weight, bias = fold_batch_norm(
            weights[f"{self.conv}.weight"], *stored, epsilon=self.epsilon
        )
        return weight if self.parameter == "weight" else bias


@dataclass(frozen=True)
class Scaled:
    """The weight or bias of a layer whose outputs are then multiplied by `scale`, one each."""

    name: str
    scale: str

    def __call__(self, weights: Mapping[str, Array]) -> NDArray[np.float32]:
        array, scale = weights[self.name], weights[self.scale].astype(np.float32)
        scaled: NDArray[np.float32] = array * scale.reshape(-1, *[1] * (array.ndim - 1))
        return scaled


def folded(
    ours: str, conv: str, norm: str, epsilon: float = BATCH_NORM_EPSILON
) -> dict[str, FoldedBatchNorm]:
    """`ours`.weight and .bias, made of a convolution and its batch norm."""
    return {
        f"{ours}.{kind}": FoldedBatchNorm(conv, norm, kind, epsilon) for kind in ("weight", "bias")
    }
