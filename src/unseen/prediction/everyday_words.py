"""The words that are shipped: everyday concepts, and broad words with what lies below them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from unseen.labels.templates import fill
from unseen.models.model import Model
from unseen.system.packaged import packaged


@cache
def concepts() -> tuple[str, ...]:
    """The concepts of `data/concepts.txt`: narrow words, of which no two mean the same."""
    return tuple(_lines("concepts.txt"))


@cache
def broad_words() -> tuple[str, ...]:
    """The broad words of `data/kinds.txt` that are no concepts."""
    return tuple(word for word in _narrower() if word not in {*concepts()})


def prompts(model: Model) -> list[str]:
    """The concepts, then the broad words, in the template of a model."""
    return [fill(model.template, word) for word in (*concepts(), *broad_words())]


@cache
def below() -> NDArray[np.bool_]:
    """(concepts and broad words, concepts): which concepts lie below a word in meaning.

    A concept lies below itself. Below a word that names no thing ("old") lies nothing.
    """
    narrower = _narrower()
    column = {word: number for number, word in enumerate(concepts())}
    table = np.zeros((len(concepts()) + len(broad_words()), len(concepts())), dtype=bool)
    for row, word in zip(table, (*concepts(), *broad_words()), strict=True):
        if narrower.get(word) != ():
            row[[column[w] for w in _descendants(word, narrower) if w in column]] = True
    return table


def kinds_of(word: str) -> frozenset[str]:
    """The broad words that a word lies below, by itself or by its last word ("polar bear")."""
    table = _kinds()
    last = word.rpartition(" ")[2]
    if word in table or last not in table:
        return table.get(word, frozenset())
    return table[last] | {last}


@cache
def _kinds() -> Mapping[str, frozenset[str]]:
    """Each word that is listed → the broad words that it lies below."""
    narrower = _narrower()
    table: dict[str, set[str]] = {word: set() for word in (*narrower, *concepts())}
    for broad in narrower:
        for word in _descendants(broad, narrower) - {broad}:
            table.setdefault(word, set()).add(broad)
    return {word: frozenset(kinds) for word, kinds in table.items()}


def species() -> Mapping[str, frozenset[str]]:
    """Each name of `data/species.txt` → its kinds ("viola": a flower, a musical instrument)."""
    table: dict[str, set[str]] = {}
    for line in _lines("species.txt"):
        kind, _, names = line.partition(":")
        for name in names.split(","):
            table.setdefault(name.strip(), set()).add(kind)
    return {name: frozenset(kinds) for name, kinds in table.items()}


def narrowest(kinds: Collection[str]) -> str | None:
    """The broad word with the fewest words below it; of equals the first of the list."""
    narrower = _narrower()
    broad = [word for word in narrower if word in kinds and narrower[word]]
    return min(broad, key=lambda word: len(_descendants(word, narrower)), default=None)


def _descendants(word: str, narrower: Mapping[str, tuple[str, ...]]) -> set[str]:
    """The word itself and all below it; the lines may lead in a circle."""
    reached, todo = {word}, [word]
    while todo:
        new = {*narrower.get(todo.pop(), ())} - reached
        reached |= new
        todo += new
    return reached


@cache
def _narrower() -> Mapping[str, tuple[str, ...]]:
    """Broad word → the words on the right of its lines."""
    table: dict[str, tuple[str, ...]] = {}
    for line in _lines("kinds.txt"):
        broad, _, narrow = line.partition(":")
        for word in broad.split(","):
            words = tuple(w.strip() for w in narrow.split(",") if w.strip())
            table[word.strip()] = (*table.get(word.strip(), ()), *words)
    return table


def _lines(name: str) -> Iterator[str]:
    text = packaged(f"data/{name}").read_text("utf-8")
    return (line for line in text.splitlines() if line and not line.startswith("#"))
