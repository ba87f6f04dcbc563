"""Uncalibrated scores, and what is true → sets with a coverage, and answers of which few are wrong.

Everywhere n pictures and a answers.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.errors import LabelError, UnseenWarning
from unseen.prediction.conformal import (
    METHODS,
    ConformalPredictor,
    SelectiveClassifier,
    surety,
)
from unseen.types import Doubles

Bools = NDArray[np.bool_]

CONFIDENCE = 0.9  # with which the share of wrong answers is kept
TENTHS = 10  # of the answers, that are tried one after the other


# sets


def conformal_reach(scores: NDArray[Any], coverage: float) -> float | None:
    """Nonconformity of the right label of n pictures → how much of it a set of labels may have.

    The ⌈(n + 1) · coverage⌉-th smallest (split conformal prediction: Vovk et al. 2005): a further
    picture of the same kind has its right label in the set with at least this probability, whatever
    the model. None when n is too small for it.
    """
    n = len(scores)
    rank = math.ceil((n + 1) * coverage - 1e-9)
    return None if rank > n else float(np.sort(scores)[rank - 1])


def fewest_for(coverage: float) -> int:
    """How many pictures sets of this coverage need: of all labels, or of each of its own."""
    return math.ceil(coverage / (1 - coverage) - 1e-9)


def fit_sets(
    p: Doubles,
    y_true: Bools,
    names: Sequence[str],
    coverage: float,
    method: str,
    *,
    class_conditional: bool = False,
) -> ConformalPredictor | None:
    """A conformal predictor; None, with a warning, where there are too few pictures.

    `class_conditional`: the pictures of each label set the reach of that label (Mondrian sets: Vovk
    et al. 2005). A label with too few takes that of all, and is named in a warning.
    """
    scores = METHODS[method](p)[y_true]
    fewest = fewest_for(coverage)
    reach = conformal_reach(scores, coverage)
    if reach is None:
        warnings.warn(
            f"{len(scores)} pictures are too few for sets with {coverage:.0%} coverage: they need "
            f"{fewest}; no sets are made.",
            UnseenWarning,
            stacklevel=4,
        )
        return None
    if not class_conditional:
        return ConformalPredictor(coverage, method, reach)
    _, label_ids = np.nonzero(y_true)
    reaches = {
        name: conformal_reach(scores[label_ids == i], coverage) for i, name in enumerate(names)
    }
    own = {name: limit for name, limit in reaches.items() if limit is not None}
    if not own:
        raise LabelError(
            f"no label has the {fewest} pictures that its own sets need with {coverage:.0%} "
            "coverage: give more, or leave class-conditional sets out."
        )
    without = [
        f"{name} ({n})"
        for i, name in enumerate(names)
        if name not in own
        for n in [int((label_ids == i).sum())]
    ]
    if without:
        warnings.warn(
            f"{len(without)} of {len(names)} labels have fewer than {fewest} pictures and take the "
            f"reach of all, which promises nothing of each: {', '.join(without)}.",
            UnseenWarning,
            stacklevel=4,
        )
    return ConformalPredictor(coverage, method, reach, own)


# answers


def fit_selective(
    p: Doubles, y_true: Bools, names: Sequence[str], max_wrong: float
) -> SelectiveClassifier:
    """The lowest threshold of which it is shown that at most this share of the answers is wrong.

    LabelError where these pictures cannot show it.
    """
    sure = surety(p, names)
    right = y_true[np.arange(len(p)), p.argmax(1)]
    fewest = fewest_answers(max_wrong, CONFIDENCE)
    answers = int((sure >= 0).sum())
    promise = f"at most {max_wrong:.1%} of the answers are wrong, with {CONFIDENCE:.0%} confidence"
    if answers < fewest:
        raise LabelError(
            f"{answers} answers are too few to show that {promise}: it takes at least {fewest} "
            "labelled pictures that are answered rightly; give more pictures, or allow more."
        )
    threshold = selective_threshold(sure, right, max_wrong, CONFIDENCE)
    if threshold is None:
        size = sizes_tried(answers, max_wrong, CONFIDENCE)[0]
        first = np.argsort(-sure, kind="stable")[:size]
        raise LabelError(
            f"these pictures do not show that {promise}, however few are answered: of the "
            f"{size} surest answers {int((~right[first]).sum())} are wrong; give more pictures, "
            "or allow more."
        )
    return SelectiveClassifier(max_wrong, CONFIDENCE, threshold)


def fewest_answers(max_wrong: float, confidence: float) -> int:
    """How many right answers in a row show that at most this share is wrong."""
    return math.ceil(math.log(1 - confidence) / math.log(1 - max_wrong) - 1e-9)


def selective_threshold(
    sure: Doubles, right: Bools, max_wrong: float, confidence: float
) -> float | None:
    """The threshold with the most answers that is shown to do; None where none is.

    `sure` (n,): of each picture's answer, below 0 where it has none; `right` (n,): whether it is
    right. A tenth of the answers is tried, then two, and so on to all, the surest first, from as
    many on as could show anything (fixed-sequence testing: Angelopoulos et al. 2021,
    arXiv:2110.01052). It goes on while so few are wrong that, were the true share larger than
    `max_wrong`, it would happen with a probability of at most 1 - `confidence` (Clopper & Pearson
    1934). The answers above the next one's score are independent draws of what lies above it, so
    the first share too large is passed with at most that probability, as long as the share of
    wrong answers crosses the bound once as more are answered.
    """
    order = np.argsort(-sure, kind="stable")
    ordered, wrong = sure[order], np.cumsum(~right[order])
    answers = int((sure >= 0).sum())
    shown = None
    for size in sizes_tried(answers, max_wrong, confidence):
        threshold = float(ordered[size]) if size < answers else 0.0
        above = int((ordered > threshold).sum())
        if above < fewest_answers(max_wrong, confidence):
            continue  # the next are as sure as these
        if binomial_cdf(int(wrong[above - 1]), above, max_wrong) > 1 - confidence:
            break
        shown = threshold
    return shown


def sizes_tried(answers: int, max_wrong: float, confidence: float) -> list[int]:
    """How many of the surest answers are looked at, one after the other."""
    sizes = sorted({round(answers * tenth / TENTHS) for tenth in range(1, TENTHS + 1)})
    return [size for size in sizes if size >= fewest_answers(max_wrong, confidence)]


def binomial_cdf(k: int, n: int, p: float) -> float:
    """The probability of at most k of n, each with probability 0 < p < 1."""
    ways = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in range(k + 1)]
    logs = [way + i * math.log(p) + (n - i) * math.log1p(-p) for i, way in enumerate(ways)]
    return min(math.fsum(map(math.exp, logs)), 1.0)
