"""The data of a report as a table of text: a row a figure, a column a candidate."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from unseen.system.printable import printable

PAIRS = 10  # of confused labels that are listed
COLUMN = 29  # characters of a candidate's column

Row = Mapping[str, Any]


def lines(report: Row, width: int | None = None) -> Iterator[str]:
    """The lines of a report.

    Parameters
    ----------
    report : mapping
        As `EvaluationReport.to_dict` gives it.
    width : int, optional
        How many characters fit into a line: it decides how many candidates stand side by side.
        By default that of the terminal, or 100.
    """
    candidates, several = report["candidates"], len(report["candidates"]) > 1
    yield f"{printable(report['source'])}: {report['pictures']} pictures"
    for candidate in candidates:
        mark = f"  {candidate['letter']}  " if several else "  "
        yield mark + printable(described(candidate))
    yield from _seen(report)
    yield from _promised(report)
    yield from _table(report, width or shutil.get_terminal_size((100, 24)).columns)
    if several:
        yield ""
        yield "  * best   + better, - worse than A, = no more than noise (paired bootstrap)"
    else:
        yield from _confused(candidates[0])
    if report["group"] is not None:
        for candidate in candidates:
            yield from _groups(report, candidate, several)


def _seen(report: Row) -> Iterator[str]:
    """What was left out as it had been learnt from; what was not; and how good that was made."""
    left_out = report.get("left_out", {}).get("seen_in_training", 0)
    if left_out:
        yield f"  left out, as a candidate learnt from them: {left_out} pictures"
    for candidate in report["candidates"]:
        mark = f"{candidate['letter']} " if len(report["candidates"]) > 1 else ""
        seen, held_out = candidate.get("seen_in_training", 0), candidate.get("held_out")
        if seen:
            yield f"  {mark}seen in training: {seen} of {report['pictures']}; judge it on others"
        if held_out:
            right = f"{held_out['right']} of {held_out['pictures']} pictures held out"
            yield f"  {mark}when the adapter was made: right on {right}, zero-shot on " + str(
                held_out["zero_shot"]
            )


def _promised(report: Row) -> Iterator[str]:
    """What a calibration promised, which coverage and wrong answers are to be held against."""
    for candidate in report["candidates"]:
        mark = f"{candidate['letter']} " if len(report["candidates"]) > 1 else ""
        sets, answers = candidate.get("sets"), candidate.get("answers")
        if sets:
            own = len(sets["own_reach"])
            each = f", of each of {own} labels" if own else " on average"
            yield f"  {mark}sets: {sets['coverage']:.0%} coverage promised{each}{_worst(candidate)}"
        if answers:
            yield (
                f"  {mark}answers: at most {number(answers['max_wrong'], True)} % wrong promised, "
                f"with {answers['confidence']:.0%} confidence"
            )


def _worst(candidate: Row) -> str:
    """The label that is surest to be covered seldom."""
    worst = candidate.get("worst_coverage")
    if worst is None:
        return ""
    part = figure_text(worst["coverage"], True)
    return f"; worst label {printable(worst['label'])}: {part} of {worst['pictures']}"


def _table(report: Row, width: int) -> Iterator[str]:
    """The figures; as many candidates side by side as fit."""
    candidates, several = report["candidates"], len(report["candidates"]) > 1
    title_width = max(len(metric["title"]) for metric in report["metrics"]) + 2
    across = max(1, (width - title_width - 2) // COLUMN)
    for start in range(0, len(candidates), across):
        columns = candidates[start : start + across]
        yield ""
        if several:
            letters = "".join(f"{candidate['letter']:<{COLUMN}}" for candidate in columns)
            yield f"  {'':{title_width}}{letters.rstrip()}"
        for metric in report["metrics"]:
            cells = "".join(f"{_cell(c, metric, several):<{COLUMN}}" for c in columns)
            yield f"  {metric['title']:{title_width}}{cells.rstrip()}"


def described(candidate: Row) -> str:
    """A candidate in words.

    >>> described({"model": "builtin", "template": "a {}", "label_count": 3})
    'builtin, template a {}, 3 labels'
    """
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
    """A figure as it is printed.

    >>> number(0.709, True), number(1.2345, False), number(None, True)
    ('70.9', '1.234', '-')
    """
    if value is None:
        return "-"
    plus = "+" if sign else ""
    return f"{100 * value:{plus}.1f}" if percent else f"{value:{plus}.3f}"


def figure_text(figure: Row, percent: bool) -> str:
    """A figure with its interval."""
    low, high = (number(figure[end], percent) for end in ("low", "high"))
    return f"{number(figure['value'], percent)}{' %' if percent else ''} ({low} … {high})"


def _cell(candidate: Row, metric: Row, several: bool) -> str:
    figure = candidate["figures"].get(metric["name"])
    if figure is None:
        return "-"
    text = figure_text(figure, metric["percent"])
    if several:
        against = candidate.get("against_first", {}).get(metric["name"])
        text += " " + (_sign(against, metric["higher"]) if against else " ")
        text += "*" if figure["best"] else ""
    return text


def _sign(against: Row, higher: bool) -> str:
    if against["noise"]:
        return "="
    return "+" if (against["value"] > 0) == higher else "-"


def _confused(candidate: Row) -> Iterator[str]:
    pairs = list(islice(candidate.get("confused", []), PAIRS))
    if pairs:
        yield from ("", "  most often confused")
    for pair in pairs:
        yield f"    {pair['count']:3}  {printable(pair['true'] + ' → ' + pair['said'])}"


def _groups(report: Row, candidate: Row, several: bool) -> Iterator[str]:
    """A line a group: the first figure, and how far it lies from the rest; then what is flagged."""
    column, least = report["group"]["column"], report["group"]["least"]
    metric = next(m for m in report["metrics"] if m["name"] == report["group"]["metric"])
    of = f" ({candidate['letter']})" if several else ""
    yield ""
    yield f"  {metric['title']} by {printable(column)}{of}"
    width = max(_cells(printable(group["name"])) for group in candidate["groups"]) + 2
    for group in candidate["groups"]:
        name = printable(group["name"])
        yield f"    {name}{' ' * (width - _cells(name))}{_group(group, metric, least)}"
    titles = {m["name"]: m["title"] for m in report["metrics"]}
    flags = [
        f"    {printable(group['name'])}: {titles[name]}, p = {gap['p']:.3f}"
        for group in candidate["groups"]
        for name, gap in group["gaps"].items()
        if gap["flagged"]
    ]
    head = "gaps that are more than noise" if flags else "no gap is more than noise"
    yield f"  {head} (permutation test, Holm)"
    yield from flags


def _group(group: Row, metric: Row, least: int) -> str:
    text = f"{group['pictures']:6}  "
    if not group["figures"]:
        return f"{text}fewer than {least} pictures: nothing is claimed"
    text += f"{_cell(group, metric, False):<26}"
    gap = group["gaps"].get(metric["name"])
    if gap:
        low, high = (number(gap[k], metric["percent"], True) for k in ("low", "high"))
        text += f"{number(gap['value'], metric['percent'], True)} ({low} … {high}) to the rest"
    return text.rstrip()


def _cells(text: str) -> int:
    """How many columns of a terminal a text takes: East Asian wide signs take two, marks none."""
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )
