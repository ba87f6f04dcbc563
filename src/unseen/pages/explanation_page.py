"""Why pictures have their labels: a card a picture, with its map and what else speaks for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unseen.pages.html import data_uri, finite, write_page

Row = tuple[str, float]  # a name and its number


@dataclass(frozen=True)
class Card:
    """One picture. `drawing` and `picture` are JPEG or PNG files: with its map, and without it.

    `lines`: what else is to be said. An `error` stands in the place of all but the source.
    """

    source: str
    label: str = ""
    against: str | None = None
    probability: float = 0.0
    sentence: str = ""
    alt: str = ""
    drawing: bytes | None = None
    picture: bytes | None = None
    lines: Sequence[str] = ()
    words: Sequence[Row] = ()
    concepts: Sequence[Row] = ()
    neighbours: Sequence[Row] = ()
    error: str | None = None


def explanations(path: Path, title: str, cards: Iterable[Card], *, note: str = "") -> None:
    """Writes a page of `cards` to `path`, whole or not at all; their pictures are not kept.

    ValueError for a picture that is none.
    """
    write_page(path, "explanation", title, _data(title, cards, note))


def _data(title: str, cards: Iterable[Card], note: str) -> Iterator[tuple[str, Any]]:
    count = 0
    for card in cards:
        yield f"card-{count}", _entry(card)
        count += 1
    yield "data", {"title": title, "note": note, "cards": count}


def _entry(card: Card) -> dict[str, Any]:
    return {
        "source": card.source,
        "label": card.label,
        "against": card.against,
        "probability": finite(card.probability),
        "sentence": card.sentence,
        "alt": card.alt,
        "drawing": None if card.drawing is None else data_uri(card.drawing),
        "picture": None if card.picture is None else data_uri(card.picture),
        "lines": list(card.lines),
        "words": _rows(card.words),
        "concepts": _rows(card.concepts),
        "neighbours": _rows(card.neighbours),
        "error": card.error,
    }


def _rows(rows: Sequence[Row]) -> list[list[Any]]:
    return [[name, finite(value) or 0.0] for name, value in rows]
