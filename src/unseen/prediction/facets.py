"""Several label sets asked of one picture: an answer for each, of one embedding."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from unseen.errors import LabelError
from unseen.prediction.prediction import Prediction

if TYPE_CHECKING:
    from unseen.labels.compiled import CompiledLabels
    from unseen.prediction.decision import Decision
    from unseen.types import Metadata

MAX_FACETS = 32  # label sets of one run: each has its columns
RESERVED = ("source", "error", "meta")  # names of columns that are no answers
REPEATED = ("source", "meta")  # of each answer: the whole has them once


@dataclass(frozen=True, eq=False)
class Facet:
    """A compiled label set, and how its scores become an answer.

    Parameters
    ----------
    labels : CompiledLabels
        The set.
    decision : Decision
        Its mode, calibration and thresholds.
    """

    labels: CompiledLabels
    decision: Decision


@dataclass(frozen=True)
class FacetPrediction:
    """The answers of several label sets for one picture, or the error that stands in their place.

    Parameters
    ----------
    source : str
        The name of the picture.
    facets : mapping of str to Prediction
        The name of each label set → its answer, in order; empty after an error.
    error : str, optional
        Why the picture could not be read.
    meta : mapping
        The metadata of the source.

    Examples
    --------
    >>> import unseen
    >>> clf = unseen.load()
    >>> sets = {"what": ["cat", "dog"], "where": ["indoors", "outdoors"]}
    >>> (prediction,) = clf.classify_facets("examples/cat.jpg", sets)
    >>> prediction["what"].label, list(prediction.labels)
    ('cat', ['what', 'where'])
    """

    source: str
    facets: Mapping[str, Prediction] = field(default_factory=dict, hash=False)
    error: str | None = None
    meta: Metadata = field(default_factory=dict, hash=False)

    @property
    def ok(self) -> bool:
        """Whether the picture could be read."""
        return self.error is None

    @property
    def labels(self) -> dict[str, str | None]:
        """The name of each label set → its best label; None where that is *none of these*."""
        return {name: prediction.label for name, prediction in self.facets.items()}

    def __getitem__(self, name: str) -> Prediction:
        return self.facets[name]

    def __bool__(self) -> bool:
        """True unless it failed."""
        return self.ok

    def __repr__(self) -> str:
        if self.error is not None:
            return f"FacetPrediction(source={self.source!r}, error={self.error!r})"
        answers = ", ".join(f"{name}={label!r}" for name, label in self.labels.items())
        return f"FacetPrediction(source={self.source!r}, {answers})"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, the same as a line of ``unseen classify -l … -l … --jsonl``.

        Returns
        -------
        dict
            ``source``; ``facets``: the name of each set → what `Prediction.to_dict` gives, without
            ``source`` and ``meta``; ``meta`` where there is any. After an error ``source``,
            ``error`` and ``meta``.
        """
        row: dict[str, Any] = {"source": self.source}
        if self.error is None:
            row["facets"] = {name: _answer(p) for name, p in self.facets.items()}
        else:
            row["error"] = self.error
        if self.meta:
            row["meta"] = dict(self.meta)
        return row


def _answer(prediction: Prediction) -> dict[str, Any]:
    return {key: value for key, value in prediction.to_dict().items() if key not in REPEATED}


def joined(predictions: Mapping[str, Iterable[Prediction]]) -> Iterator[FacetPrediction]:
    """The answers of each label set for the same pictures → one for each picture.

    Parameters
    ----------
    predictions : mapping of str to iterable of Prediction
        The name of each set → an answer a picture, in the same order.

    Yields
    ------
    FacetPrediction
    """
    for answers in zip(*predictions.values(), strict=True):
        first = answers[0]
        if first.error is not None:
            yield FacetPrediction(first.source, error=first.error, meta=first.meta)
        else:
            yield FacetPrediction(
                first.source, dict(zip(predictions, answers, strict=True)), meta=first.meta
            )


def check_names(names: Sequence[str]) -> None:
    """Refuse names that could not be columns of one table.

    Parameters
    ----------
    names : sequence of str
        Of label sets.

    Raises
    ------
    LabelError
        For no names, too many, one that is empty, given twice, or that of another column.
    """
    if not names:
        raise LabelError("no label sets were given: at least one is needed.")
    if len(names) > MAX_FACETS:
        raise LabelError(f"{len(names)} label sets; at most {MAX_FACETS} are allowed at once.")
    for name in names:
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise LabelError(f"the name of a label set is a text of a line, not {name!r}.")
        if name in RESERVED or name.startswith("meta."):
            raise LabelError(
                f"a label set cannot be called {name!r}, as another column is: give it another "
                "name."
            )
        if names.count(name) > 1:
            raise LabelError(f"two label sets are called {name!r}: give each a name of its own.")
        if any(name.startswith(f"{other}.") for other in names):
            raise LabelError(
                f"the name of the label set {name!r} begins as the columns of another: give it "
                "another name."
            )


def multi_label_sets(multi_label: bool | Collection[str], names: Sequence[str]) -> set[str]:
    """Which label sets ask for a yes or no of each label.

    Parameters
    ----------
    multi_label : bool or collection of str
        All, none, or those of these names.
    names : sequence of str
        Of all sets.

    Returns
    -------
    set of str

    Raises
    ------
    LabelError
        If a name is of no set.
    """
    if isinstance(multi_label, bool):
        return set(names) if multi_label else set()
    chosen = {multi_label} if isinstance(multi_label, str) else set(multi_label)
    unknown = sorted(chosen - set(names))
    if unknown:
        raise LabelError(f"there is no label set {unknown[0]!r}; the sets are: {', '.join(names)}.")
    return chosen
