"""What is said of one picture: data that explains itself, good or bad."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from unseen.types import Metadata

from unseen.labels.label_set import UNKNOWN

# A picture with less evidence than this is unknown when `unknown="auto"` asks: one number for every
# model, chosen on the shapes of the tests and checked on photographs (docs/unknown.md).
LEAST_EVIDENCE = 2.3


@dataclass(frozen=True)
class Scored:
    """A label, its probability by the model's rule, and the raw cosine behind it.

    For several prompts the cosine is that of their averaged embedding; of `unknown`, the largest.
    """

    label: str
    score: float
    cosine: float


@dataclass(frozen=True)
class Prediction:
    """The ranked labels of one picture, best first, or the error that stands in their place.

    Iterating gives the Hugging Face pipeline's own shape, `{"score": …, "label": …}`, so code
    written for its output reads this too. `left_out` counts the labels that `top_k`, `min_score`
    or a threshold kept out of the ranking. `likely`: the labels one of which is right as often as
    the calibration was asked for. `evidence`: that any label is to be seen, where it was asked for.
    """

    source: str
    ranking: tuple[Scored, ...] = ()
    left_out: int = 0
    error: str | None = None
    likely: tuple[str, ...] | None = None
    evidence: float | None = None
    meta: Metadata = field(default_factory=dict, hash=False)  # of its `Source`: frame, page, row …

    @property
    def ok(self) -> bool:
        """Whether the picture could be read."""
        return self.error is None

    @property
    def best(self) -> Scored | None:
        """The first of the ranking; None when nothing is in it."""
        return self.ranking[0] if self.ranking else None

    @property
    def unknown(self) -> bool:
        """None of these: a background label won, no label reached its score, or too little
        evidence that any label is there."""
        return self.ok and (self.best is None or self.best.label == UNKNOWN or self.rejected)

    @property
    def rejected(self) -> bool:
        """Whether the evidence was asked for, and is too little."""
        return self.evidence is not None and self.evidence < LEAST_EVIDENCE

    @property
    def label(self) -> str | None:
        """The best label; None when the answer is *none of these*, or an error."""
        return None if self.best is None or self.unknown else self.best.label

    @property
    def score(self) -> float | None:
        """The probability of the best of the ranking."""
        return None if self.best is None else self.best.score

    def __len__(self) -> int:
        return len(self.ranking)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return ({"score": s.score, "label": s.label} for s in self.ranking)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        return list(self)[index]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: what the command line writes a line of."""
        row: dict[str, Any] = {"source": self.source}
        if self.error is not None:
            return {**row, "error": self.error, **self._meta_row()}
        row["label"] = self.label
        row["score"] = self.score
        row["unknown"] = self.unknown
        row["ranking"] = [
            {"label": s.label, "score": s.score, "cosine": s.cosine} for s in self.ranking
        ]
        row["left_out"] = self.left_out
        if self.likely is not None:
            row["likely"] = list(self.likely)
        if self.evidence is not None:
            row["evidence"] = self.evidence
        return {**row, **self._meta_row()}

    def _meta_row(self) -> dict[str, Any]:
        """The metadata as its part of a row: nothing where there is none."""
        return {"meta": dict(self.meta)} if self.meta else {}
