"""Otsu's threshold and the boxes of regions, against a brute search and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from unseen.explanation.regions import boxes, mask, threshold


@pytest.mark.parametrize("seed", range(5))
def test_otsu_splits_the_variance_best(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(0, 1, 700), rng.normal(6, 0.5, 300)]).astype(np.float32)

    def between(t: float) -> float:
        low, high = values[values < t], values[values >= t]
        return len(low) * len(high) * (low.mean() - high.mean()) ** 2

    candidates = np.linspace(values.min() + 0.01, values.max() - 0.01, 2000)
    best = max(between(t) for t in candidates)
    assert between(threshold(values)) > 0.999 * best


def test_a_map_without_anything_positive_has_no_region() -> None:
    assert mask(-np.ones((4, 4), np.float32)) is None
    assert mask(np.zeros((4, 4), np.float32)) is None


def test_a_flat_map_is_one_region() -> None:
    region = mask(np.full((4, 4), 2, np.float32))
    assert region is not None and region.all()


@pytest.mark.parametrize("size", [(40, 60), (1, 1), (3, 200), (900, 500)])
def test_boxes_are_those_of_scipy(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    region = np.zeros(size, dtype=bool)
    step = max(4, max(size) // 6)  # large against the pixels that are told apart
    for y in range(0, size[0], step):
        for x in range(0, size[1], step):
            region[y : y + step // 2, x : x + step // 2] = rng.random() < 0.5
    region[0, 0] = True
    labels, _ = ndimage.label(region, np.ones((3, 3)))
    wanted = []
    for i, (ys, xs) in enumerate(ndimage.find_objects(labels), 1):
        if (labels == i).sum() >= 0.002 * region.size:
            wanted.append((xs.start, ys.start, xs.stop - xs.start, ys.stop - ys.start))
    result = boxes(region)
    slack = max(size) / 256 + 1
    assert len(result) == len(wanted)
    for box in wanted:
        assert (
            min(max(abs(a - b) for a, b in zip(box, other, strict=True)) for other in result)
            <= slack
        )


def test_two_squares_are_two_boxes_the_larger_first() -> None:
    region = np.zeros((100, 100), dtype=bool)
    region[10:20, 10:20] = True
    region[50:90, 60:80] = True
    assert boxes(region) == [(60, 50, 20, 40), (10, 10, 10, 10)]
