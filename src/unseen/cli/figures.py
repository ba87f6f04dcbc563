"""What `unseen eval` found: as one JSON document, and as a table.

The page is made from the same document. Parts are from 0 to 1 in it; NaN is null.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from unseen.cli.output import printable
from unseen.evaluation import metrics as evaluate
from unseen.evaluation.bootstrap import (
    RESAMPLES,
    Difference,
    Estimate,
    Gap,
    Group,
    difference,
    estimate,
)
from unseen.evaluation.metrics import Metric
from unseen.pages.html import finite

MISTAKES = 24  # that are kept of a candidate, the worst
PAIRS = 10  # that a table names
ORDERED = 100  # labels up to which a confusion picture can be read


@dataclass
class Candidate:
    """A model with its templates and labels, what it said of n pictures, and what is true.

    `yes` (n, k) where a picture may have several labels, else None. `about`: what tells it from
    others, in words.
    """

    about: dict[str, Any]
    names: list[str]
    idle: list[str]
    probabilities: NDArray[Any]
    truth: NDArray[Any]
    yes: NDArray[Any] | None
    metrics: Mapping[str, Metric]
    figures: dict[str, Estimate] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)

    def measure(self, n: int) -> None:
        self.figures = estimate(self.metrics, n)


def letter(place: int) -> str:
    """A, B … Z, A1, B1 …"""
    return chr(ord("A") + place % 26) + (str(place // 26) if place >= 26 else "")


def document(
    kind: str,
    source: str,
    pictures: int,
    left_out: dict[str, Any],
    candidates: Sequence[Candidate],
    mistakes: Sequence[list[dict[str, Any]]],
    group: dict[str, Any] | None,
) -> dict[str, Any]:
    """Everything that was found. `mistakes`: of each candidate."""
    shown = {name: metric for c in candidates for name, metric in c.metrics.items()}
    best = {name: _best(name, metric, candidates) for name, metric in shown.items()}
    found = []
    for place, candidate in enumerate(candidates):
        row: dict[str, Any] = {"letter": letter(place), **candidate.about}
        row["idle"] = candidate.idle
        row["figures"] = {
            name: {**_estimate(figure), "best": place in best[name]}
            for name, figure in candidate.figures.items()
        }
        if place:
            first = candidates[0].figures
            row["against_first"] = {
                name: _difference(difference(first[name], figure))
                for name, figure in candidate.figures.items()
                if name in first
            }
        if kind != "retrieval":
            row |= _made_of(candidate)
        row["mistakes"] = mistakes[place]
        if group is not None:
            row["groups"] = [_group(one) for one in candidate.groups]
        found.append(row)
    return {
        "source": source,
        "kind": kind,
        "pictures": pictures,
        "resamples": RESAMPLES,
        "left_out": left_out,
        "metrics": [
            {"name": name, "title": m.title, "higher": m.higher, "percent": m.percent}
            for name, m in shown.items()
        ],
        "group": group,
        "candidates": found,
    }


def _best(name: str, metric: Metric, candidates: Sequence[Candidate]) -> set[int]:
    """The places of the best candidates; none where there is nothing to compare."""
    values = {
        i: c.figures[name].value if metric.higher else -c.figures[name].value
        for i, c in enumerate(candidates)
        if name in c.figures and np.isfinite(c.figures[name].value)
    }
    if len(candidates) < 2 or not values:
        return set()
    return {i for i, value in values.items() if value == max(values.values())}


def _estimate(found: Estimate) -> dict[str, Any]:
    return {"value": finite(found.value), "low": finite(found.low), "high": finite(found.high)}


def _difference(found: Difference | Gap) -> dict[str, Any]:
    return {k: finite(v) if isinstance(v, float) else v for k, v in asdict(found).items()}


def _group(found: Group) -> dict[str, Any]:
    return {
        "name": found.name,
        "pictures": found.pictures,
        "figures": {name: _estimate(one) for name, one in found.figures.items()},
        "gaps": {name: _difference(one) for name, one in found.gaps.items()},
    }


def _made_of(candidate: Candidate) -> dict[str, Any]:
    """A row a label, the calibration, and what was taken for what."""
    p, truth = candidate.probabilities, candidate.truth
    bins = [asdict(one) for one in evaluate.reliability(p, truth)]
    if candidate.yes is not None:
        both = (truth & candidate.yes).sum(0)
        precision, there = evaluate.average_precisions(p, truth)
        labels = _labels(candidate.names, truth.sum(0), candidate.yes.sum(0), both)
        for row in labels:
            place = candidate.names.index(row["label"])
            row["average_precision"] = float(precision[place]) if there[place] else None
        return {"labels": labels, "reliability": bins}
    counts = evaluate.confusion(p, truth)
    labels = _labels(candidate.names, counts.sum(1), counts.sum(0), counts.diagonal())
    pairs = evaluate.confused(counts)
    names = candidate.names
    made: dict[str, Any] = {"labels": labels, "reliability": bins}
    made["confused"] = [{"true": names[t], "said": names[s], "count": n} for t, s, n in pairs]
    seen = np.flatnonzero(counts.sum(0) + counts.sum(1))
    if len(seen) <= ORDERED:
        order = evaluate.side_by_side(counts[np.ix_(seen, seen)])
        made["order"] = [names[seen[i]] for i in order]
    return made


def _labels(names: Sequence[str], true: Any, said: Any, both: Any) -> list[dict[str, Any]]:
    """Of each label that is true or said of any picture, the least found first."""
    rows = [
        {
            "label": name,
            "pictures": int(t),
            "said": int(s),
            "right": int(b),
            "recall": b / t if t else None,
            "precision": b / s if s else None,
            "f1": 2 * b / (t + s),
        }
        for name, t, s, b in zip(names, true.tolist(), said.tolist(), both.tolist(), strict=True)
        if t + s
    ]
    return sorted(rows, key=lambda row: (row["recall"] is None, row["recall"], -row["pictures"]))


# for people


def lines(found: dict[str, Any]) -> list[str]:
    """The document as a table: a row a figure, a column a candidate; as many as fit at once."""
    candidates, said = found["candidates"], []
    said.append(f"{printable(found['source'])}: {found['pictures']} pictures")
    for one in candidates:
        mark = f"  {one['letter']}  " if len(candidates) > 1 else "  "
        said.append(mark + printable(described(one)))
    width = max(len(metric["title"]) for metric in found["metrics"]) + 2
    across = max(1, (shutil.get_terminal_size((100, 24)).columns - width - 2) // 29)
    several = len(candidates) > 1
    for start in range(0, len(candidates), across):
        some = candidates[start : start + across]
        said.append("")
        if several:
            said.append(
                f"  {'':{width}}" + "".join(f"{one['letter']:<29}" for one in some).rstrip()
            )
        for metric in found["metrics"]:
            cells = [_cell(one, metric, several) for one in some]
            said.append(
                f"  {metric['title']:{width}}" + "".join(f"{c:<29}" for c in cells).rstrip()
            )
    if several:
        said += ["", "  * best   + better, - worse than A, = no more than noise (paired bootstrap)"]
    else:
        said += _confused(candidates[0])
    if found["group"] is not None:
        for one in candidates:
            said += _groups(found, one, several)
    return said


def described(candidate: Mapping[str, Any]) -> str:
    """A candidate in words."""
    parts = [str(candidate["model"])]
    if candidate["template"]:
        parts.append(f"template {candidate['template']}")
    if candidate.get("labels_from"):
        parts.append(f"labels {candidate['labels_from']}")
    parts += [f"{key} {candidate[key]}" for key in ("adapter", "calibration") if candidate.get(key)]
    if candidate.get("label_count"):
        parts.append(f"{candidate['label_count']} labels")
    return ", ".join(parts)


def number(value: float | None, percent: bool, sign: bool = False) -> str:
    """A figure as it is printed: 70.9 %, or 1.234."""
    if value is None:
        return "-"
    plus = "+" if sign else ""
    return f"{100 * value:{plus}.1f}" if percent else f"{value:{plus}.3f}"


def _cell(candidate: Mapping[str, Any], metric: Mapping[str, Any], several: bool) -> str:
    figure = candidate["figures"].get(metric["name"])
    if figure is None:
        return "-"
    percent = metric["percent"]
    low, high = (number(figure[end], percent) for end in ("low", "high"))
    text = f"{number(figure['value'], percent)}{' %' if percent else ''} ({low} … {high})"
    if several:
        against = candidate.get("against_first", {}).get(metric["name"])
        text += " " + (_sign(against, metric["higher"]) if against else " ")
        text += "*" if figure["best"] else ""
    return text


def _sign(against: Mapping[str, Any], higher: bool) -> str:
    if against["noise"]:
        return "="
    return "+" if (against["value"] > 0) == higher else "-"


def _confused(candidate: Mapping[str, Any]) -> list[str]:
    pairs = list(islice(candidate.get("confused", []), PAIRS))
    if not pairs:
        return []
    said = ["", "  most often confused"]
    return said + [f"    {p['count']:3}  {printable(p['true'] + ' → ' + p['said'])}" for p in pairs]


def _groups(found: Mapping[str, Any], candidate: Mapping[str, Any], several: bool) -> list[str]:
    """A line a group: the first figure, and how far it lies from the rest; then what is flagged."""
    column, least = found["group"]["column"], found["group"]["least"]
    metric = next(m for m in found["metrics"] if m["name"] == found["group"]["metric"])
    of = f" ({candidate['letter']})" if several else ""
    said = ["", f"  {metric['title']} by {printable(column)}{of}"]
    width = max(cell_len(printable(group["name"])) for group in candidate["groups"]) + 2
    for group in candidate["groups"]:
        name = printable(group["name"])
        text = f"    {name}{' ' * (width - cell_len(name))}{group['pictures']:6}  "
        gap = group["gaps"].get(metric["name"])
        if not group["figures"]:
            said.append(f"{text}fewer than {least} pictures: nothing is claimed")
            continue
        text += f"{_cell(group, metric, False):<26}"
        if gap:
            low, high = (number(gap[k], metric["percent"], True) for k in ("low", "high"))
            text += f"{number(gap['value'], metric['percent'], True)} ({low} … {high}) to the rest"
        said.append(text.rstrip())
    titles = {m["name"]: m["title"] for m in found["metrics"]}
    flags = [
        f"    {printable(group['name'])}: {titles[name]}, p = {gap['p']:.3f}"
        for group in candidate["groups"]
        for name, gap in group["gaps"].items()
        if gap["flagged"]
    ]
    head = "gaps that are more than noise" if flags else "no gap is more than noise"
    return [*said, f"  {head} (permutation test, Holm)", *flags]
