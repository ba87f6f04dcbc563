"""Predictions as text for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from unseen.prediction.facets import FacetPrediction
from unseen.prediction.prediction import Prediction, Scored
from unseen.system.printable import named, printable

BAR_WIDTH = 24
EIGHTHS = " ▏▎▍▌▋▊▉"
TOP = 3  # labels of a picture that has one line


@dataclass(frozen=True)
class TextStyle:
    """How predictions are shown.

    `single`: every label with a bar, instead of a line a picture. `coverage`: how often the right
    label is among the likely ones; of several label sets, `coverages` by their names. `encoding`:
    of the terminal, which may have no blocks for bars. `width`: how many columns of it a text
    takes.
    """

    single: bool = False
    coverage: float | None = None
    encoding: str = "utf-8"
    width: Callable[[str], int] = len
    coverages: Mapping[str, float] = field(default_factory=dict)


DEFAULT_STYLE = TextStyle()


def prediction_text(prediction: Prediction, style: TextStyle = DEFAULT_STYLE) -> Iterator[str]:
    """The lines of a prediction.

    >>> from unseen.prediction.prediction import Prediction, Scored
    >>> cat = Prediction("1.jpg", (Scored("cat", 0.9, 0.3), Scored("dog", 0.1, 0.2)))
    >>> [*prediction_text(cat)]
    ['1.jpg  cat 90.0%, dog 10.0%']
    """
    if not prediction.ok:
        yield f"error: {named(prediction.source, str(prediction.error))}"
    elif style.single:
        yield printable(prediction.source)
        yield from _every_label(prediction, style)
    else:
        yield f"{printable(prediction.source)}  {_best(prediction, style, TOP)}"


def facet_text(prediction: FacetPrediction, style: TextStyle = DEFAULT_STYLE) -> Iterator[str]:
    """The lines of the answers of several label sets.

    >>> from unseen.prediction.prediction import Prediction, Scored
    >>> red = Prediction("1.jpg", (Scored("red", 0.9, 0.3), Scored("blue", 0.1, 0.2)))
    >>> [*facet_text(FacetPrediction("1.jpg", {"colour": red}))]
    ['1.jpg  colour: red 90.0%']
    """
    if not prediction.ok:
        yield f"error: {named(prediction.source, str(prediction.error))}"
        return
    styles = {
        name: replace(style, coverage=style.coverages.get(name)) for name in prediction.facets
    }
    if not style.single:
        answers = [
            f"{printable(name)}: {_best(answer, styles[name], 1)}"
            for name, answer in prediction.facets.items()
        ]
        yield f"{printable(prediction.source)}  {'; '.join(answers)}"
        return
    yield printable(prediction.source)
    for name, answer in prediction.facets.items():
        yield f" {printable(name)}"
        yield from _every_label(answer, styles[name])


def _best(prediction: Prediction, style: TextStyle, top: int) -> str:
    """The first labels of an answer, in a line."""
    parts = [f"{printable(s.label)} {s.score:.1%}{_place(s)}" for s in prediction.ranking[:top]]
    if prediction.rejected:
        parts = [f"unknown (evidence {prediction.evidence:.1f})", *parts[:1]]
    elif prediction.abstained:
        parts = ["unknown (not sure enough)", *parts[:1]]
    parts = parts or ["unknown"]
    if prediction.likely is not None:
        parts.append(_likely(prediction.likely, style))
    return ", ".join(parts)


def _every_label(prediction: Prediction, style: TextStyle) -> Iterator[str]:
    labels = [printable(s.label) for s in prediction.ranking]
    column = max(map(style.width, labels), default=0)
    for label, s in zip(labels, prediction.ranking, strict=True):
        pad = " " * (column - style.width(label))
        yield f"  {label}{pad}  {_bar(s.score, style.encoding)} {s.score:6.1%}{_place(s)}"
    if not prediction.ranking:
        yield "  unknown: no label reached its score"
    if prediction.rejected:
        yield f"  unknown: too little evidence ({prediction.evidence:.1f})"
    elif prediction.abstained:
        yield "  unknown: not sure enough for the share of wrong answers that was promised"
    if prediction.likely is not None:
        yield f"  {_likely(prediction.likely, style)}"


def _place(scored: Scored) -> str:
    """Where a label was seen, if that is a tile of the picture."""
    return "" if scored.tile is None else f" in {tile_text(scored.tile)}"


def tile_text(tile: tuple[int, int, int, int]) -> str:
    """The corners of a tile in pixels: left and top, right and bottom.

    >>> tile_text((0, 120, 320, 440))
    '0,120-320,440'
    """
    left, top, right, bottom = tile
    return f"{left},{top}-{right},{bottom}"


def _likely(labels: tuple[str, ...], style: TextStyle) -> str:
    return f"with {style.coverage:.0%} coverage: {', '.join(map(printable, labels))}"


def _bar(score: float, encoding: str) -> str:
    whole, rest = divmod(round(score * BAR_WIDTH * 8), 8)
    bar = "█" * whole + (EIGHTHS[rest] if rest else "")
    try:
        bar.encode(encoding)
    except UnicodeEncodeError:
        bar = "#" * round(score * BAR_WIDTH)
    return f"{bar:<{BAR_WIDTH}}"
