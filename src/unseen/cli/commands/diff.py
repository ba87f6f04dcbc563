"""`unseen diff`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from unseen.cli import options, page, progress
from unseen.cli.output import Lines, printable
from unseen.results.compare import Diff, Flip, Gate
from unseen.results.compare import diff as compare
from unseen.results.manifest import Row, read_manifest, versions

if TYPE_CHECKING:
    from unseen.pages import Item, Section

SHOWN = 20  # flips, and pairs of the matrix, that people are shown
WIDTH = 48  # of a value of a manifest, in characters


def diff(
    a: Annotated[Path, typer.Argument(help="What classify wrote: .jsonl, .csv or .json.")],
    b: Annotated[Path, typer.Argument(help="The same of another run.")],
    max_flips: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it at run time on Python 3.10
        typer.Option(
            "--max-flips", help="Exit 1 when more changed: 1% or a number.", show_default=False
        ),
    ] = None,
    html: page.Html = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """unseen diff before.jsonl after.jsonl --max-flips 1%

    Which pictures changed their answer between two runs, and what differs in what made them.
    """
    gate = None if max_flips is None else Gate.of(max_flips)
    found = compare(a, b)
    if as_json:
        Lines().write(json.dumps(_data(found, gate), ensure_ascii=False, indent=1) + "\n")
    else:
        Lines().write("".join(f"{line}\n" for line in _report(found)))
    if html is not None:
        makers = {"runs": [read_manifest(a), read_manifest(b)], "versions": versions()}
        page.write(html, "Flips", [*_sections(found, html)], f"{a} → {b}", makers)
    if gate is not None and not gate.passed(found):
        if not quiet:
            progress.say(f"{len(found.flips)} changed; --max-flips {gate.text} allows fewer.")
        raise typer.Exit(1)


# for people


def _report(found: Diff) -> Iterator[str]:
    yield (
        f"{found.both} pictures in both, {len(found.flips)} with another answer "
        f"({found.part:.1%}); {len(found.only_a)} only in the first, "
        f"{len(found.only_b)} only in the second"
    )
    came, went = len(found.errors_came), len(found.errors_went)
    if came or went:
        yield f"errors: {came} came, {went} went"
    if found.moved_mean is not None:
        yield (
            f"where the answer stayed, its score moved by {found.moved_mean:.3f} on average, "
            f"{found.moved_most:.3f} at most"
        )
    yield from found.notes
    if found.changes is not None:
        yield ""
        yield "what differs in what made them:" if found.changes else "they were made alike"
        for change in found.changes:
            yield f"  {change.what:<20} {_value(change.a)} → {_value(change.b)}"
    if found.flips:
        yield from _flips(found)


def _flips(found: Diff) -> Iterator[str]:
    yield ""
    yield "from → to, pictures:"
    pairs = found.flip_matrix()
    for before, now, count in pairs[:SHOWN]:
        yield f"  {printable(before)} → {printable(now)}  {count}"
    if len(pairs) > SHOWN:
        yield f"  … and {len(pairs) - SHOWN} more pairs (--json has all)"
    if found.bands:
        yield ""
        yield "by the margin in the first run:"
        for band in found.bands:
            yield f"  below {band.below:<5g} {band.flips} of {band.pictures} changed"
    yield ""
    for flip in found.flips[:SHOWN]:
        yield f"{printable(flip.source)}  {_answer(flip.a)} → {_answer(flip.b)}  {_why(flip)}"
    if len(found.flips) > SHOWN:
        yield f"… and {len(found.flips) - SHOWN} more (--json and --html have them)"


def _answer(row: Row) -> str:
    score = "" if row.score is None else f" {row.score:.1%}"
    margin = "" if row.margin is None else f" (margin {row.margin:.3f})"
    return f"{printable(row.answer)}{score}{margin}"


def _why(flip: Flip) -> str:
    near = ["a near tie"] if flip.near else []
    return printable("; ".join([*near, *flip.why]))


def _value(value: Any) -> str:
    text = "none" if value is None else value if isinstance(value, str) else json.dumps(value)
    text = printable(text)
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"


# for programs


def _data(found: Diff, gate: Gate | None) -> dict[str, Any]:
    return {
        "both": found.both,
        "changed": len(found.flips),
        "part": found.part,
        "passed": None if gate is None else gate.passed(found),
        "only_a": found.only_a,
        "only_b": found.only_b,
        "errors_came": [flip.source for flip in found.errors_came],
        "errors_went": [flip.source for flip in found.errors_went],
        "score_moved": {"mean": found.moved_mean, "most": found.moved_most},
        "notes": found.notes,
        "differences": None
        if found.changes is None
        else [asdict(change) for change in found.changes],
        "matrix": [
            {"a": before, "b": now, "pictures": count}
            for (before, now), count in sorted(found.matrix.items())
        ],
        "margins": [asdict(band) for band in found.bands],
        "flips": [
            {
                "source": flip.source,
                "a": _row(flip.a),
                "b": _row(flip.b),
                "near": flip.near,
                "why": flip.why,
            }
            for flip in found.flips
        ],
    }


def _row(row: Row) -> dict[str, Any]:
    return {"answer": row.answer, "score": row.score, "margin": row.margin, "error": row.error}


# a page


def _sections(found: Diff, html: Path) -> Iterator[Section]:
    """A section a pair, the most frequent first; the surest flips of each are shown."""
    from unseen.pages import Section  # noqa: PLC0415 - it loads Pillow

    order = {pair[:2]: place for place, pair in enumerate(found.flip_matrix())}

    def pair(flip: Flip) -> int:
        return order[flip.a.answer, flip.b.answer]

    for _, group in groupby(sorted(found.flips, key=pair), pair):
        flips = sorted(group, key=lambda flip: -(flip.a.margin or 0.0))
        first, count = flips[0], f"{len(flips)} picture{'s' if len(flips) > 1 else ''}"
        title = f"{first.a.answer} → {first.b.answer}: {count}"
        note = f"the {page.SHOWN} with the largest margin" if len(flips) > page.SHOWN else ""
        yield Section(title, list(_items(flips[: page.SHOWN], html)), note)


def _items(flips: list[Flip], html: Path) -> Iterator[Item]:
    from unseen.pages import Item, link, thumbnails  # noqa: PLC0415

    files = [Path(flip.source) for flip in flips]
    for flip, file, small in zip(flips, files, thumbnails(files), strict=True):
        said = f"{_answer(flip.a)} → {_answer(flip.b)}"
        mark = "near tie" if flip.near else ""
        href = None if small is None else link(file, html)
        yield Item(flip.source, small, href, flip.a.margin, said, mark)
