"""One picture of a labelling: as proposed, as reviewed, and as a row of the file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.annotation import active_learning
from unseen.errors import LabelError
from unseen.labels.label_set import UNKNOWN

SURE, UNSURE, NONE, ERROR = PILES = ("sure", "unsure", "none", "error")
VERDICTS = ("label", "none", "skip")
SHOWN = 10  # labels of a ranking

# What `picture_of` reads, and where the first path stands in it.
COLUMNS = "content, paths, first, width, height, scores, pile, error, verdict, chosen"
FIRST = 2

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Proposal:
    """What a model says of one picture: `scores` (k,) of the labels, and the pile that it is in.

    `paths` are below the folder of the labelling, with /; `embedding` (d,) of length 1.
    """

    content: bytes
    paths: tuple[str, ...]
    width: int | None
    height: int | None
    embedding: Floats | None
    scores: Floats | None
    pile: str
    error: str | None = None


@dataclass(frozen=True)
class Picture:
    """One picture of a labelling, wherever it lies.

    `ranking`: (label, score), best first, at most ten. `verdict`: what was decided of it, if
    anything was: label, none (none of these) or skip. `audit`: a draw at random.
    """

    id: str
    paths: tuple[str, ...]
    width: int | None
    height: int | None
    ranking: tuple[tuple[str, float], ...]
    pile: str
    error: str | None = None
    verdict: str | None = None
    chosen: str | None = None
    audit: bool = False

    @property
    def proposed(self) -> str | None:
        """The label that the model proposes; None for none of these, and for an error."""
        return self.ranking[0][0] if self.pile in (SURE, UNSURE) else None

    @property
    def label(self) -> str | None:
        """The label that it has now: as decided, else as proposed."""
        return self.chosen if self.verdict is not None else self.proposed

    @property
    def score(self) -> float | None:
        """The probability of the best label."""
        return self.ranking[0][1] if self.ranking else None


def row_of(proposal: Proposal) -> tuple[Any, ...]:
    p = proposal
    return (
        p.content,
        json.dumps(p.paths),
        json.dumps(p.paths[0]),
        p.width,
        p.height,
        None if p.embedding is None else p.embedding.astype("<f2").tobytes(),
        None if p.scores is None else p.scores.astype("<f4").tobytes(),
        None if p.scores is None else float(active_learning.uncertainty(p.scores[None])[0]),
        active_learning.draw(p.content),
        p.pile,
        p.error,
    )


def picture_of(row: Any, names: Sequence[str], audit: bool = False) -> Picture:
    content, paths, _, width, height, scores, pile, error, verdict, chosen = row
    ranking: tuple[tuple[str, float], ...] = ()
    if scores is not None:
        probabilities = np.frombuffer(scores, dtype="<f4")
        best = [i for i in np.argsort(-probabilities, kind="stable") if names[i] != UNKNOWN]
        ranking = tuple((names[i], float(probabilities[i])) for i in best[:SHOWN])
    return Picture(
        content.hex(),
        tuple(json.loads(paths)),
        width,
        height,
        ranking,
        pile,
        error,
        verdict,
        chosen,
        audit,
    )


def content_of(id: str) -> bytes:
    """LabelError for what is no id."""
    try:
        return bytes.fromhex(id)
    except ValueError:
        raise LabelError(f"{id[:60]!r}: there is no such picture in this labelling.") from None
