"""Answers for embeddings that are there already: computed in a thread, written in another."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import unseen
from unseen.encoder import Encoded
from unseen.errors import StoreError
from unseen.prediction.facets import FacetPrediction
from unseen.prediction.prediction import Prediction

LABELS = ["a red circle", "a blue star", "a green square"]
COUNT = 10_000  # more than are computed at once


@pytest.fixture(scope="module")
def clf(shapes_clip: Path) -> unseen.Classifier:
    return unseen.load(shapes_clip)


class Stream:
    """Embeddings of random pictures, which note that they were closed."""

    def __init__(self, dimension: int, error_at: int | None = None) -> None:
        rows = np.random.default_rng(0).standard_normal((COUNT, dimension), dtype=np.float32)
        self.rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        self.error_at = error_at
        self.closed = False

    def __iter__(self) -> Iterator[Encoded]:
        try:
            for number, row in enumerate(self.rows):
                if number == self.error_at:
                    raise StoreError("index.sqlite is damaged.")
                yield Encoded(f"{number}.jpg", row)
        finally:
            self.closed = True


class Output:
    """Takes predictions; stops after some of them as Ctrl-C does."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.predictions: list[Prediction | FacetPrediction] = []
        self.stop_after = stop_after

    def write(self, prediction: Prediction | FacetPrediction) -> None:
        self.predictions.append(prediction)
        if len(self.predictions) == self.stop_after:
            raise KeyboardInterrupt

    def close(self) -> None:
        pass


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "unseen-ahead"]


def test_they_are_those_of_all_at_once_in_the_same_order(clf: unseen.Classifier) -> None:
    stream, output = Stream(clf.model.dimension), Output()
    summary = unseen.classify_to_file(clf, [], LABELS, output, encoded=stream)
    assert summary.pictures == len(output.predictions) == COUNT
    compiled, decision = clf.compile(LABELS), clf.decision()
    expected = list(clf.predictions(iter(stream), compiled, decision, batch_size=COUNT))
    for one, other in zip(output.predictions, expected, strict=True):
        assert isinstance(one, Prediction)
        assert (one.source, one.label) == (other.source, other.label)
        assert one.score == pytest.approx(other.score, abs=1e-6)
    assert not threads()


def test_of_several_sets_too(clf: unseen.Classifier) -> None:
    stream, output = Stream(clf.model.dimension), Output()
    sets = {"what": LABELS, "how": ["a photo", "a drawing"]}
    unseen.classify_facets_to_file(clf, [], sets, output, encoded=stream)
    assert [one.source for one in output.predictions] == [f"{i}.jpg" for i in range(COUNT)]
    first = output.predictions[0]
    assert isinstance(first, FacetPrediction)
    assert set(first.facets) == {"what", "how"}


def test_when_it_is_interrupted_its_thread_has_ended_and_its_embeddings_are_closed(
    clf: unseen.Classifier,
) -> None:
    stream, output = Stream(clf.model.dimension), Output(stop_after=5)
    with pytest.raises(KeyboardInterrupt):
        unseen.classify_to_file(clf, [], LABELS, output, encoded=stream)
    assert len(output.predictions) == 5
    assert not threads()
    assert stream.closed


def test_an_error_among_the_embeddings_is_raised(clf: unseen.Classifier) -> None:
    stream, output = Stream(clf.model.dimension, error_at=COUNT - 1), Output()
    with pytest.raises(StoreError, match="damaged"):
        unseen.classify_to_file(clf, [], LABELS, output, encoded=stream)
    assert output.predictions
    assert not threads()
