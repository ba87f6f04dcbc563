"""Predictions → a pandas DataFrame. pandas is optional, and this is its only door."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from unseen.errors import MissingExtraError
from unseen.prediction.facets import FacetPrediction
from unseen.prediction.prediction import Prediction

if TYPE_CHECKING:
    import pandas

# What every table has, and the value where a prediction has none.
COLUMNS: dict[str, Any] = {
    "source": None,
    "label": None,
    "score": None,
    "unknown": False,
    "ranking": (),
    "left_out": 0,
    "error": None,
}

PARTS = ("score", "unknown", "ranking")  # of the answer of one label set, beside its label


def to_pandas(predictions: Iterable[Prediction | FacetPrediction]) -> pandas.DataFrame:
    """A row for each prediction, in order; the columns are the keys of `Prediction.to_dict`.

    Parameters
    ----------
    predictions : iterable of Prediction or FacetPrediction
        What ``Classifier.classify_many`` or ``classify_facets`` gives; a generator is consumed.

    Returns
    -------
    pandas.DataFrame
        Columns ``source``, ``label``, ``score`` (float64; NaN without a label), ``unknown``
        (bool), ``ranking`` (a list of dicts), ``left_out`` (int64) and ``error``; then ``likely``
        and ``evidence`` where a prediction has them, and a column ``meta.KEY`` for each key of
        the metadata of the sources. Of several label sets: ``source``, for each set NAME its best
        label as ``NAME``, and ``NAME.score``, ``NAME.unknown``, ``NAME.ranking`` and so on; then
        ``error`` and the metadata.

    Raises
    ------
    MissingExtraError
        pandas is not installed.

    Examples
    --------
    >>> import unseen
    >>> cat = unseen.Prediction("cat.jpg", (unseen.Scored("cat", 0.75, 0.3),))
    >>> table = unseen.to_pandas([cat, unseen.Prediction("x.jpg", error="x.jpg: no such file")])
    >>> table["label"].value_counts().to_dict()
    {'cat': 1}
    >>> float(table["score"].mean())
    0.75
    """
    try:
        import pandas  # noqa: PLC0415 - an extra
    except ImportError:
        raise MissingExtraError("A table of predictions", "pandas", "pandas") from None
    predictions = list(predictions)
    facets = dict.fromkeys(
        name for p in predictions if isinstance(p, FacetPrediction) for name in p.facets
    )
    rows = [_row(prediction) for prediction in predictions]
    if any(isinstance(prediction, FacetPrediction) for prediction in predictions):
        return _facet_table(pandas, rows, list(facets))
    names = dict.fromkeys([*COLUMNS, *(name for row in rows for name in row)])
    table = pandas.DataFrame([COLUMNS | {"ranking": []} | row for row in rows], columns=list(names))
    return table.astype({"score": "float64", "unknown": "bool", "left_out": "int64"})


def _facet_table(pandas: Any, rows: list[dict[str, Any]], facets: list[str]) -> pandas.DataFrame:
    columns = ["source"]
    for name in facets:
        columns += [name, *(f"{name}.{part}" for part in PARTS)]
    columns = list(dict.fromkeys([*columns, "error", *(name for row in rows for name in row)]))
    table = pandas.DataFrame(rows, columns=columns)
    return table.astype({f"{name}.score": "float64" for name in facets})


def _row(prediction: Prediction | FacetPrediction) -> dict[str, Any]:
    row = prediction.to_dict()
    meta = row.pop("meta", None) or {}
    for name, answer in row.pop("facets", {}).items():
        row[name] = answer.pop("label")
        row |= {f"{name}.{part}": value for part, value in answer.items()}
    return row | {f"meta.{key}": value for key, value in meta.items()}
