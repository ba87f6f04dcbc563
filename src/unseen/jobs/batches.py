"""Batches of other engines: a class that Ray Data, Spark or Daft call with rows, and get rows from.

It knows none of them. What makes a row exactly one is then the engine's, not a job's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.classifier import load
from unseen.encoder import Encoded
from unseen.errors import SourceError
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions
from unseen.prediction.predict import predict_encoded
from unseen.sources.containers.rows import picture_column, row_source

if TYPE_CHECKING:
    from unseen.prediction.prediction import Prediction
    from unseen.types import LabelsLike

TOP_LABELS = 5


class BatchClassifier:
    """Labels and embeddings for batches of rows; the model is loaded once in each process.

    Parameters
    ----------
    labels : labels, optional
        As `Classifier.compile` takes them: a sequence of words, a mapping, a label file. None: with
        `embed` embeddings only, else the labels of the model.
    embed : bool
        Whether rows get embeddings.
    options : LoadOptions
        Which model, and how it is loaded; it is picklable.
    column : str, optional
        With the pictures: bytes, ``{"bytes", "path"}``, arrays (height, width, 3), paths or
        addresses. None: the first that is called image, picture, path, url, jpg or the like.
    top_k : int
        The most labels of a row.
    multi_label : bool
        Answer yes or no for each label by itself.
    min_score : float, optional
        Only labels with at least this probability.
    prefix : str
        Before the names of the columns that are added.

    Raises
    ------
    LabelError, ModelError
        As `unseen.load` and `Classifier.compile`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from unseen.jobs.batches import BatchClassifier
    >>> classify = BatchClassifier(["cat", "castle"])
    >>> batch = {"image": [Path("examples/cat.jpg").read_bytes(), b"broken"], "n": [1, 2]}
    >>> rows = classify(batch)
    >>> list(rows), rows["label"].tolist()
    (['image', 'n', 'label', 'score', 'labels', 'error'], ['cat', None])
    """

    def __init__(
        self,
        labels: LabelsLike | None = None,
        *,
        embed: bool = False,
        options: LoadOptions = DEFAULT_LOAD_OPTIONS,
        column: str | None = None,
        top_k: int = TOP_LABELS,
        multi_label: bool = False,
        min_score: float | None = None,
        prefix: str = "",
    ) -> None:
        self.classifier = load(options)
        self.embed, self.column, self.prefix = embed, column, prefix
        self.compiled = self.decision = None
        if labels is not None or not embed:
            self.compiled, self.decision = self.classifier.labels_and_decision(
                labels, multi_label=multi_label, top_k=top_k, min_score=min_score
            )

    def __call__(self, batch: Any) -> Any:
        """The rows of a batch, in order, with answers beside what they have.

        Parameters
        ----------
        batch : pyarrow.Table, pandas.DataFrame, or Mapping of str to sequence
            Rows.

        Returns
        -------
        pyarrow.Table, pandas.DataFrame, or dict of str to ndarray
            The same kind, with the columns ``label``, ``score`` and ``labels`` (a list of
            ``{label, score, cosine}``, best first) where there are labels, ``embedding`` (d,)
            float32 of length 1 with `embed`, and ``error``, which is None for a picture that could
            be read. Without Arrow the embedding of another is all NaN.

        Raises
        ------
        SourceError
            If no column holds pictures, or one of the new columns is there already.
        """
        is_arrow = hasattr(batch, "schema")
        names = [*batch.schema.names] if is_arrow else [*map(str, batch)]
        column = picture_column(names, "the batch") if self.column is None else self.column
        if column not in names:
            raise SourceError(f"the batch has no column {column!r}, only: {', '.join(names)}.")
        cells = batch[column].to_pylist() if is_arrow else batch[column]
        answers = self._answers([*self._encoded(column, cells)])
        answers = {f"{self.prefix}{name}": values for name, values in answers.items()}
        if twice := [name for name in answers if name in names]:
            raise SourceError(
                f"the batch has a column {twice[0]!r} already; give a prefix for the new ones."
            )
        if is_arrow:
            return self._with_columns(batch, answers)
        if hasattr(batch, "assign"):  # of pandas
            return batch.assign(**{name: [*values] for name, values in answers.items()})
        return {**batch, **{name: _array(values) for name, values in answers.items()}}

    def _encoded(self, column: str, cells: Sequence[Any]) -> Any:
        sources = (
            row_source({column: cell}, column, number, "batch")
            for number, cell in enumerate(cells, 1)
        )
        return self.classifier.encoder.stream_images(sources)

    def _answers(self, rows: Sequence[Encoded]) -> dict[str, Sequence[Any]]:
        answers: dict[str, Sequence[Any]] = {}
        if self.compiled is not None and self.decision is not None:
            predictions = predict_encoded(rows, self.compiled, self.decision)
            answers["label"] = [one.label for one in predictions]
            answers["score"] = [one.score for one in predictions]
            answers["labels"] = [_labels(one) for one in predictions]
        if self.embed:
            missing = np.full(self.classifier.model.dimension, np.nan, dtype=np.float32)
            answers["embedding"] = [
                missing if row.embedding is None else row.embedding for row in rows
            ]
        answers["error"] = [None if row.error is None else str(row.error) for row in rows]
        return answers

    def _with_columns(self, table: Any, answers: Mapping[str, Sequence[Any]]) -> Any:
        import pyarrow as pa  # noqa: PLC0415 - an extra, which whoever calls has

        scored = pa.struct(
            [("label", pa.string()), ("score", pa.float32()), ("cosine", pa.float32())]
        )
        kinds = {
            "label": pa.string(), "score": pa.float32(), "labels": pa.list_(scored),
            "embedding": pa.list_(pa.float32(), self.classifier.model.dimension),
            "error": pa.string(),
        }  # fmt: skip
        failed = [error is not None for error in answers[f"{self.prefix}error"]]
        for name, values in answers.items():
            kind = kinds[name.removeprefix(self.prefix)]
            if pa.types.is_fixed_size_list(kind):
                flat = np.array(values, dtype=np.float32).reshape(-1)
                cells = pa.FixedSizeListArray.from_arrays(
                    pa.array(flat), kind.list_size, mask=pa.array(failed, pa.bool_())
                )
            else:
                cells = pa.array(values, kind)
            table = table.append_column(pa.field(name, kind), cells)
        return table


def _labels(prediction: Prediction) -> list[dict[str, Any]] | None:
    if not prediction.ok:
        return None
    return [
        {"label": scored.label, "score": scored.score, "cosine": scored.cosine}
        for scored in prediction.ranking
    ]


def _array(values: Sequence[Any]) -> Any:
    """Numbers as an array of numbers, anything else as one of objects."""
    if values and isinstance(values[0], np.ndarray):
        return np.stack(values)
    array = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):  # lists of the same length would become an axis
        array[i] = value
    return array
