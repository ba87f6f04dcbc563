"""Predictions → a pandas DataFrame. pandas is optional, and this is its only door."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from unseen.errors import MissingExtraError
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


def to_pandas(predictions: Iterable[Prediction]) -> pandas.DataFrame:
    """A row for each prediction, in order; the columns are the keys of `Prediction.to_dict`.

    Parameters
    ----------
    predictions : iterable of Prediction
        What ``Classifier.classify_many`` gives; a generator is consumed.

    Returns
    -------
    pandas.DataFrame
        Columns ``source``, ``label``, ``score`` (float64; NaN without a label), ``unknown``
        (bool), ``ranking`` (a list of dicts), ``left_out`` (int64) and ``error``; then ``likely``
        and ``evidence`` where a prediction has them, and a column ``meta.KEY`` for each key of
        the metadata of the sources.

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
    rows = [_row(prediction) for prediction in predictions]
    names = dict.fromkeys([*COLUMNS, *(name for row in rows for name in row)])
    table = pandas.DataFrame(rows, columns=list(names))
    return table.astype({"score": "float64", "unknown": "bool", "left_out": "int64"})


def _row(prediction: Prediction) -> dict[str, Any]:
    row = COLUMNS | {"ranking": []} | prediction.to_dict()
    meta = row.pop("meta", None) or {}
    return row | {f"meta.{key}": value for key, value in meta.items()}
