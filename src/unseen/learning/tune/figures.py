"""What is measured of a net: labels that it learnt, labels that it did not, and what it keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.evaluation.bootstrap import proportion
from unseen.learning.tune.pictures import CHUNK, Pixels
from unseen.learning.tune.split import Rows
from unseen.types import Floats

Embed = Callable[[Pixels], Floats]
Marks = Mapping[str, NDArray[np.bool_]]  # by `KINDS`: which pictures are right
JUDGED = ("seen", "novel", "retention")  # what rules go by
KINDS = (*JUDGED, "answers")


@dataclass(frozen=True)
class Share:
    """How many of how many pictures.

    Parameters
    ----------
    right, of : int
        `right` of `of` pictures.
    """

    right: int
    of: int

    @property
    def value(self) -> float:
        """The share, from 0 to 1."""
        return self.right / self.of

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % interval (Wilson 1927)."""
        return proportion(self.right, self.of)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON.

        Returns
        -------
        dict
        """
        low, high = self.interval
        return {"right": self.right, "of": self.of, "low": round(low, 4), "high": round(high, 4)}

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.3f} ({low:.3f} to {high:.3f})"


@dataclass(frozen=True)
class Figures:
    """The three figures of one net; None of what there are no pictures of.

    Parameters
    ----------
    seen : Share, optional
        Right, of pictures held out of labels that were learnt.
    novel : Share, optional
        Right, of pictures of labels that were held out.
    retention : Share, optional
        Ordinary pictures about which the answer is still that of the original, of those that it is
        sure of.
    answers : Share, optional
        The same of all of them.
    """

    seen: Share | None
    novel: Share | None
    retention: Share | None
    answers: Share | None = None

    @classmethod
    def of(cls, marks: Marks) -> Figures:
        """The shares of the pictures that are right.

        Parameters
        ----------
        marks : mapping of str to bool array
            By the names of the figures.

        Returns
        -------
        Figures
        """
        return cls(*(_share(marks.get(kind, NOTHING)) for kind in KINDS))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON.

        Returns
        -------
        dict
        """
        shares = {kind: getattr(self, kind) for kind in KINDS}
        return {kind: None if share is None else share.to_dict() for kind, share in shares.items()}


NOTHING = np.zeros(0, dtype=bool)


def _share(marks: NDArray[np.bool_]) -> Share | None:
    return Share(int(marks.sum()), len(marks)) if len(marks) else None


@dataclass(frozen=True, eq=False)
class Exam:
    """Pictures, and what is right about each.

    Parameters
    ----------
    labelled, ordinary : uint8 array
        The pictures.
    rows : mapping of str to int array
        The labelled pictures that are asked about, "seen" and "novel".
    ordinary_rows : int array
        The ordinary ones.
    sure : bool array
        Of which of these the original is sure.
    positive : bool array (n, k)
        Which texts are right about each labelled picture.
    texts : float32 array (k, d)
        Of the labels.
    words : float32 array (w, d)
        The texts among which ordinary pictures are answered.
    answers : int array
        The original's answer about each ordinary picture.
    own_texts : bool
        Whether a picture is compared with the texts of the pictures beside it alone.
    """

    labelled: Pixels
    ordinary: Pixels
    rows: Mapping[str, Rows]
    ordinary_rows: Rows
    sure: NDArray[np.bool_]
    positive: NDArray[np.bool_]
    texts: Floats
    words: Floats
    answers: NDArray[np.intp]
    own_texts: bool = False

    def marks(self, embed: Embed) -> dict[str, NDArray[np.bool_]]:
        """Which pictures are right, by the embeddings of a net."""
        marks = dict.fromkeys(KINDS, NOTHING)
        for kind, rows in self.rows.items():
            if len(rows):
                similarities = in_chunks(embed, self.labelled, rows) @ self.texts.T
                marks[kind] = self.right(kind, similarities)
        embeddings = in_chunks(embed, self.ordinary, self.ordinary_rows)
        same = (embeddings @ self.words.T).argmax(1) == self.answers[self.ordinary_rows]
        return marks | {"retention": same[self.sure], "answers": same}

    def right(self, kind: str, similarities: Floats) -> NDArray[np.bool_]:
        """Of the pictures of one kind, by how similar each is to the texts."""
        positive = self.positive[self.rows[kind]]
        if self.own_texts and len(positive):
            similarities = np.where(positive.any(0), similarities, -np.inf)
        return np.asarray(positive[np.arange(len(positive)), similarities.argmax(1)], dtype=bool)


def in_chunks(embed: Embed, pixels: Pixels, rows: Rows) -> Floats:
    """The embeddings of some pictures, a chunk at a time."""
    starts = range(0, len(rows), CHUNK)
    return np.concatenate([embed(np.asarray(pixels[rows[s : s + CHUNK]])) for s in starts])
