"""`unseen diff`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

import unseen
from unseen.cli import options, page, progress
from unseen.cli.output import printable, write_json, write_lines
from unseen.results.compare import Diff, Flip, Gate
from unseen.results.manifest import read_manifest, versions
from unseen.results.records import Row

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
    difference = unseen.diff(a, b)
    if as_json:
        write_json(difference.to_dict(gate))
    else:
        write_lines(_report(difference))
    if html is not None:
        makers = {"runs": [read_manifest(a), read_manifest(b)], "versions": versions()}
        page.write(html, "Flips", [*_sections(difference, html)], f"{a} → {b}", makers)
    if gate is not None and not gate.passed(difference):
        if not quiet:
            progress.say(f"{len(difference.flips)} changed; --max-flips {gate.text} allows fewer.")
        raise typer.Exit(1)


# for people


def _report(difference: Diff) -> Iterator[str]:
    yield (
        f"{difference.both} pictures in both, {len(difference.flips)} with another answer "
        f"({difference.part:.1%}); {len(difference.only_a)} only in the first, "
        f"{len(difference.only_b)} only in the second"
    )
    came, went = len(difference.errors_came), len(difference.errors_went)
    if came or went:
        yield f"errors: {came} came, {went} went"
    if difference.moved_mean is not None:
        yield (
            f"where the answer stayed, its score moved by {difference.moved_mean:.3f} on average, "
            f"{difference.moved_most:.3f} at most"
        )
    yield from difference.notes
    if difference.changes is not None:
        yield ""
        yield "what differs in what made them:" if difference.changes else "they were made alike"
        for change in difference.changes:
            yield f"  {change.what:<20} {_value(change.a)} → {_value(change.b)}"
    if difference.flips:
        yield from _flips(difference)


def _flips(difference: Diff) -> Iterator[str]:
    yield ""
    yield "from → to, pictures:"
    pairs = difference.flip_matrix()
    for before, now, count in pairs[:SHOWN]:
        yield f"  {printable(before)} → {printable(now)}  {count}"
    if len(pairs) > SHOWN:
        yield f"  … and {len(pairs) - SHOWN} more pairs (--json has all)"
    if difference.bands:
        yield ""
        yield "by the margin in the first run:"
        for band in difference.bands:
            yield f"  below {band.below:<5g} {band.flips} of {band.pictures} changed"
    yield ""
    for flip in difference.flips[:SHOWN]:
        yield f"{printable(flip.source)}  {_answer(flip.a)} → {_answer(flip.b)}  {_why(flip)}"
    if len(difference.flips) > SHOWN:
        yield f"… and {len(difference.flips) - SHOWN} more (--json and --html have them)"


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


# a page


def _sections(difference: Diff, html: Path) -> Iterator[Section]:
    """A section a pair, the most frequent first; the surest flips of each are shown."""
    from unseen.pages import Section  # noqa: PLC0415 - it loads Pillow

    order = {pair[:2]: place for place, pair in enumerate(difference.flip_matrix())}

    def pair(flip: Flip) -> int:
        return order[flip.a.answer, flip.b.answer]

    for _, group in groupby(sorted(difference.flips, key=pair), pair):
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
