"""Upright RGB pixels → patches of the picture's own shape, as SigLIP 2 of any resolution takes them
(NaFlex; Tschannen et al. 2025, arXiv:2502.14786, §2.4.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Channels = tuple[float, float, float]

# The scale is found by halving an interval, as its authors do: where a side is just so many patches
# long, the last half decides.
SMALLEST_SCALE, LARGEST_SCALE, NEAR = 1e-6, 100.0, 1e-5


@dataclass(frozen=True)
class Patches:
    """Resize to as many whole patches as fit, the shape kept, and cut them out.

    An index stores the text of this object, as of `Preprocess`.

    Parameters
    ----------
    count : int
        Patches, at most.
    patch : int
        The side of a patch, in pixels.
    side : int
        Of the square of positions that the network has.
    resample : PIL.Image.Resampling
        The filter.
    mean, std : three floats
        What is taken off each channel, and what it is then divided by.
    rescale_factor : float
        What a byte is multiplied by before that.
    """

    count: int
    patch: int
    side: int
    resample: Image.Resampling
    mean: Channels
    std: Channels
    rescale_factor: float

    @property
    def target(self) -> int:
        """The short side that is needed: at most that of a square of all patches."""
        return self.patch * math.isqrt(self.count)

    def normalisation(self) -> tuple[Channels, Channels]:
        """As of `Preprocess`: (scale, shift) of a byte."""
        r, g, b = (self.rescale_factor / s for s in self.std)
        shift_r, shift_g, shift_b = (-m / s for m, s in zip(self.mean, self.std, strict=True))
        return (r, g, b), (shift_r, shift_g, shift_b)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Patches (down, across) of a picture of this size."""

        def scaled(scale: float) -> tuple[int, int]:
            down, across = (
                max(1, math.ceil(side * scale / self.patch)) for side in (height, width)
            )
            return down, across

        low, high = SMALLEST_SCALE, LARGEST_SCALE
        while high - low >= NEAR:
            scale = (low + high) / 2
            if math.prod(scaled(scale)) <= self.count:
                low = scale
            else:
                high = scale
        return scaled(low)

    def boxes(self, size: tuple[int, int]) -> tuple[tuple[float, float, float, float], ...]:
        """Where the one view comes from: all of a picture of `size` (width, height)."""
        return ((0.0, 0.0, float(size[0]), float(size[1])),)

    def __call__(
        self, image: Image.Image
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
        """RGB picture → its t patches in a column, uint8 (t · patch, patch, 3), and where each
        lies: weights of the rows and of the columns of positions, float32 (t, side) both."""
        down, across = self.grid(image.height, image.width)
        p = self.patch
        pixels = np.asarray(image.resize((across * p, down * p), self.resample))
        column = pixels.reshape(down, p, across, p, 3).transpose(0, 2, 1, 3, 4).reshape(-1, p, 3)
        rows, columns = (stretched(self.side, new) for new in (down, across))
        return column, np.repeat(rows, across, 0), np.tile(columns, (down, 1))


def stretched(old: int, new: int) -> NDArray[np.float32]:
    """(new, old): weights of the old points along a side in each of the `new` ones.

    Linear interpolation; where there are fewer points, each is the mean of a triangle of old ones,
    as wide as it stands for, as torch has it with antialias.
    """
    reach = max(old / new, 1.0)
    centres = (np.arange(new) + 0.5) * old / new - 0.5
    weights = np.maximum(1 - np.abs(np.arange(old) - centres[:, None]) / reach, 0)
    return np.asarray(weights / weights.sum(1, keepdims=True), dtype=np.float32)
