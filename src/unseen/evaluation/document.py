"""Probabilities of candidates, and what is true → everything a report holds, as plain data.

Parts of a whole are from 0 to 1 in it; NaN is None. The keys are those of `unseen eval --json`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.evaluation import metrics
from unseen.evaluation.bootstrap import (
    RESAMPLES,
    Difference,
    Estimate,
    Gap,
    Group,
    audit,
    difference,
    estimate,
    proportion,
)
from unseen.evaluation.metrics import Metric
from unseen.pages.html import finite
from unseen.prediction.conformal import NO_PROMISES, Promises

MISTAKES = 24  # the worst of a candidate, that are listed
ORDERED = 100  # labels up to which a confusion matrix can be read as a picture
TOP_K = (1, 5)  # of one label a picture, unless others are given


@dataclass(frozen=True)
class Answers:
    """What a candidate answered about n pictures, with k labels.

    Parameters
    ----------
    about : dict
        What tells the candidate from others: the model, the template and so on.
    names : list of str
        The k labels.
    unused : list of str
        Labels that no picture has.
    probabilities : float32 array (n, k)
        Of each picture and label.
    y_true : int array (n,) or bool array (n, k)
        The index of each picture's label; bool where pictures may have several.
    y_pred : bool array (n, k), optional
        Which labels were given; None with one label a picture.
    top_k : sequence of int, optional
        Within how many labels the right one counts; None: 1, and 5 where there are more labels.
    promises : Promises
        Of a calibration: the sets of likely labels, and which pictures get an answer.
    """

    about: dict[str, Any]
    names: list[str]
    unused: list[str]
    probabilities: NDArray[Any]
    y_true: NDArray[Any]
    y_pred: NDArray[np.bool_] | None = None
    top_k: Sequence[int] | None = None
    promises: Promises = NO_PROMISES

    def metrics(self, rows: NDArray[np.intp] | None = None) -> dict[str, Metric]:
        """The metrics of the pictures in these rows, or of all."""
        chosen: Any = slice(None) if rows is None else rows
        probabilities, y_true = self.probabilities[chosen], self.y_true[chosen]
        if self.y_pred is not None:
            return metrics.multi(probabilities, y_true, self.y_pred[chosen])
        # Right among the first five of five says nothing.
        top_k = self.top_k or [k for k in TOP_K if k == 1 or k < len(self.names)]
        ks = list(dict.fromkeys(top_k))
        promises = self.promises.of(chosen)
        return metrics.single(probabilities, y_true, ks, promises.in_sets, promises.answered)

    def groups(self, groups: Sequence[str], least: int) -> list[Group]:
        """The figures of each group of pictures, by the group of each picture."""
        return audit(self.metrics, groups, least=least)

    def mistakes(self, paths: Sequence[Path]) -> list[dict[str, Any]]:
        """The most confident errors; with several labels, by the label that is furthest off."""
        p, y_true = self.probabilities, self.y_true
        if self.y_pred is None:
            label_ids, distances = p.argmax(1), p.max(1)
            wrong = label_ids != y_true
        else:
            off = np.where(self.y_pred == y_true, -1.0, np.abs(p - y_true))
            label_ids, distances = off.argmax(1), off.max(1)
            wrong = (self.y_pred != y_true).any(1)
        worst = [row for row in np.argsort(-distances, kind="stable") if wrong[row]][:MISTAKES]
        return [self._mistake(row, int(label_ids[row]), paths[row]) for row in worst]

    def _mistake(self, row: int, label_id: int, path: Path) -> dict[str, Any]:
        p, y_true = self.probabilities[row], self.y_true[row]
        true = [y_true] if self.y_pred is None else np.flatnonzero(y_true)
        mistake: dict[str, Any] = {
            "path": str(path),
            "true": [self.names[i] for i in true],
            "said": self.names[label_id],
            "score": float(p[label_id]),
        }
        if self.y_pred is None:
            return mistake | {"score_of_true": float(p[y_true])}
        return mistake | {"missed": bool(y_true[label_id])}

    def details(self) -> dict[str, Any]:
        """A row for each label, the calibration, and which labels were confused."""
        bins = [asdict(bin) for bin in metrics.reliability(self.probabilities, self.y_true)]
        if self.y_pred is not None:
            return {"labels": self._labels_of_several(self.y_pred), "reliability": bins}
        counts = metrics.confusion(self.probabilities, self.y_true)
        names = self.names
        labels = _labels(names, counts.sum(1), counts.sum(0), counts.diagonal())
        if self.promises.in_sets is not None:
            self._add_coverage(labels, self.promises.in_sets)
        covered = [row for row in labels if row.get("set_size") is not None]
        details: dict[str, Any] = {
            # The label of which it is surest that its coverage is low.
            "worst_coverage": min(covered, key=lambda row: row["coverage"]["high"], default=None),
            "labels": labels,
            "reliability": bins,
            "confused": [
                {"true": names[true], "said": names[predicted], "count": count}
                for true, predicted, count in metrics.confused(counts)
            ],
        }
        seen = np.flatnonzero(counts.sum(0) + counts.sum(1))
        if len(seen) <= ORDERED:
            order = metrics.side_by_side(counts[np.ix_(seen, seen)])
            details["order"] = [names[seen[i]] for i in order]
        return details

    def _add_coverage(self, labels: list[dict[str, Any]], in_sets: NDArray[np.bool_]) -> None:
        """To the row of each label that has pictures, how often their sets hold it."""
        covered = in_sets[np.arange(len(in_sets)), self.y_true]
        for row in labels:
            own = self.y_true == self.names.index(row["label"])
            yes, n = int(covered[own].sum()), int(own.sum())
            low, high = proportion(yes, n) if n else (None, None)
            row["coverage"] = {"value": yes / n if n else None, "low": low, "high": high}
            row["set_size"] = float(in_sets[own].sum(1).mean()) if n else None

    def _labels_of_several(self, y_pred: NDArray[np.bool_]) -> list[dict[str, Any]]:
        right = (self.y_true & y_pred).sum(0)
        labels = _labels(self.names, self.y_true.sum(0), y_pred.sum(0), right)
        precisions, counts = metrics.average_precisions(self.probabilities, self.y_true)
        for row in labels:
            label_id = self.names.index(row["label"])
            precision = float(precisions[label_id]) if counts[label_id] else None
            row["average_precision"] = precision
        return labels


@dataclass(frozen=True)
class Candidate:
    """What is known of one candidate; `details` as `Answers.details` has them."""

    about: dict[str, Any]
    unused: list[str]
    metrics: Mapping[str, Metric]
    figures: Mapping[str, Estimate]
    mistakes: list[dict[str, Any]]
    details: dict[str, Any] = field(default_factory=dict)
    groups: list[Group] | None = None

    @classmethod
    def of(
        cls, answers: Answers, paths: Sequence[Path], groups: Sequence[str] | None, least: int
    ) -> Candidate:
        """Of its answers about the pictures at `paths`, and the group of each."""
        metrics_of_all = answers.metrics()
        return cls(
            answers.about,
            answers.unused,
            metrics_of_all,
            estimate(metrics_of_all, len(paths)),
            answers.mistakes(paths),
            answers.details(),
            None if groups is None else answers.groups(groups, least),
        )


def letter(index: int) -> str:
    """A, B … Z, A1, B1 …

    >>> letter(0), letter(27)
    ('A', 'B1')
    """
    return chr(ord("A") + index % 26) + (str(index // 26) if index >= 26 else "")


def document(
    kind: str,
    source: str,
    pictures: int,
    left_out: dict[str, Any],
    candidates: Sequence[Candidate],
    group: dict[str, Any] | None,
) -> dict[str, Any]:
    """The whole of a report. `kind`: single, multi or retrieval."""
    every = {name: metric for c in candidates for name, metric in c.metrics.items()}
    best = {name: _best(name, metric, candidates) for name, metric in every.items()}
    return {
        "source": source,
        "kind": kind,
        "pictures": pictures,
        "resamples": RESAMPLES,
        "left_out": left_out,
        "metrics": [
            {"name": name, "title": m.title, "higher": m.higher, "percent": m.percent}
            for name, m in every.items()
        ],
        "group": group,
        "candidates": [_candidate(index, candidates, best) for index in range(len(candidates))],
    }


def _candidate(
    index: int, candidates: Sequence[Candidate], best: Mapping[str, set[int]]
) -> dict[str, Any]:
    candidate = candidates[index]
    row: dict[str, Any] = {"letter": letter(index), **candidate.about}
    row["idle"] = candidate.unused
    row["figures"] = {
        name: {**_estimate(figure), "best": index in best[name]}
        for name, figure in candidate.figures.items()
    }
    if index:
        first = candidates[0].figures
        row["against_first"] = {
            name: _difference(difference(first[name], figure))
            for name, figure in candidate.figures.items()
            if name in first
        }
    row |= candidate.details
    row["mistakes"] = candidate.mistakes
    if candidate.groups is not None:
        row["groups"] = [_group(group) for group in candidate.groups]
    return row


def _best(name: str, metric: Metric, candidates: Sequence[Candidate]) -> set[int]:
    """The indices of the best candidates; none where there is nothing to compare."""
    values = {
        i: c.figures[name].value if metric.higher else -c.figures[name].value
        for i, c in enumerate(candidates)
        if name in c.figures and np.isfinite(c.figures[name].value)
    }
    if len(candidates) < 2 or not values:
        return set()
    return {i for i, value in values.items() if value == max(values.values())}


def _estimate(figure: Estimate) -> dict[str, Any]:
    return {"value": finite(figure.value), "low": finite(figure.low), "high": finite(figure.high)}


def _difference(gap: Difference | Gap) -> dict[str, Any]:
    return {k: finite(v) if isinstance(v, float) else v for k, v in asdict(gap).items()}


def _group(group: Group) -> dict[str, Any]:
    return {
        "name": group.name,
        "pictures": group.pictures,
        "figures": {name: _estimate(figure) for name, figure in group.figures.items()},
        "gaps": {name: _difference(gap) for name, gap in group.gaps.items()},
    }


def _labels(names: Sequence[str], true: Any, predicted: Any, right: Any) -> list[dict[str, Any]]:
    """Of each label that a picture has or was given, the one with the least recall first."""
    counts = zip(names, true.tolist(), predicted.tolist(), right.tolist(), strict=True)
    rows = [
        {
            "label": name,
            "pictures": int(t),
            "said": int(p),
            "right": int(r),
            "recall": r / t if t else None,
            "precision": r / p if p else None,
            "f1": 2 * r / (t + p),
        }
        for name, t, p, r in counts
        if t + p
    ]
    return sorted(rows, key=lambda row: (row["recall"] is None, row["recall"], -row["pictures"]))
