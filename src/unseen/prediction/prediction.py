"""The answer for one picture, or the error that stands in its place; plain data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, SupportsIndex, overload

if TYPE_CHECKING:
    from unseen.images.tiling import PixelBox
    from unseen.types import Metadata

from unseen.labels.label_set import UNKNOWN

# A picture with less evidence than this is unknown when `unknown="auto"` asks: one number for every
# model and breadth of labels, chosen on some pictures and checked on others (docs/unknown.md).
LEAST_EVIDENCE = 1.2

DRAWN_LABELS = 5  # of a ranking, in a notebook
DRAWN_COLUMNS = ("", "source", "label", "score")


@dataclass(frozen=True)
class Scored:
    """A label with its scores.

    Parameters
    ----------
    label : str
        The label.
    score : float
        Its probability, 0…1, by the rule that the model was trained with, or by a calibration.
    cosine : float
        The raw similarity behind it. Of several prompts: of their averaged embedding; of
        ``unknown``: the largest.
    tile : (int, int, int, int), optional
        The tile of the picture that has this score: left, top, right and bottom, in pixels,
        upright. None: the whole picture.

    Examples
    --------
    >>> Scored("cat", 0.9, 0.31)
    Scored('cat', 0.9, cosine=0.31)
    """

    label: str
    score: float
    cosine: float
    tile: PixelBox | None = None

    def __repr__(self) -> str:
        return f"Scored({self.label!r}, {self.score:.4g}, cosine={self.cosine:.4g})"


@dataclass(frozen=True)
class Prediction:
    """The ranked labels of one picture, best first, or the error that stands in their place.

    It is true unless it failed. Iterating gives the Hugging Face pipeline's own shape,
    ``{"score": …, "label": …}``, so code written for its output reads this too.

    Parameters
    ----------
    source : str
        The name of the picture: its path, its URL, or its place in the call.
    ranking : tuple of Scored
        The labels, best first.
    left_out : int
        How many labels ``top_k``, ``min_score`` or a threshold kept out of the ranking.
    error : str, optional
        Why the picture could not be read.
    likely : tuple of str, optional
        The conformal prediction set: it contains the right label with the calibration's coverage.
    evidence : float, optional
        How much speaks for any label at all (an out-of-distribution score), with
        ``unknown="auto"``.
    abstained : bool
        Whether the calibration gives no answer here, to keep its share of wrong answers.
    meta : mapping
        The metadata of the source.

    Examples
    --------
    >>> import unseen
    >>> ranking = (unseen.Scored("cat", 0.75, 0.3), unseen.Scored("dog", 0.25, 0.2))
    >>> prediction = unseen.Prediction("a.jpg", ranking)
    >>> prediction
    Prediction(source='a.jpg', label='cat', score=0.75)
    >>> prediction.probabilities
    {'cat': 0.75, 'dog': 0.25}
    >>> list(prediction)
    [{'score': 0.75, 'label': 'cat'}, {'score': 0.25, 'label': 'dog'}]
    >>> failed = unseen.Prediction("b.jpg", error="b.jpg: there is no such file.")
    >>> bool(prediction), bool(failed)
    (True, False)
    """

    source: str
    ranking: tuple[Scored, ...] = ()
    left_out: int = 0
    error: str | None = None
    likely: tuple[str, ...] | None = None
    evidence: float | None = None
    abstained: bool = False
    meta: Metadata = field(default_factory=dict, hash=False)

    @property
    def ok(self) -> bool:
        """Whether the picture could be read."""
        return self.error is None

    @property
    def best(self) -> Scored | None:
        """The first of the ranking; None when it is empty."""
        return self.ranking[0] if self.ranking else None

    @property
    def unknown(self) -> bool:
        """None of these: a background label won, no label reached its score, too little
        evidence that any label is there, or the calibration gives no answer."""
        if not self.ok:
            return False
        best = self.best
        return best is None or best.label == UNKNOWN or self.rejected or self.abstained

    @property
    def rejected(self) -> bool:
        """Whether the evidence was asked for, and is too little."""
        return self.evidence is not None and self.evidence < LEAST_EVIDENCE

    @property
    def label(self) -> str | None:
        """The best label; None when the answer is *none of these*, or an error."""
        best = self.best
        return None if best is None or self.unknown else best.label

    @property
    def score(self) -> float | None:
        """The probability of the best of the ranking."""
        return None if self.best is None else self.best.score

    @property
    def tile(self) -> PixelBox | None:
        """Where the best of the ranking is: the tile that has its score; None: the whole."""
        return None if self.best is None else self.best.tile

    @property
    def probabilities(self) -> dict[str, float]:
        """Label → probability, best first; only the labels of the ranking, empty after an error."""
        return {scored.label: scored.score for scored in self.ranking}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, the same as a line of ``unseen classify --jsonl``.

        Returns
        -------
        dict
            ``source``, ``label``, ``score``, ``unknown``, ``ranking`` (a list of dicts with
            ``label``, ``score``, ``cosine``, and ``tile`` where it is not the whole picture) and
            ``left_out``; ``tile`` (of the best), ``likely``, ``evidence``,
            ``abstained`` and ``meta`` where there are any. After an error ``source``, ``error``
            and ``meta``.

        Examples
        --------
        >>> Prediction("b.jpg", error="b.jpg: there is no such file.").to_dict()
        {'source': 'b.jpg', 'error': 'b.jpg: there is no such file.'}
        """
        row: dict[str, Any] = {"source": self.source}
        if self.error is None:
            row["label"] = self.label
            row["score"] = self.score
            row["unknown"] = self.unknown
            row["ranking"] = [
                {"label": s.label, "score": s.score, "cosine": s.cosine, **_place(s)}
                for s in self.ranking
            ]
            row["left_out"] = self.left_out
            row |= {} if self.best is None else _place(self.best)
        else:
            row["error"] = self.error
        if self.likely is not None:
            row["likely"] = list(self.likely)
        if self.evidence is not None:
            row["evidence"] = self.evidence
        if self.abstained:
            row["abstained"] = True
        if self.meta:
            row["meta"] = dict(self.meta)
        return row

    # the shape of Hugging Face: a sequence of {"score": …, "label": …}

    def __bool__(self) -> bool:
        """True unless it failed, also where no label reached its score."""
        return self.ok

    def __len__(self) -> int:
        return len(self.ranking)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return ({"score": s.score, "label": s.label} for s in self.ranking)

    @overload
    def __getitem__(self, index: SupportsIndex) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> dict[str, Any] | list[dict[str, Any]]:
        return list(self)[index]

    def keys(self) -> NoReturn:
        """Raises TypeError. Without it ``dict(prediction)`` would be ``{"score": "label"}``."""
        raise TypeError(
            "a Prediction is a sequence of rows, not a mapping; use prediction.to_dict() for "
            "everything, or prediction.probabilities for label → probability."
        )

    def __repr__(self) -> str:
        if self.error is not None:
            return f"Prediction(source={self.source!r}, error={self.error!r})"
        unknown = ", unknown=True" if self.unknown else ""
        score = "None" if self.score is None else f"{self.score:.4g}"
        return f"Prediction(source={self.source!r}, label={self.label!r}, score={score}{unknown})"

    def _repr_html_(self) -> str:
        return _table([self], DRAWN_LABELS)


def _place(scored: Scored) -> dict[str, list[int]]:
    """The tile of a label, where it is not the whole picture."""
    return {} if scored.tile is None else {"tile": list(scored.tile)}


class Predictions(list[Prediction]):
    """A list of predictions that a notebook draws as a table with thumbnails.

    Examples
    --------
    >>> import unseen
    >>> clf = unseen.load()
    >>> paths = ["examples/cat.jpg", "examples/dog.jpg"]
    >>> predictions = unseen.Predictions(clf.classify_many(paths, ["cat", "dog"]))
    >>> [prediction.label for prediction in predictions]
    ['cat', 'dog']
    """

    @overload
    def __getitem__(self, index: SupportsIndex) -> Prediction: ...
    @overload
    def __getitem__(self, index: slice) -> Predictions: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Prediction | Predictions:
        if isinstance(index, slice):
            return Predictions(super().__getitem__(index))
        return super().__getitem__(index)

    def _repr_html_(self) -> str:
        return _table(self, 1)


def _table(predictions: Sequence[Prediction], labels: int) -> str:
    """Predictions as a notebook draws them, each with so many of its labels."""
    from unseen.pages import notebook  # noqa: PLC0415 - what draws costs 5 % of a start

    rows = (_cells(prediction, labels) for prediction in predictions)
    return notebook.table(DRAWN_COLUMNS, rows, total=len(predictions))


def _cells(prediction: Prediction, labels: int) -> tuple[object, ...]:
    from unseen.pages import notebook  # noqa: PLC0415 - as above

    thumbnail = notebook.picture(prediction.source)
    if prediction.error is not None:
        return (thumbnail, prediction.source, f"error: {prediction.error}", None)
    ranking = prediction.ranking[:labels]
    names = [scored.label for scored in ranking]
    bars = [notebook.bar(scored.score) for scored in ranking]
    if prediction.unknown and names[:1] != [UNKNOWN]:
        names, bars = [UNKNOWN, *names], [notebook.Markup("&nbsp;"), *bars]
    return (thumbnail, prediction.source, notebook.lines(names), notebook.lines(bars))
