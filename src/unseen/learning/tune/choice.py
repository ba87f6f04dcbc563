"""How much of a training is taken, and whether any of it is: the tests that a tuned net must pass.

Between the original (α = 0) and what was trained (α = 1) lie nets that are both: θ0 + α·(θ1 - θ0)
(Wortsman et al. 2022, arXiv:2109.01903). Pictures that choose α do not judge what was chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.learning.gate import LEVEL, chance_of_gain
from unseen.learning.tune.figures import Figures, Marks, Share

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)

# Why a net was taken, or not.
REASONS = {
    "gain": "by more than chance it is right more often than before",
    "chance": "by chance labels fit these pictures as well: they may be shuffled",
    "harm": "every share of the training that learns something forgets too much",
    "no gain": "on pictures that it has not seen it is not right more often than the original, "
    "by more than chance",
    "adapter": "by more than chance it is no better than an adapter, which changes nothing else",
}


@dataclass(frozen=True)
class CurvePoint:
    """The figures of a net that has a share α of the training.

    Parameters
    ----------
    alpha : float
        0 is the original, 1 what was trained.
    figures : Figures
        On the pictures that choose α.
    allowed : bool
        Whether nothing is lost that must be kept.
    """

    alpha: float
    figures: Figures
    allowed: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON.

        Returns
        -------
        dict
        """
        return {"alpha": self.alpha, "allowed": self.allowed, **self.figures.to_dict()}


def curve(marks: Sequence[Marks], keep: float) -> list[CurvePoint]:
    """The figures of each of `SHARES`; allowed is what loses none of the labels that it did not
    learn, and keeps the part `keep` of its answers about ordinary pictures."""
    figures = [Figures.of(m) for m in marks]
    before = figures[0]
    points = []
    for alpha, after in zip(SHARES, figures, strict=True):
        allowed = after.retention is None or _keeps(after.retention, keep)
        if after.novel is not None and before.novel is not None:
            allowed &= after.novel.right >= before.novel.right
        points.append(CurvePoint(alpha, after, allowed))
    return points


def _keeps(retention: Share, keep: float) -> bool:
    """Whether so many answers stay; a single one that changes is no reason, however few there
    are."""
    return retention.of - retention.right <= max(1, int((1 - keep) * retention.of + 1e-9))


def best_alpha(points: Sequence[CurvePoint]) -> float | None:
    """The allowed share that is right most often about what was learnt; the least of equals; None
    where only the original is allowed."""
    allowed = [p for p in points if p.alpha > 0 and p.allowed and p.figures.seen is not None]
    if not allowed:
        return None
    best = max(allowed, key=lambda p: (p.figures.seen.right if p.figures.seen else 0, -p.alpha))
    return best.alpha


def verdict(
    before: Marks, after: Marks, adapter: Marks | None, keep: float
) -> tuple[str, dict[str, float]]:
    """The word for whether the net is taken, a key of `REASONS`, and the p-values behind it.

    All of pictures that neither taught nor chose. An adapter is beaten where the net is right more
    often about labels that both learnt, or about these and the others together and not less often
    about the first: what an adapter learns it does not carry over to labels without pictures.
    """
    p_values = {"gain_p": _chance(before["seen"], after["seen"])}
    if p_values["gain_p"] > LEVEL:
        return "no gain", p_values
    if len(before["novel"]):
        p_values["novel_lost_p"] = _chance(after["novel"], before["novel"])
        if p_values["novel_lost_p"] <= LEVEL:
            return "harm", p_values
    figures = Figures.of(after)
    if figures.retention is not None and figures.retention.interval[1] < keep:
        return "harm", p_values
    if adapter is not None:
        both = (np.concatenate([m["seen"], m["novel"]]) for m in (adapter, after))
        p_values["adapter_seen_p"] = _chance(adapter["seen"], after["seen"])
        p_values["adapter_p"] = _chance(*both)
        less = _chance(after["seen"], adapter["seen"]) <= LEVEL
        if p_values["adapter_seen_p"] > LEVEL and (less or p_values["adapter_p"] > LEVEL):
            return "adapter", p_values
    return "gain", p_values


def _chance(first: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """p: how likely `other` is right so much more often than `first` where it is no better."""
    gains = other.astype(np.float64) - first.astype(np.float64)
    return chance_of_gain(gains[None]) if gains.any() else 1.0
