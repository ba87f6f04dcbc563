"""How far scores are off after calibration: measured on pictures that did not teach it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.datasets.folds import stratified_folds
from unseen.evaluation import metrics
from unseen.prediction.calibration import RemainingError
from unseen.types import Array

FOLDS = 5
SEED = 0

Fit = Callable[[Any], Callable[[Any], Array]]  # rows to learn from → rows → their probabilities


def remaining_error(before: Array, y_true: NDArray[Any], fit: Fit) -> RemainingError:
    """The ECE before, and after a calibration that was fitted on other pictures.

    Parameters
    ----------
    before : array (n, a)
        Probabilities without a calibration.
    y_true : int array (n,) or bool array (n, a)
        As `metrics.ece` takes it.
    fit : callable
        Takes rows to learn from, and gives what takes other rows to their probabilities.
    """
    first = y_true if y_true.ndim == 1 else y_true.argmax(1)
    folds = stratified_folds(first, FOLDS, SEED)
    folds[folds < 0] = np.arange((folds < 0).sum()) % FOLDS  # here each may be held out
    after = np.empty(before.shape, dtype=np.float64)
    for fold in np.unique(folds):
        held_out = np.flatnonzero(folds == fold)
        after[held_out] = fit(np.flatnonzero(folds != fold))(held_out)
    return RemainingError(
        float(metrics.ece(before, y_true)),
        float(metrics.ece(after, y_true)),
        metrics.ece_by_chance(after, several=y_true.ndim == 2),
    )
