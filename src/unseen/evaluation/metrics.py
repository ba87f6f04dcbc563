"""How good answers are: metrics, and what they are made of.

Throughout: n pictures, k labels, b resamples. `probabilities` are (n, k); `y_true` is int (n,), the
index of each picture's label, or bool (n, k) where a picture may have several; `y_pred` is bool
(n, k), the labels that were given. `times` says how often each picture counts, (n,) or (n, b); None
is once each. A metric gives one number, or b: so a bootstrap is the metric itself on b columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.types import Doubles

Indices = NDArray[np.intp]
Array = NDArray[Any]

BINS = 15  # of a calibration error, as Guo et al. 2017
BLOCK = 256  # queries that are compared with everything at once
TINY = float(np.finfo(np.float64).eps)  # the least probability that a logarithm is taken of


# one label a picture


def ranks(probabilities: Array, y_true: Array) -> Indices:
    """How many labels come before the right one (n,); of equal ones the first comes first."""
    of_true = np.take_along_axis(probabilities, y_true[:, None], axis=1)
    earlier = np.arange(probabilities.shape[1]) < y_true[:, None]
    before = (probabilities > of_true) | ((probabilities == of_true) & earlier)
    return np.asarray(before.sum(1), dtype=np.intp)


def right(probabilities: Array, y_true: Array, k: int = 1) -> Doubles:
    """1 where the right label is among the first k, else 0: (n,)."""
    return (ranks(probabilities, y_true) < k).astype(np.float64)


def top_k(probabilities: Array, y_true: Array, k: int = 1, times: Array | None = None) -> Doubles:
    """The part of the pictures whose label is among the first k."""
    return _mean(right(probabilities, y_true, k), times)


def mean_recall(probabilities: Array, y_true: Array, times: Array | None = None) -> Doubles:
    """Recall of each label that has pictures, averaged: balanced accuracy."""
    times, k = _times(times, len(y_true)), probabilities.shape[1]
    hit = probabilities.argmax(1) == y_true
    return _mean_ratio(_tally(y_true[hit], k, times[hit]), _tally(y_true, k, times))


def macro_f1(probabilities: Array, y_true: Array, times: Array | None = None) -> Doubles:
    """F1 of each label that any picture has or was given, averaged."""
    times, k = _times(times, len(y_true)), probabilities.shape[1]
    predicted = probabilities.argmax(1)
    hit = predicted == y_true
    both = _tally(y_true, k, times) + _tally(predicted, k, times)
    return _mean_ratio(2 * _tally(y_true[hit], k, times[hit]), both)


def log_losses(probabilities: Array, y_true: Array) -> Doubles:
    """-log of the right label's probability (n,)."""
    of_true = np.take_along_axis(probabilities, y_true[:, None], axis=1)[:, 0]
    return np.asarray(-np.log(np.maximum(of_true.astype(np.float64), TINY)))


def nll(probabilities: Array, y_true: Array, times: Array | None = None) -> Doubles:
    """The mean of `log_losses`: negative log-likelihood, log loss."""
    return _mean(log_losses(probabilities, y_true), times)


def squares(probabilities: Array, y_true: Array) -> Doubles:
    """Squared distance of the probabilities to the answer (n,): Brier 1950, from 0 to 2."""
    p = probabilities.astype(np.float64)
    of_true = np.take_along_axis(p, y_true[:, None], axis=1)[:, 0]
    return np.asarray((p**2).sum(1) - of_true**2 + (1 - of_true) ** 2)


def brier(probabilities: Array, y_true: Array, times: Array | None = None) -> Doubles:
    """The mean of `squares`, summed over labels."""
    return _mean(squares(probabilities, y_true), times)


def ece(probabilities: Array, y_true: Array, times: Array | None = None) -> Doubles:
    """Expected calibration error of the best label: 15 bins of equal width (Guo et al. 2017).

    Of a bool `y_true` (n, k): of each label's own probability, over all pictures and labels.
    """
    sure, hit = _surety(probabilities, y_true)
    n, times = len(y_true), _times(times, len(y_true))
    cell = _bin(sure) + BINS * np.arange(n)[:, None]
    gaps = np.bincount(cell.ravel(), (hit - sure).ravel(), n * BINS).reshape(n, BINS)
    return np.asarray(np.abs(gaps.T @ times).sum(0) / (times.sum(0) * sure.shape[1]))


def ece_by_chance(probabilities: Array, *, several: bool = False, draws: int = 200) -> float:
    """The mean `ece` if the probabilities were exactly right: few pictures show some in any case.

    `several`: each label is a yes or no of its own.
    """
    p = probabilities.astype(np.float64)
    sure = p if several else p.max(1, keepdims=True)
    rng = np.random.default_rng(0)
    cells = _bin(sure).ravel()
    gaps = (rng.random((draws, *sure.shape)) < sure) - sure
    totals = [np.abs(np.bincount(cells, gap.ravel(), BINS)).sum() for gap in gaps]
    return float(np.mean(totals) / sure.size)


def confusion(probabilities: Array, y_true: Array) -> NDArray[np.int64]:
    """(k, k): how often a label (row) was answered with another (column)."""
    k = probabilities.shape[1]
    cells = y_true * k + probabilities.argmax(1)
    return np.bincount(cells, minlength=k * k).reshape(k, k).astype(np.int64)


# several labels a picture: `y_true` and `y_pred` are bool (n, k)


def exact(y_pred: Array, y_true: Array, times: Array | None = None) -> Doubles:
    """The part of the pictures whose labels are all right: subset accuracy."""
    return _mean((y_pred == y_true).all(1).astype(np.float64), times)


def macro_f1_multi(y_pred: Array, y_true: Array, times: Array | None = None) -> Doubles:
    """F1 of each label that any picture has or was given, averaged."""
    times = _times(times, len(y_true))
    counted = times.astype(np.float32)  # exact for counts, and half the work
    true, predicted, both = (
        np.asarray(part.astype(np.float32).T @ counted, dtype=np.float64)
        for part in (y_true, y_pred, y_true.astype(bool) & y_pred)
    )
    return _mean_ratio(2 * both, true + predicted)


def binary_log_losses(probabilities: Array, y_true: Array) -> Doubles:
    """-log of the probability of the right answer, yes or no, averaged over labels (n,)."""
    answer = np.where(y_true, probabilities, 1 - probabilities.astype(np.float64))
    return np.asarray(-np.log(np.maximum(answer, TINY)).mean(1))


def binary_squares(probabilities: Array, y_true: Array) -> Doubles:
    """(probability - answer)², averaged over labels (n,): from 0 to 1."""
    return np.asarray(((probabilities.astype(np.float64) - y_true) ** 2).mean(1))


def average_precisions(
    probabilities: Array, y_true: Array, times: Array | None = None
) -> tuple[Doubles, Doubles]:
    """Of each label, sum of precision · gain in recall, from the surest picture down (k,) or
    (k, b), and how many pictures have it. No interpolation; equal probabilities are one step.
    """
    counted = _times(times, len(y_true)).astype(np.float32)  # exact for counts, and half the work
    results = [
        _average_precision(p, t, counted)
        for p, t in zip(probabilities.T, y_true.T.astype(bool), strict=True)
    ]
    return np.stack([a for a, _ in results]), np.stack([t for _, t in results])


def mean_average_precision(
    probabilities: Array, y_true: Array, times: Array | None = None
) -> Doubles:
    """mAP: `average_precisions`, averaged over the labels that any picture has."""
    each, present = average_precisions(probabilities, y_true, times)
    return _mean_ratio(each * present, present)


def _average_precision(p: Array, y_true: Array, times: Array) -> tuple[Doubles, Doubles]:
    """One label: (n,), (n,), and (n,) or (n, b) → its average precision and its pictures."""
    order = np.argsort(-p, kind="stable")
    p, y_true = p[order], y_true[order]
    total = times[order[y_true]].sum(0, dtype=np.float64)
    if not y_true.any():
        return np.zeros_like(total), total
    # Precision counts only where recall grows: at the last of equal values, if one of them is true.
    ends = np.flatnonzero(np.append(p[1:] != p[:-1], True))
    trues = np.add.reduceat(y_true.astype(np.int64), np.append(0, ends[:-1] + 1))
    ends = ends[trues > 0]
    starts = np.append(0, ends[:-1] + 1)
    steps = np.add.reduceat(times[order[: ends[-1] + 1]], starts, axis=0)
    seen = steps.cumsum(0, dtype=np.float64)
    hits = np.flatnonzero(y_true)
    firsts = np.searchsorted(hits, starts)  # every step has one
    gained = np.add.reduceat(times[order[hits]], firsts, axis=0).astype(np.float64)
    precision = np.divide(gained.cumsum(0), seen, out=np.zeros_like(seen), where=seen > 0)
    area = (gained * precision).sum(0)
    return np.divide(area, total, out=np.zeros_like(area), where=total > 0), total


# pairs of pictures and captions


def retrieval_ranks(queries: Array, gallery: Array, pairs: Array) -> Indices:
    """How many others are as similar to each query as the best that belongs to it, or more (n,).

    `queries` (n, d) and `gallery` (m, d): rows of length 1; `pairs` (r, 2): the indices of a query
    and of what belongs to it.
    """
    counts = np.empty(len(queries), dtype=np.intp)
    by_query = pairs[np.argsort(pairs[:, 0], kind="stable")]
    for start in range(0, len(queries), BLOCK):
        cosine = queries[start : start + BLOCK] @ gallery.T
        low, high = np.searchsorted(by_query[:, 0], [start, start + len(cosine)])
        paired = np.zeros(cosine.shape, dtype=bool)
        paired[by_query[low:high, 0] - start, by_query[low:high, 1]] = True
        best = np.where(paired, cosine, -np.inf).max(1, keepdims=True)
        counts[start : start + len(cosine)] = ((cosine >= best) & ~paired).sum(1)
    return counts


# metrics by name


@dataclass(frozen=True)
class Metric:
    """A figure: `of` gives it from `times`; `terms` (n,), if it is the mean of these.

    `weighted`: the terms hold weights that are of just these pictures, and mean nothing of others.
    """

    title: str
    of: Callable[[Array | None], Doubles]
    terms: Doubles | None = None
    higher: bool = True  # is better
    percent: bool = True  # is how people read it: a share, from 0 to 1
    weighted: bool = False


def single(
    probabilities: Array,
    y_true: Array,
    ks: Sequence[int] = (1, 5),
    in_sets: Array | None = None,
    answered: Array | None = None,
) -> dict[str, Metric]:
    """The metrics of one label a picture; `nll` only where rows sum to 1, as it must.

    `in_sets`: bool (n, k), the sets of likely labels; `answered`: bool (n,), which pictures got an
    answer at all.
    """
    p = probabilities
    by_name = {f"top{k}": _mean_metric(f"top-{k}", right(p, y_true, k)) for k in ks}
    by_name |= {
        "mean_recall": Metric(
            "mean recall", partial(_last, mean_recall, p, y_true), _shares(p, y_true), weighted=True
        ),
        "macro_f1": Metric("macro F1", partial(_last, macro_f1, p, y_true)),
        "ece": Metric("ECE", partial(_last, ece, p, y_true), higher=False),
    }
    if np.allclose(p.sum(1), 1, atol=1e-3):
        by_name["nll"] = _mean_metric("NLL", log_losses(p, y_true), higher=False, percent=False)
    by_name["brier"] = _mean_metric("Brier", squares(p, y_true), higher=False, percent=False)
    if in_sets is not None:
        covered = np.take_along_axis(in_sets, y_true[:, None], axis=1)[:, 0]
        by_name["coverage"] = _mean_metric("coverage", covered.astype(np.float64))
        sizes = in_sets.sum(1).astype(np.float64)
        by_name["set_size"] = _mean_metric("set size", sizes, higher=False, percent=False)
    if answered is not None:
        given = answered.astype(np.float64)
        wrong = given * (p.argmax(1) != y_true)
        by_name["answered"] = _mean_metric("answered", given)
        by_name["wrong"] = Metric(
            "wrong answers", partial(_last, _share, wrong, given), higher=False
        )
    return by_name


def multi(probabilities: Array, y_true: Array, y_pred: Array) -> dict[str, Metric]:
    """The metrics where each label is a yes or no of its own."""
    p = probabilities
    all_right = (y_pred == y_true).all(1).astype(np.float64)
    losses, distances = binary_log_losses(p, y_true), binary_squares(p, y_true)
    return {
        "map": Metric("mAP", partial(_last, mean_average_precision, p, y_true)),
        "macro_f1": Metric("macro F1", partial(_last, macro_f1_multi, y_pred, y_true)),
        "exact": _mean_metric("all labels right", all_right),
        "ece": Metric("ECE", partial(_last, ece, p, y_true), higher=False),
        "nll": _mean_metric("NLL", losses, higher=False, percent=False),
        "brier": _mean_metric("Brier", distances, higher=False, percent=False),
    }


def retrieval(
    images: Array, captions: Array, pairs: Array, ks: Sequence[int] = (1, 5, 10)
) -> dict[str, Metric]:
    """Recall@k both ways. `pairs` (r, 2): the indices of a picture and of a caption of it.

    Pictures are what is resampled, each with its captions; what is searched stays the same.
    """
    to_text = retrieval_ranks(images, captions, pairs)
    to_image = retrieval_ranks(captions, images, pairs[:, ::-1])

    def of_captions(k: int, times: Array | None) -> Doubles:
        counted = _times(times, len(images))[pairs[:, 0]]
        return _mean((to_image[pairs[:, 1]] < k).astype(np.float64), counted)

    to_captions = {
        f"image_to_text_{k}": _mean_metric(f"image to text @{k}", (to_text < k).astype(np.float64))
        for k in ks
    }
    return to_captions | {
        f"text_to_image_{k}": Metric(f"text to image @{k}", partial(of_captions, k)) for k in ks
    }


def _last(function: Callable[..., Doubles], a: Array, b: Array, times: Array | None) -> Doubles:
    return function(a, b, times=times)


def _share(part: Array, whole: Array, times: Array | None = None) -> Doubles:
    """How much of the whole the part is; 0 where there is no whole."""
    times = _times(times, len(part))
    total = np.asarray(whole @ times, dtype=np.float64)
    return np.asarray(np.divide(part @ times, total, out=np.zeros_like(total), where=total > 0))


def _shares(probabilities: Array, y_true: Array) -> Doubles:
    """(n,) whose mean is `mean_recall`."""
    count = np.bincount(y_true, minlength=probabilities.shape[1])
    return right(probabilities, y_true) * len(y_true) / (count[y_true] * np.count_nonzero(count))


def _mean_metric(
    title: str, terms: Doubles, *, higher: bool = True, percent: bool = True
) -> Metric:
    return Metric(title, partial(_mean, terms), terms, higher, percent)


# what a figure is made of


@dataclass(frozen=True)
class Bin:
    """Pictures whose best label is about as sure: how many, how sure, how often right."""

    low: float
    high: float
    count: int
    sure: float
    right: float


def reliability(probabilities: Array, y_true: Array) -> list[Bin]:
    """The bins of `ece` that have anything in them."""
    sure, hit = (part.ravel() for part in _surety(probabilities, y_true))
    cell = _bin(sure)
    count = np.bincount(cell, minlength=BINS)
    total, hits = (np.bincount(cell, part, BINS) for part in (sure, hit))
    return [
        Bin(i / BINS, (i + 1) / BINS, int(n), float(total[i] / n), float(hits[i] / n))
        for i, n in enumerate(count)
        if n
    ]


def confused(counts: Array) -> list[tuple[int, int, int]]:
    """(true, predicted, how often) of each two labels that were confused, most often first."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    true, predicted = np.nonzero(wrong)
    order = np.lexsort((predicted, true, -wrong[true, predicted]))
    return [(int(true[i]), int(predicted[i]), int(wrong[true[i], predicted[i]])) for i in order]


def side_by_side(counts: Array) -> list[int]:
    """An order of the labels in which those that are confused stand near one another.

    Each next one is the most confused with those before it, the nearest of which counts most.
    """
    wrong = (counts + counts.T).astype(np.float64)
    np.fill_diagonal(wrong, 0)
    remaining = set(range(len(counts)))
    order: list[int] = []
    closeness = np.zeros(len(counts))
    while remaining:
        best = max(sorted(remaining), key=lambda i: (closeness[i], wrong[i].sum()))
        order.append(best)
        remaining.remove(best)
        closeness = closeness / 2 + wrong[best]
    return order


# parts


def _times(times: Array | None, n: int) -> Doubles:
    return np.ones(n) if times is None else np.asarray(times, dtype=np.float64)


def _mean(terms: Doubles, times: Array | None) -> Doubles:
    times = _times(times, len(terms))
    return np.asarray(terms @ times / times.sum(0))


def _mean_ratio(part: Doubles, whole: Doubles) -> Doubles:
    """(k,) or (k, b): the ratios, averaged over those whose whole is not 0; NaN if all are."""
    present = whole > 0
    ratio = np.divide(part, whole, out=np.zeros_like(whole), where=present)
    many = present.sum(0).astype(np.float64)
    return np.asarray(np.divide(ratio.sum(0), many, out=np.full_like(many, np.nan), where=many > 0))


def _tally(indices: Array, k: int, times: Doubles) -> Doubles:
    """How often each of k indices occurs, (k,) or (k, b)."""
    total = np.zeros((k, *times.shape[1:]))
    if len(indices):
        order = np.argsort(indices, kind="stable")
        present, starts = np.unique(indices[order], return_index=True)
        total[present] = np.add.reduceat(times[order], starts, axis=0)
    return total


def _surety(probabilities: Array, y_true: Array) -> tuple[Doubles, Doubles]:
    """How sure, and 1 where it is so: (n, 1) of the best label, or (n, k) of each."""
    p = probabilities.astype(np.float64)
    if y_true.ndim == 2:
        return p, y_true.astype(np.float64)
    hit = p.argmax(1) == y_true
    return p.max(1, keepdims=True), hit[:, None].astype(np.float64)


def _bin(sure: Array) -> Indices:
    """Which of the bins (0, 1/15], (1/15, 2/15] …"""
    return np.asarray(np.clip(np.ceil(sure * BINS).astype(np.intp) - 1, 0, BINS - 1))
