"""Draws docs/models.svg from data/models.json: accuracy against work, the licence as colour.

python tools/models_picture.py            # write it
python tools/models_picture.py --check    # exit 1 when it is out of date
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from unseen.models import catalog
from unseen.models.catalog import KnownModel

PICTURE = Path(__file__).parent.parent / "docs" / "models.svg"

WIDTH, HEIGHT = 760, 480
LEFT, RIGHT, TOP, BOTTOM = 56, 740, 56, 424  # of the axes
GFLOPS, TOP1 = (2.0, 5000.0), (40.0, 88.0)  # what they span; the work is logarithmic
# Whether commercial use is allowed → colour and words. The shapes differ as well.
USES: dict[bool | None, tuple[str, str]] = {
    True: ("#1a7f4b", "commercial use is allowed"),
    None: ("#b06a00", "licence and card leave it open"),
    False: ("#a3283b", "research only"),
}


def x_of(gflops: float) -> float:
    """Where so much work stands, in units of the picture."""
    low, high = (math.log10(value) for value in GFLOPS)
    return LEFT + (math.log10(gflops) - low) / (high - low) * (RIGHT - LEFT)


def y_of(top1: float) -> float:
    """Where such an accuracy stands."""
    return BOTTOM - (top1 - TOP1[0]) / (TOP1[1] - TOP1[0]) * (BOTTOM - TOP)


def mark(use: bool | None, x: float, y: float, title: str) -> str:
    """A dot, a diamond or a square, with what it stands for under the pointer."""
    colour, _ = USES[use]
    shapes = {
        True: f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5"',
        None: f'<path d="M{x:.1f} {y - 5.5:.1f}l5.5 5.5-5.5 5.5-5.5-5.5z"',
        False: f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"',
    }
    style = f'fill="{colour}" fill-opacity=".75" stroke="{colour}"'
    return f"{shapes[use]} {style}><title>{escape(title)}</title></{shapes[use][1:].split()[0]}>"


def axes() -> Iterator[str]:
    """The frame, its lines and their numbers."""
    for top1 in range(int(TOP1[0]), int(TOP1[1]), 10):
        y = y_of(top1)
        yield f'<path d="M{LEFT} {y:.1f}H{RIGHT}" class="line"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{top1} %</text>'
    for gflops in (2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000):
        x = x_of(gflops)
        yield f'<path d="M{x:.1f} {TOP}V{BOTTOM}" class="line"/>'
        yield f'<text x="{x:.1f}" y="{BOTTOM + 18}" text-anchor="middle">{gflops:,}</text>'
    middle = (LEFT + RIGHT) / 2
    yield f'<text x="{middle}" y="{BOTTOM + 40}" text-anchor="middle">GFLOPs a picture</text>'
    yield f'<text x="{LEFT}" y="{TOP - 12}">ImageNet top-1, zero-shot</text>'


def legend() -> Iterator[str]:
    """What the colours and shapes mean."""
    for row, (use, (_, words)) in enumerate(USES.items()):
        y = BOTTOM - 62 + 20 * row
        yield mark(use, RIGHT - 224, y, words)
        yield f'<text x="{RIGHT - 212}" y="{y + 4}">{words}</text>'


def names(drawn: Sequence[KnownModel]) -> Iterator[str]:
    """The short names, each beside its mark."""
    by_id: dict[str, list[str]] = {}
    for alias in catalog.aliases():
        by_id.setdefault(alias.id, []).append(alias.name)
    for model in drawn:
        if model.id in by_id:
            x, y = x_of(model.gflops), y_of(model.imagenet_top1 or 0)
            text = ", ".join(by_id[model.id])
            place = f'x="{x:.1f}" y="{y - 9:.1f}" text-anchor="middle"'
            yield f'<text {place} class="name">{text}</text>'


def picture() -> str:
    """The whole file."""
    drawn = [model for model in catalog.models() if model.imagenet_top1 is not None]
    marks = [
        mark(
            model.commercial,
            x_of(model.gflops),
            y_of(model.imagenet_top1 or 0),
            f"{model.id}: {model.imagenet_top1} %, {model.gflops:,g} GFLOPs, {model.licence}",
        )
        for model in sorted(drawn, key=lambda model: model.id)
    ]
    style = (
        "text{font:12px system-ui,sans-serif;fill:#333}.name{font-weight:600}"
        ".line{stroke:#ddd;fill:none}"
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f"<title>Accuracy of {len(drawn)} models against their work a picture</title>"
        f'<style>{style}</style><rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
    )
    return "\n".join([head, *axes(), *marks, *legend(), *names(drawn), "</svg>"]) + "\n"


def main() -> int:
    text = picture()
    if "--check" in sys.argv:
        return 0 if PICTURE.read_text("utf-8") == text else 1
    PICTURE.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
