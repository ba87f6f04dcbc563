"""The report of an evaluation: figures with intervals, mistakes, confusions, groups."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from unseen.errors import LabelError
from unseen.evaluation.metrics import Metric
from unseen.evaluation.report_text import described, figure_text, lines

ROUGH = 30  # pictures below which an interval is not worth much


class Figure(NamedTuple):
    """A figure with its 95 % interval; None where it cannot be computed."""

    value: float | None
    low: float | None
    high: float | None


class Gate(NamedTuple):
    """A bound that a figure must keep: at least, or at most."""

    figure: str
    bound: float
    at_least: bool = True


def parse_gates(
    at_least: Sequence[str], at_most: Sequence[str], metrics: Mapping[str, Metric]
) -> list[Gate]:
    """`top1=0.7` as a bound, for each of the texts. LabelError.

    `metrics`: those that the report will have, by name.
    """
    return [
        *(_gate(text, True, metrics) for text in at_least),
        *(_gate(text, False, metrics) for text in at_most),
    ]


def _gate(text: str, at_least: bool, metrics: Mapping[str, Metric]) -> Gate:
    name, _, value = text.partition("=")
    if name not in metrics:
        raise LabelError(f"{text!r}: unknown figure {name!r}; choose one of: {', '.join(metrics)}.")
    if metrics[name].higher != at_least:
        better, option = ("more", "--min") if metrics[name].higher else ("less", "--max")
        raise LabelError(f"{text!r}: {name} is better when it is {better}; use {option}.")
    try:
        return Gate(name, float(value), at_least)
    except ValueError:
        raise LabelError(f"{text!r}: give a number after =, such as {name}=0.7.") from None


@dataclass(frozen=True, repr=False)
class EvaluationReport:
    """What `unseen.evaluate` gives. Printed, it is the report of `unseen eval`; in a notebook, a
    table.

    Parameters
    ----------
    document : dict
        Everything, as `unseen eval --json` has it. A comparison has several candidates; the
        properties of this class are those of the first.
    gates : tuple of dict
        What `check` found.
    drawings : mapping
        Letter of a candidate → path of a mistake → a JPEG of its map, where these were explained.

    Examples
    --------
    >>> import unseen
    >>> pictures = [("examples/cat.jpg", "cat"), ("examples/dog.jpg", "dog")]
    >>> report = unseen.evaluate(unseen.load(), pictures)
    >>> report.pictures, report.mistakes
    (2, [])
    >>> print(str(report).splitlines()[0])
    pictures in memory: 2 pictures
    """

    document: dict[str, Any]
    gates: tuple[dict[str, Any], ...] = field(default=())
    drawings: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)

    @property
    def pictures(self) -> int:
        """How many pictures were judged."""
        return int(self.document["pictures"])

    @property
    def kind(self) -> str:
        """One of single, multi and retrieval."""
        return str(self.document["kind"])

    @property
    def candidates(self) -> list[dict[str, Any]]:
        """What is known of each candidate, the first first."""
        return list(self.document["candidates"])

    @property
    def figures(self) -> dict[str, Figure]:
        """Each figure by its name, parts from 0 to 1."""
        figures = self.document["candidates"][0]["figures"]
        return {name: Figure(f["value"], f["low"], f["high"]) for name, f in figures.items()}

    @property
    def labels(self) -> list[dict[str, Any]]:
        """A row a label: pictures, recall, precision, F1; the least recall first."""
        return list(self.document["candidates"][0].get("labels", []))

    @property
    def confused(self) -> list[dict[str, Any]]:
        """Which label was taken for which, and how often."""
        return list(self.document["candidates"][0].get("confused", []))

    @property
    def mistakes(self) -> list[dict[str, Any]]:
        """The most confident mistakes, with the path of each picture."""
        return list(self.document["candidates"][0]["mistakes"])

    @property
    def groups(self) -> list[dict[str, Any]]:
        """The figures of each group of pictures, and its gaps to the rest."""
        return list(self.document["candidates"][0].get("groups", []))

    @property
    def left_out(self) -> dict[str, Any]:
        """Pictures and labels that took no part, by the reason."""
        return dict(self.document["left_out"])

    @property
    def rough(self) -> bool:
        """Whether there are so few pictures that every interval is rough."""
        return self.pictures < ROUGH

    def check(self, gates: Iterable[Gate]) -> EvaluationReport:
        """Hold the figures of every candidate against bounds.

        Parameters
        ----------
        gates : iterable of Gate
            The bounds.

        Returns
        -------
        EvaluationReport
            The same, with `gates`: of each bound and candidate whether it is met. A figure that
            there is not meets no bound.

        Examples
        --------
        >>> import unseen
        >>> from unseen.evaluation.report import Gate
        >>> pictures = [("examples/cat.jpg", "cat"), ("examples/dog.jpg", "dog")]
        >>> report = unseen.evaluate(unseen.load(), pictures)
        >>> [gate["met"] for gate in report.check([Gate("top1", 0.9)]).gates]
        [True]
        """
        candidates = self.document["candidates"]
        results = tuple(_checked(candidate, gate) for gate in gates for candidate in candidates)
        return EvaluationReport(self.document, results, self.drawings)

    def missed_lines(self) -> list[str]:
        """The bounds of `check` that a figure missed.

        Returns
        -------
        list of str
            A line for each.
        """
        return [
            f"{gate['letter']}: {gate['figure']} is {gate['value']}, "
            f"{'<' if gate['at_least'] else '>'} {gate['bound']}."
            for gate in self.gates
            if not gate["met"]
        ]

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data: what `unseen eval --json` prints.

        Returns
        -------
        dict
            Only what JSON can hold.
        """
        return {**self.document, "gates": list(self.gates)}

    def to_html(self, path: str | Path) -> None:
        """Write a page with the figures, and the mistakes as thumbnails; it needs no network.

        Parameters
        ----------
        path : str or Path
            The .html file; one that exists is replaced.

        Raises
        ------
        OSError
            It cannot be written.
        """
        from unseen.pages import link, report, thumbnails  # noqa: PLC0415 - it loads Pillow

        page = Path(path)
        mistakes = [m["path"] for c in self.candidates for m in c["mistakes"]]
        files = {name: Path(name) for name in mistakes}
        small = thumbnails([*files.values()])
        pictures = {
            name: (link(file, page), content)
            for (name, file), content in zip(files.items(), small, strict=True)
        }
        source = Path(self.document["source"])
        counts = {c["label_count"] for c in self.candidates if "label_count" in c}
        note = f"{counts.pop()} labels" if len(counts) == 1 else ""
        title = source.name or str(source)
        report(page, title, self.to_dict(), pictures, drawings=self.drawings, note=note)

    def __str__(self) -> str:
        return "\n".join(lines(self.document))

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        """A table of the figures, for notebooks; names are escaped."""
        metrics, candidates = self.document["metrics"], self.document["candidates"]
        head = "".join(f"<th>{html.escape(described(c))}</th>" for c in candidates)
        rows = "".join(
            f"<tr><th>{html.escape(metric['title'])}</th>"
            + "".join(f"<td>{_html_cell(candidate, metric)}</td>" for candidate in candidates)
            + "</tr>"
            for metric in metrics
        )
        caption = html.escape(f"{self.document['source']}: {self.pictures} pictures")
        return f"<table><caption>{caption}</caption><tr><th></th>{head}</tr>{rows}</table>"


def _html_cell(candidate: Mapping[str, Any], metric: Mapping[str, Any]) -> str:
    figure = candidate["figures"].get(metric["name"])
    return "-" if figure is None else html.escape(figure_text(figure, metric["percent"]))


def _checked(candidate: Mapping[str, Any], gate: Gate) -> dict[str, Any]:
    value = candidate["figures"].get(gate.figure, {}).get("value")
    met = value is not None and (value >= gate.bound if gate.at_least else value <= gate.bound)
    return {
        "letter": candidate["letter"],
        "figure": gate.figure,
        "value": value,
        "bound": gate.bound,
        "at_least": gate.at_least,
        "met": met,
    }
