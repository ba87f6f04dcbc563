"""Promises about pictures of the same kind: sets that hold the right label, and answers of which
few are wrong.

Both are made of the scores before calibration, so that every labelled picture may measure them: a
temperature that was learnt from the same pictures would have seen their labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.labels.compiled import CompiledLabels
from unseen.labels.label_set import UNKNOWN
from unseen.prediction.score import softmax64
from unseen.types import Doubles, Floats

Bools = NDArray[np.bool_]
# A reach is the nonconformity of one picture, whose label is to be in its set on every machine.
# From one to another the last bits of embeddings move a logit by so much, a probability p by
# p(1 - p) times that, and the last bits of a sum of probabilities move it by `SUM_ROUNDING`.
LOGIT_ROUNDING, SUM_ROUNDING = 1e-5, 1e-12


@dataclass(frozen=True)
class ConformalPredictor:
    """A conformal predictor: a label whose nonconformity is at most the reach is in the set.

    Parameters
    ----------
    coverage : float
        How often the right label is in the set, 0…1.
    method : str
        Of `METHODS`: what nonconformity is.
    reach : float
        Of every label.
    reach_by_label : dict of str to float, optional
        Of the answers that have one of their own, in class-conditional sets: the coverage then
        holds for the pictures of each of them.

    Examples
    --------
    >>> sets = ConformalPredictor(0.9, "lac", 0.7, {"cat": 0.4})
    >>> sets.reaches(["cat", "dog"]).tolist()
    [0.4, 0.7]
    """

    coverage: float
    method: str
    reach: float
    reach_by_label: dict[str, float] | None = None

    def reaches(self, names: Sequence[str]) -> Doubles:
        """The reach of each answer.

        Parameters
        ----------
        names : sequence of str
            The a answers.

        Returns
        -------
        float64 array (a,)
        """
        own = self.reach_by_label or {}
        return np.array([own.get(name, self.reach) for name in names], dtype=np.float64)

    def in_sets(self, p: Doubles, names: Sequence[str]) -> Bools:
        """Which answers are in the set of each picture.

        Parameters
        ----------
        p : float64 array (n, a)
            `uncalibrated_probabilities`.
        names : sequence of str
            The a answers.

        Returns
        -------
        bool array (n, a)
            At least one a picture: an empty set helps nobody, and covers nothing.
        """
        reach = self.reaches(names)
        rounding = LOGIT_ROUNDING * reach * (1 - reach) + SUM_ROUNDING
        in_set = METHODS[self.method](p) <= reach + rounding
        in_set[np.arange(len(p)), p.argmax(1)] = True
        return np.asarray(in_set, dtype=bool)

    def to_data(self) -> dict[str, Any]:
        """What a file holds: as in 0.1.0, where no label has a reach of its own."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class SelectiveClassifier:
    """When an answer is given: where its uncalibrated probability is above `threshold`.

    Parameters
    ----------
    max_wrong : float
        The share of the answers given that may be wrong, 0…1.
    confidence : float
        How sure it is that the share is no larger, 0…1: of so many calibrations it is kept.
    threshold : float
        Below or at this no answer is given.

    Examples
    --------
    >>> rule = SelectiveClassifier(0.05, 0.9, 0.6)
    >>> rule.answers(np.array([[0.7, 0.3], [0.5, 0.5]]), ["cat", "dog"]).tolist()
    [True, False]
    """

    max_wrong: float
    confidence: float
    threshold: float

    def answers(self, p: Doubles, names: Sequence[str]) -> Bools:
        """Which pictures get an answer; one whose best label is background gets none.

        Parameters
        ----------
        p : float64 array (n, a)
            `uncalibrated_probabilities`.
        names : sequence of str
            The a answers.

        Returns
        -------
        bool array (n,)
        """
        return surety(p, names) > self.threshold


@dataclass(frozen=True)
class Promises:
    """What a calibration says of n pictures and their a answers beside probabilities.

    Parameters
    ----------
    in_sets : bool array (n, a), optional
        Which answers are in the set of likely labels; None where there are no sets.
    answered : bool array (n,), optional
        Which pictures get an answer; None where all do.
    """

    in_sets: Bools | None = None
    answered: Bools | None = None

    def of(self, rows: Any) -> Promises:
        """Of these pictures alone."""
        return Promises(
            None if self.in_sets is None else self.in_sets[rows],
            None if self.answered is None else self.answered[rows],
        )

    def of_picture(
        self, row: int, order: NDArray[np.intp], names: Sequence[str]
    ) -> tuple[tuple[str, ...] | None, bool]:
        """The likely labels of one picture in an order of the answers, and whether the first of
        the order is a label that is not answered."""
        likely = None
        if self.in_sets is not None:
            likely = tuple(names[i] for i in order if self.in_sets[row, i])
        refused = self.answered is not None and not self.answered[row]
        return likely, refused and names[order[0]] != UNKNOWN


NO_PROMISES = Promises()


def surety(p: Doubles, names: Sequence[str]) -> Doubles:
    """(n, a) probabilities → (n,) those of the best answers; -1 where that is `unknown`."""
    unknown = np.array([name == UNKNOWN for name in names], dtype=bool)
    return np.where(unknown[p.argmax(1)], -1.0, p.max(1))


def uncalibrated_probabilities(logits: Floats, labels: CompiledLabels) -> Doubles:
    """(n, k) logits → probabilities of the answers, with nothing learnt, as precise as can be."""
    return labels.of_answers(softmax64(logits))


def lac(p: Doubles) -> Doubles:
    """Least ambiguous sets (Sadinle, Lei & Wasserman 2019): 1 less the label's probability."""
    return 1 - p


def aps(p: Doubles) -> Doubles:
    """Adaptive sets (Romano, Sesia & Candès 2020), not randomised: the sum of the probabilities
    down to the label's, best first."""
    order = np.argsort(-p, axis=1, kind="stable")
    cumulative = np.cumsum(np.take_along_axis(p, order, axis=1), axis=1)
    scores = np.empty_like(p)
    np.put_along_axis(scores, order, cumulative, axis=1)
    return scores


METHODS = {"lac": lac, "aps": aps}  # probabilities → the nonconformity score of each label
