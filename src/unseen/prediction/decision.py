"""How scores become an answer: the options of a classification as one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from unseen.errors import LabelError
from unseen.prediction.open_set import ReferenceSet

if TYPE_CHECKING:
    from unseen.prediction.calibration import Calibration


@dataclass(frozen=True)
class Decision:
    """How scores become an answer.

    Parameters
    ----------
    multi_label : bool
        Whether each label is a yes or no of its own; else the labels compete.
    top_k : int, optional
        The most labels that a prediction has; by default all.
    min_score : float, optional
        The least probability of a label in a prediction, from 0 to 1; by default 0, and 0.5 in
        multi-label mode where a label has no threshold of its own.
    calibration : Calibration, optional
        What was learnt of just these labels.
    reference_set : ReferenceSet, optional
        What evidence is measured against; by default evidence is not measured.

    Raises
    ------
    LabelError
        If `top_k` or `min_score` is out of range.

    Examples
    --------
    >>> from unseen.prediction.decision import Decision
    >>> Decision(top_k=3).multi_label
    False
    """

    multi_label: bool = False
    top_k: int | None = None
    min_score: float | None = None
    calibration: Calibration | None = None
    reference_set: ReferenceSet | None = None

    def __post_init__(self) -> None:
        if self.top_k is not None and self.top_k < 1:
            raise LabelError(f"top_k is {self.top_k}; it must be at least 1.")
        if self.min_score is not None and not 0 <= self.min_score <= 1:
            raise LabelError(f"min_score is {self.min_score}; a probability lies in 0…1.")
