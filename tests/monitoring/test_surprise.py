"""What a camera never showed: as many false alarms as were chosen, on cameras not looked at."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from unseen.errors import SourceError
from unseen.monitoring.surprise import Surprise

DIMENSIONS = 16
NEW = np.eye(1, DIMENSIONS, DIMENSIONS - 1, dtype=np.float32)[0]


def scene(rng: np.random.Generator, minute: int) -> np.ndarray:
    """An embedding of a camera whose light goes round with the day."""
    angle = 2 * np.pi * minute / 1440
    row = rng.normal(0, 0.05, DIMENSIONS)
    row[:3] += (1.0, 0.3 * np.cos(angle), 0.3 * np.sin(angle))
    row[-1] = 0
    return (row / np.linalg.norm(row)).astype(np.float32)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_false_alarms_are_as_many_as_were_chosen(seed: int) -> None:
    """Two days are learnt, the third is counted; the bound is met by chance once in 1,000."""
    rng = np.random.default_rng(seed)
    surprise, a_day = Surprise(20.0), []
    for minute in range(3 * 1440):
        p = surprise.add(scene(rng, minute), 60.0 * minute)
        if minute >= 2 * 1440:
            a_day.append(p)
    assert sum(p is not None for p in a_day) <= binom.ppf(0.999, 1440, 20 / 1440)
    p = surprise.add(NEW, 60.0 * 3 * 1440)
    assert p is not None and p < 20 / 1440
    assert surprise.add(NEW, 60.0 * 3 * 1440 + 5) is None  # once a minute
    assert surprise.add(NEW, 60.0 * (3 * 1440 + 1)) is None  # and then it is known


def test_there_is_none_before_so_low_a_p_is_possible() -> None:
    rng = np.random.default_rng(0)
    surprise = Surprise(10.0)
    assert surprise.minutes_needed == 144
    for minute in range(150):
        assert surprise.minutes_missing > 0
        assert surprise.add(NEW if minute == 140 else scene(rng, minute), 60.0 * minute) is None


def test_a_still_picture_is_never_a_surprise() -> None:
    surprise = Surprise(100.0)
    rows = [surprise.add(NEW, 60.0 * minute) for minute in range(200)]
    assert not any(rows) and surprise.minutes_missing == 0


@pytest.mark.parametrize("wrong", [0.0, -1.0, 1000.0, float("nan")])
def test_a_number_of_alarms_that_is_none(wrong: float) -> None:
    with pytest.raises(SourceError, match="false alarms a day"):
        Surprise(wrong)
