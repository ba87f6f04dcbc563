"""Whether a frame of a video shows anything new: a still scene is looked at once."""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from unseen.types import Images

# A change is what goes beyond three times the source's own noise, between these bounds in grey
# levels: the mean of all blocks, and the block that changed most. Without the upper bounds the
# motion of a busy scene would pass for noise.
GREY_SIDE = 16  # blocks a side: what changes are looked for in
NOISES = 3.0
MEAN_BOUNDS = (0.4, 2.0)
BLOCK_BOUNDS = (2.5, 8.0)
REMEMBERED = 31  # differences between neighbours, of which the median is the noise


class ChangeGate:
    """Compares each frame with the last one that passed; slow changes add up, and pass, too."""

    def __init__(self) -> None:
        self._passed: Images | None = None
        self._before: Images | None = None
        self._means: deque[float] = deque(maxlen=REMEMBERED)
        self._blocks: deque[float] = deque(maxlen=REMEMBERED)

    def passes(self, grey: Images) -> bool:
        """Whether a frame, as `pyav.grey` gives it, differs from the last that passed."""
        if self._before is not None:
            mean, block = _difference(grey, self._before)
            self._means.append(mean)
            self._blocks.append(block)
        self._before = grey
        if self._passed is not None:
            mean, block = _difference(grey, self._passed)
            if mean <= _bound(self._means, MEAN_BOUNDS) and block <= _bound(
                self._blocks, BLOCK_BOUNDS
            ):
                return False
        self._passed = grey
        return True


def _difference(a: Images, b: Images) -> tuple[float, float]:
    change = np.abs(a.astype(np.int16) - b)
    return float(change.mean()), float(change.max())


def _bound(noise: deque[float], bounds: tuple[float, float]) -> float:
    low, high = bounds
    return min(max(NOISES * median(noise), low), high) if noise else low
