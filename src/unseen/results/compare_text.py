"""What differs between two runs, as text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from unseen.results.records import Row
from unseen.system.printable import printable

if TYPE_CHECKING:
    from unseen.results.compare import Diff, Flip

SHOWN = 20  # flips, and pairs of the matrix, that people are shown
WIDTH = 48  # of a value of a manifest, in characters


def lines(difference: Diff) -> Iterator[str]:
    """The report of `unseen diff`."""
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
    if difference.seen:
        yield (
            f"seen in training: {len(difference.seen)} of the {len(difference.flips)} with another "
            "answer; what learnt from a picture is surer of it than of others"
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
        answers = f"{answer_text(flip.a)} → {answer_text(flip.b)}"
        yield f"{printable(flip.source)}  {answers}  {_why(flip)}"
    if len(difference.flips) > SHOWN:
        yield f"… and {len(difference.flips) - SHOWN} more (--json and --html have them)"


def answer_text(row: Row) -> str:
    """An answer with its score and its margin, as far as they are known."""
    score = "" if row.score is None else f" {row.score:.1%}"
    margin = "" if row.margin is None else f" (margin {row.margin:.3f})"
    return f"{printable(row.answer)}{score}{margin}"


def _why(flip: Flip) -> str:
    marks = ["a near tie"] if flip.near else []
    if flip.seen:
        marks.append(f"seen in training by {' and '.join(flip.seen)}")
    return printable("; ".join([*marks, *flip.why]))


def _value(value: Any) -> str:
    text = "none" if value is None else value if isinstance(value, str) else json.dumps(value)
    text = printable(text)
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"
