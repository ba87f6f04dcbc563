"""A collection as a map: a point a picture, near where what is alike is."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unseen.images.thumbnails import SHEET_SIDE, per_sheet, sheets
from unseen.pages.html import checked, data_uri, format_of, write_page

# With so many thumbnails at most, a cell has so many pixels: a page of 10,000 stays below 25 MB.
SIDES = ((2_000, 128), (5_000, 96), (math.inf, 64))
PLACES = 6  # decimals of a place, the map being 1 wide


@dataclass(frozen=True)
class Point:
    """One picture of a map; y grows upwards. `href` is what `pages.link` gives."""

    x: float
    y: float
    name: str
    group: str = ""
    thumbnail: bytes | None = None
    href: str | None = None


def scatter(
    path: Path,
    title: str,
    points: Sequence[Point],
    *,
    note: str = "",
    thumbnails: int = 10_000,
) -> None:
    """Writes a map of `points` to `path`, whole or not at all.

    Of more than `thumbnails` pictures that many, evenly chosen, are shown; the rest are dots. A
    point without a place (NaN) is left out. The page says both.
    """
    placed = [p for p in points if math.isfinite(p.x) and math.isfinite(p.y)]
    write_page(path, "scatter", title, _data(title, points, placed, note, thumbnails))


def _data(
    title: str, points: Sequence[Point], placed: list[Point], note: str, limit: int
) -> Iterator[tuple[str, Any]]:
    pictured = [i for i, p in enumerate(placed) if p.thumbnail is not None]
    shown = _evenly(pictured, limit)
    side = next(side for most, side in SIDES if len(shown) <= most)
    pictures = [placed[i].thumbnail or b"" for i in shown]
    for picture in pictures:
        format_of(picture)  # what is none is the caller's mistake; what is damaged is not
    for number, sheet in enumerate(sheets(pictures, side)):
        yield f"sheet-{number}", data_uri(sheet)
    cells = dict(zip(shown, range(len(shown)), strict=True))
    groups = _groups(placed)
    xs, ys = _unit(placed)
    yield (
        "data",
        {
            "title": title,
            "note": note,
            "facts": _facts(len(points), len(placed), len(pictured), len(shown)),
            "side": side,
            "across": SHEET_SIDE // side,
            "perSheet": per_sheet(side),
            "names": [p.name for p in placed],
            "hrefs": [checked(p.href) for p in placed],
            "groups": list(groups),
            "group": [groups[p.group] for p in placed],
            "x": xs,
            "y": ys,
            "cell": [cells.get(i, -1) for i in range(len(placed))],
        },
    )


def _evenly(those: list[int], many: int) -> list[int]:
    if len(those) <= many:
        return those
    return [those[i * len(those) // many] for i in range(max(0, many))]


def _groups(points: Sequence[Point]) -> dict[str, int]:
    """Group → its number: the largest first, those of none last."""
    counts = Counter(p.group for p in points)
    order = sorted(counts, key=lambda group: (group == "", -counts[group]))
    return {group: number for number, group in enumerate(order)}


def _unit(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    """Places from 0, the longer side 1, y downwards as screens count it."""
    if not points:
        return [], []
    # Halved, so that the span of the largest floats is finite.
    left, right = min(p.x for p in points) / 2, max(p.x for p in points) / 2
    low, top = min(p.y for p in points) / 2, max(p.y for p in points) / 2
    span = max(right - left, top - low) or 1.0
    xs = [round((p.x / 2 - left) / span, PLACES) for p in points]
    ys = [round((top - p.y / 2) / span, PLACES) for p in points]
    return xs, ys


def _facts(total: int, placed: int, pictured: int, shown: int) -> list[str]:
    facts = [f"{placed:,} picture{'' if placed == 1 else 's'}"]
    if shown < pictured:
        facts.append(f"{shown:,} of them shown, the others are dots")
    elif 0 < pictured < placed:
        facts.append(f"{placed - pictured:,} without a thumbnail are dots")
    if placed < total:
        facts.append(f"{total - placed:,} left out: they have no place on the map")
    return facts
