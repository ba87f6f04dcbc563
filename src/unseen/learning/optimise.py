"""Where a function is least: golden section, and L-BFGS.

Here and not from scipy, which would be a hundred megabytes of dependency for two functions. What
knows the shape of its own problem stays with it: Newton's method for two numbers (temperature.py)
and Nesterov's for a probe (few_shot.py).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

import numpy as np

from unseen.types import Reals

Problem = Callable[[Reals], tuple[float, Reals]]  # parameters → the loss, and its gradient
Steps = deque[tuple[Reals, Reals]]  # moves, and how the gradient changed with each

STEPS = 300
TOLERANCE = 1e-4  # of the largest slope, against the first
MEMORY = 10  # steps that L-BFGS remembers
GRID = 61  # points


def golden_section(
    loss: Callable[[float], float], low: float, high: float, *, width: float
) -> float:
    """Where a function with one valley between two points is least (Kiefer 1953).

    Parameters
    ----------
    loss : callable
        The function.
    low, high : float
        The interval.
    width : float
        Each step keeps 0.618 of the interval, until it is no wider than this.

    Returns
    -------
    float
        The middle of what is left.

    Examples
    --------
    >>> from unseen.learning.optimise import golden_section
    >>> round(golden_section(lambda x: (x - 2) ** 2, 0, 5, width=1e-5), 3)
    2.0
    """
    golden = (math.sqrt(5) - 1) / 2
    while high - low > width:
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return (low + high) / 2


def least_between(loss: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that may have two valleys is least: on a grid first, then golden."""
    grid = np.linspace(low, high, GRID)
    middle = int(np.argmin([loss(float(x)) for x in grid]))
    left, right = float(grid[max(middle - 1, 0)]), float(grid[min(middle + 1, GRID - 1)])
    return golden_section(loss, left, right, width=1e-5)


def lbfgs(
    problem: Problem, start: Reals, steps: int = STEPS, tolerance: float = TOLERANCE
) -> Reals:
    """Where a smooth function is least, near `start` (Liu & Nocedal 1989).

    Parameters
    ----------
    problem : callable
        Parameters (n,) → the loss, and its gradient (n,).
    start : float array (n,)
        Where the search begins.
    steps : int
        At most so many.
    tolerance : float
        The search ends when the largest slope is this part of the first.

    Returns
    -------
    float64 array (n,)
        The parameters with the least loss that was found.
    """
    at: Reals = start.astype(np.float64)
    value, slope = problem(at)
    first = float(np.abs(slope).max())
    known: Steps = deque(maxlen=MEMORY)
    for _ in range(steps):
        if float(np.abs(slope).max()) <= tolerance * first:
            break
        direction = -_curved(slope, known)
        # Nothing is known of the curvature before the first step, which is kept short.
        step = 1.0 if known else min(1.0, 1.0 / float(np.abs(slope).sum()))
        point = _line_search(problem, at, value, slope, direction, step)
        if point is None:  # there is nothing less with these digits
            break
        new, value, new_slope = point
        move, change = new - at, new_slope - slope
        if move @ change > 0:
            known.append((move, change))
        at, slope = new, new_slope
    return at


def _curved(slope: Reals, known: Steps) -> Reals:
    """The slope times the estimate of the inverse curvature: the two loops of L-BFGS."""
    row: Reals = slope.copy()
    shares = []
    for move, change in reversed(known):
        share = (move @ row) / (move @ change)
        row -= share * change
        shares.append(share)
    if known:
        move, change = known[-1]
        row *= (move @ change) / (change @ change)
    for (move, change), share in zip(known, reversed(shares), strict=True):
        row += (share - (change @ row) / (move @ change)) * move
    return row


def _line_search(
    problem: Problem, at: Reals, value: float, slope: Reals, direction: Reals, step: float
) -> tuple[Reals, float, Reals] | None:
    """A point that is low and flat enough: Wolfe's conditions, by bisection (Lewis & Overton
    2013)."""
    steep = float(slope @ direction)
    low, high = 0.0, np.inf
    for _ in range(30):
        new = at + step * direction
        new_value, new_slope = problem(new)
        if not new_value <= value + 1e-4 * step * steep:
            high = step
        elif float(new_slope @ direction) < 0.9 * steep:
            low = step
        else:
            return new, new_value, new_slope
        step = (low + high) / 2 if np.isfinite(high) else 2 * low
    return None
