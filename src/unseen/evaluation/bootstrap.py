"""How far a figure can be trusted: intervals, differences and gaps between groups, by resampling.

n pictures, b resamples; everything is seeded, and the same call gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np

from unseen.evaluation.metrics import Array, Indices, Metric
from unseen.types import Doubles

RESAMPLES = 1000
LEVEL = 0.95
SEED = 0
BLOCK = 250  # resamples at once: 20 MB for 10,000 pictures
SMALL_GROUP = 30  # pictures; nothing is claimed of fewer
NORMAL = NormalDist()
NOISE = 0.05  # how often a flag may be raised where there is nothing


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval.

    Parameters
    ----------
    value, low, high : float
        The figure on all pictures, and the ends of its interval.
    draws : float64 array (b,)
        The figure in each resample.
    terms : float64 array (n,), optional
        What the figure is the mean of, if it is one.
    """

    value: float
    low: float
    high: float
    draws: Doubles = field(repr=False, compare=False)
    terms: Doubles | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Difference:
    """From a figure to another on the same pictures. `noise`: it may be nothing."""

    value: float
    low: float
    high: float
    noise: bool


def resampled(n: int, count: int = RESAMPLES, seed: int = SEED) -> Iterator[Doubles]:
    """`count` draws of n of n pictures with replacement, as `times` (n, b), a block at a time."""
    rng = np.random.default_rng(seed)
    for start in range(0, count, BLOCK):
        many = min(BLOCK, count - start)
        cells = rng.integers(n, size=(n, many)) * many + np.arange(many)
        yield np.bincount(cells.ravel(), minlength=n * many).reshape(n, many).astype(np.float64)


def estimate(
    metrics: Mapping[str, Metric], n: int, *, resamples: int = RESAMPLES, seed: int = SEED
) -> dict[str, Estimate]:
    """Each figure on all n pictures, and the middle 95 % of what it is on resamples of them.

    That middle is moved by Efron's bias correction (1981) for figures that are not a mean: of
    pictures drawn twice F1 is less and a calibration error more than of the pictures themselves.
    Where every resample gives 0, or 1 of a share, the other end is what n pictures cannot rule out
    (Clopper & Pearson 1934).

    The same n and seed draw the same resamples: two estimates can be compared draw by draw.
    """
    blocks: dict[str, list[Doubles]] = {name: [] for name in metrics}
    for times in resampled(n, resamples, seed):
        for name, metric in metrics.items():
            blocks[name].append(metric.of(times))
    results = {}
    for name, metric in metrics.items():
        value, draws = float(metric.of(None)), np.concatenate(blocks[name])
        low, high = _middle(draws, 0.0 if metric.terms is not None else _bias(draws, value))
        # Of what is no share (a rank, say), 1 is not the most that there is.
        if low == high and (value == 0 or (value == 1 and metric.percent)):
            least = ((1 - LEVEL) / 2) ** (1 / n)
            low, high = (least, 1.0) if value else (0.0, 1 - least)
        low, high = np.fmin(low, value), np.fmax(high, value)
        results[name] = Estimate(value, float(low), float(high), draws, metric.terms)
    return results


def difference(first: Estimate, other: Estimate) -> Difference:
    """Other - first, both of the same pictures and seed: paired bootstrap.

    Noise when the interval has 0 in it. Of a mean over pictures a second test has to agree, as few
    pictures that differ look surer than they are in a bootstrap: signs of the differences flipped
    at random (Fisher 1935) give as much in fewer than 5 %.
    """
    low, high = _middle(other.draws - first.draws)
    noise = not (low > 0 or high < 0)
    if not noise and first.terms is not None and other.terms is not None:
        noise = _flipped(other.terms - first.terms) > NOISE
    return Difference(other.value - first.value, low, high, noise)


def _flipped(differences: Doubles, count: int = 5 * RESAMPLES) -> float:
    """How often random signs give a sum as far from 0: the p-value of the sign-flip test."""
    nonzero = differences[differences != 0]
    if not len(nonzero):
        return 1.0
    rng = np.random.default_rng(SEED)
    least = abs(nonzero.sum()) * (1 - 1e-9)
    far = 0
    for start in range(0, count, BLOCK):
        signs = rng.integers(0, 2, (min(BLOCK, count - start), len(nonzero))) * 2 - 1
        far += int((np.abs(signs @ nonzero) >= least).sum())
    return (far + 1) / (count + 1)


def proportion(yes: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share of n > 0 that are independent (Wilson 1927)."""
    z = NORMAL.inv_cdf((1 + LEVEL) / 2)
    middle = (yes + z**2 / 2) / (n + z**2)
    wide = z / (n + z**2) * (yes * (n - yes) / n + z**2 / 4) ** 0.5
    return max(middle - wide, 0.0), min(middle + wide, 1.0)


def _bias(draws: Doubles, value: float) -> float:
    """By how many deviations of a normal law the value lies above the middle of its draws; at most
    one, so that half of the draws stay within."""
    below = float(np.mean(draws < value) + np.mean(draws == value) / 2)
    edge = NORMAL.cdf(1)
    return NORMAL.inv_cdf(min(max(below, 1 - edge), edge))


def _middle(draws: Doubles, bias: float = 0.0) -> tuple[float, float]:
    """The middle 95 %: percentiles, moved by twice the bias."""
    finite = draws[np.isfinite(draws)]
    if not len(finite):
        return float("nan"), float("nan")
    wide = NORMAL.inv_cdf((1 + LEVEL) / 2)
    ends = [100 * NORMAL.cdf(2 * bias + end) for end in (-wide, wide)]
    low, high = np.percentile(finite, ends)
    return float(low), float(high)


# groups


@dataclass(frozen=True)
class Gap:
    """How far a group lies from the rest. `p` is the p-value, adjusted for all tests; `flagged`: it
    is more than noise."""

    value: float
    low: float
    high: float
    p: float
    flagged: bool


@dataclass(frozen=True)
class Group:
    """The figures of some of the pictures; none where they are too few to claim anything."""

    name: str
    pictures: int
    figures: Mapping[str, Estimate] = field(default_factory=dict)
    gaps: Mapping[str, Gap] = field(default_factory=dict)


def audit(
    metrics_of: Callable[[Indices], Mapping[str, Metric]],
    groups: Sequence[str],
    *,
    least: int = SMALL_GROUP,
    seed: int = SEED,
) -> list[Group]:
    """The figures of each group of pictures, and how far each lies from all others.

    `metrics_of`: the metrics of the pictures at some indices; `groups` (n,): the group of each.
    Gaps are of those figures that are means over pictures, as only these do not depend on how many
    pictures there are. A gap's interval is a bootstrap. It is flagged by a permutation test: who is
    in which group is shuffled, and a gap as large must come of it so rarely that, corrected for all
    groups and figures (Holm 1979), any flag is raised by chance in at most 5 % of audits.
    """
    names, group_of = np.unique(np.asarray(groups), return_inverse=True)
    sizes = np.bincount(group_of)
    everything = metrics_of(np.arange(len(group_of)))
    terms = {
        name: m.terms for name, m in everything.items() if m.terms is not None and not m.weighted
    }
    large = np.flatnonzero(sizes >= least) if len(names) > 1 else np.array([], dtype=np.intp)
    gaps = _gaps(np.stack([*terms.values()]), group_of, large, seed) if len(large) else []
    results = []
    for number, (name, size) in enumerate(zip(names.tolist(), sizes.tolist(), strict=True)):
        figures = {}
        if size >= least:
            figures = estimate(metrics_of(np.flatnonzero(group_of == number)), size, seed=seed)
        of_group = gaps[large.tolist().index(number)] if number in large else []
        results.append(Group(name, size, figures, dict(zip(terms, of_group, strict=False))))
    return results


def _gaps(terms: Doubles, group_of: Indices, large: Indices, seed: int) -> list[list[Gap]]:
    """Terms (m, n) and the group of each picture (n,) → the m gaps of each `large` group."""
    sizes = np.bincount(group_of).astype(np.float64)
    order = np.argsort(group_of, kind="stable")
    starts = np.append(0, sizes.cumsum()[:-1]).astype(np.intp)

    def gap(sums: Array, counts: Array) -> Doubles:
        """(…, groups) → (…, large): mean of a group - mean of the rest."""
        rest = counts.sum(-1, keepdims=True) - counts
        with np.errstate(invalid="ignore", divide="ignore"):
            all_gaps = sums / counts - (sums.sum(-1, keepdims=True) - sums) / rest
        return np.asarray(all_gaps[..., large])

    sorted_terms = terms[:, order]
    observed = gap(np.add.reduceat(sorted_terms, starts, axis=1), sizes)  # (m, large)
    draws = []
    for times in resampled(len(group_of), RESAMPLES, seed):
        counted = times[order].T  # (b, n)
        counts = np.add.reduceat(counted, starts, axis=1)
        sums = [np.add.reduceat(counted * row, starts, axis=1) for row in sorted_terms]
        draws.append(gap(np.stack(sums), counts))
    drawn = np.concatenate(draws, axis=1)  # (m, b, large)
    # So many that the least p there can be is enough for the strictest step of Holm.
    shuffles = max(RESAMPLES, 4 * round(observed.size / NOISE))
    rng = np.random.default_rng(seed)
    far = np.zeros(observed.shape)
    least = np.abs(observed) - 1e-12
    for _ in range(shuffles):
        shuffled = terms[:, rng.permutation(len(group_of))]
        far += np.abs(gap(np.add.reduceat(shuffled, starts, axis=1), sizes)) >= least
    p = holm((far + 1) / (shuffles + 1))
    return [
        [
            Gap(
                float(observed[i, j]),
                *_middle(drawn[i, :, j]),
                float(p[i, j]),
                bool(p[i, j] <= NOISE),
            )
            for i in range(len(terms))
        ]
        for j in range(len(large))
    ]


def holm(p: Array) -> Doubles:
    """p-values of several tests → adjusted ones (Holm 1979); to be held against the same level."""
    flat = p.ravel()
    order = np.argsort(flat, kind="stable")
    steps = np.maximum.accumulate(flat[order] * (len(flat) - np.arange(len(flat))))
    adjusted = np.empty(len(flat))
    adjusted[order] = np.minimum(steps, 1)
    return adjusted.reshape(p.shape)
