"""One picture of a labelling: as proposed, as reviewed, and as a row of the file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unseen.annotation import active_learning
from unseen.errors import LabelError
from unseen.labels.label_set import UNKNOWN
from unseen.types import Floats

SURE, UNSURE, NONE, ERROR = PILES = ("sure", "unsure", "none", "error")
VERDICTS = ("label", "none", "skip")
NOTHING = "none of these"  # the label that is learnt of pictures that a person gave none
NOTHING_FROM = 5  # so many of them make it one
RANKING_LENGTH = 10

# What `picture_of` reads, and the index of the column of the first path.
COLUMNS = "content, paths, first, width, height, scores, pile, error, seen, verdict, chosen"
FIRST_PATH = 2


@dataclass(frozen=True)
class Proposal:
    """What a model proposes for one picture: `scores` (k,) of the labels, and its pile.

    `paths` are below the folder of the labelling, with /; `embedding` (d,) of length 1; `seen`:
    whether the model had learnt from the picture.
    """

    content: bytes
    paths: tuple[str, ...]
    width: int | None
    height: int | None
    embedding: Floats | None
    scores: Floats | None
    pile: str
    error: str | None = None
    seen: bool = False


@dataclass(frozen=True)
class Picture:
    """One picture of a labelling.

    Parameters
    ----------
    id : str
        The first 16 bytes of the SHA-256 of its content, in hex.
    paths : tuple of str
        Every file with this content below the folder, with /, sorted.
    width, height : int or None
        Upright, in pixels.
    ranking : tuple of (str, float)
        Labels and probabilities, best first, at most ten.
    pile : str
        ``sure``, ``unsure``, ``none`` (none of these) or ``error``.
    error : str or None
        Why it could not be read.
    verdict : str or None
        What a person decided: ``label``, ``none`` or ``skip``.
    chosen : str or None
        The label of the verdict ``label``.
    audit : bool
        Whether it is from the random sample of the sure pile.
    seen : bool
        Whether what proposed had learnt from this picture: then its proposal is no measure.
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
    seen: bool = False

    @property
    def proposed(self) -> str | None:
        """The label that the model proposes; None for none of these, and for an error."""
        return self.ranking[0][0] if self.pile in (SURE, UNSURE) else None

    @property
    def label(self) -> str | None:
        """The label that a person chose, else the proposed one."""
        return self.chosen if self.verdict is not None else self.proposed

    @property
    def score(self) -> float | None:
        """The probability of the best label."""
        return self.ranking[0][1] if self.ranking else None


# What `row_of` gives.
STORED = "content, paths, first, width, height, embedding, scores, doubt, draw, pile, error, seen"


def row_of(proposal: Proposal) -> tuple[Any, ...]:
    """A row of `STORED`."""
    p = proposal
    return (
        p.content,
        json.dumps(p.paths),
        json.dumps(p.paths[0]),
        p.width,
        p.height,
        None if p.embedding is None else p.embedding.astype("<f2").tobytes(),
        None if p.scores is None else as_blob(p.scores),
        None if p.scores is None else doubt_of(p.scores),
        active_learning.audit_key(p.content),
        p.pile,
        p.error,
        p.seen,
    )


def as_blob(scores: Floats) -> bytes:
    """Scores as they are stored."""
    return scores.astype("<f4").tobytes()


def doubt_of(scores: Floats) -> float:
    """How little the first of (k,) scores leads."""
    return float(active_learning.uncertainty(scores[None])[0])


def pile_of(best: str | None, score: float, threshold: float | None, sure: float) -> str:
    """The pile of a picture: `best` is None, or `unknown`, where none of the labels fits;
    `threshold`: that of the best label, where it has one."""
    if best is None or best == UNKNOWN:
        return NONE
    return SURE if score >= (sure if threshold is None else threshold) else UNSURE


def picture_of(row: Any, names: Sequence[str], audit: bool = False) -> Picture:
    """The picture of a row of `COLUMNS`; `names` are those of its scores."""
    content, paths, _, width, height, scores, pile, error, seen, verdict, chosen = row
    ranking: tuple[tuple[str, float], ...] = ()
    if scores is not None:
        probabilities = np.frombuffer(scores, dtype="<f4")
        best = [i for i in np.argsort(-probabilities, kind="stable") if names[i] != UNKNOWN]
        ranking = tuple((names[i], float(probabilities[i])) for i in best[:RANKING_LENGTH])
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
        bool(seen),
    )


def content_of(id: str) -> bytes:
    """The content hash of an id. LabelError for an invalid one."""
    try:
        return bytes.fromhex(id)
    except ValueError:
        raise LabelError(f"{id[:60]!r}: there is no such picture in this labelling.") from None
