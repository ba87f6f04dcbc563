"""Evidence: one number for all models, and pictures of none of the labels."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

import shapes
import unseen
from unseen.errors import LabelWarning
from unseen.prediction.open_set import ReferenceSet, concepts, evidence, picture_of_nothing
from unseen.prediction.prediction import LEAST_EVIDENCE

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from unknown import auroc  # type: ignore[import-not-found]

LABELS = shapes.labels()[:20]


@pytest.fixture(scope="module")
def clf(shapes_clip: Path) -> unseen.Classifier:
    return unseen.load(shapes_clip)


def test_the_area_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        known, other = rng.integers(0, 9, 30) + 2.0, rng.integers(0, 9, 50) * 1.0  # with ties
        y_true = np.r_[np.ones(30), np.zeros(50)]
        assert auroc(known, other) == pytest.approx(roc_auc_score(y_true, np.r_[known, other]))


def test_shapes_that_are_no_label_are_unknown(clf: unseen.Classifier) -> None:
    """On pictures that the threshold was not chosen on."""
    known = [shapes.draw(shapes.scene(label), 90 + s) for label in LABELS for s in range(3)]
    others = [shapes.draw(shapes.scene(label), 90) for label in shapes.labels()[20:]]
    far = [picture_of_nothing(100 + s) for s in range(30)]
    labelled = [
        [p.label is not None for p in clf.classify_many(pictures, LABELS, unknown="auto")]
        for pictures in (known, others, far)
    ]
    assert np.mean(labelled[0]) >= 0.85
    assert np.mean(labelled[1]) <= 0.15 and np.mean(labelled[2]) <= 0.4


def test_photographs_of_other_animals(photographs: Path) -> None:
    clf = unseen.load()
    labels = ["cat", "dog", "horse", "owl", "crab", "bee", "panda"]
    files = sorted(photographs.glob("*/*.jpg"))
    predictions = [*clf.classify_many(files, labels, unknown="auto")]
    is_label = np.array([file.parent.name in labels for file in files])
    evidences = np.array([p.evidence for p in predictions])
    assert auroc(evidences[is_label], evidences[~is_label]) >= 0.85
    unknown = np.array([p.unknown for p in predictions])
    assert unknown[is_label].mean() <= 0.25 and unknown[~is_label].mean() >= 0.65


def test_evidence_knows_nothing_of_a_models_scale() -> None:
    """Cosines of another model: all smaller, all higher. The same evidence."""
    rng = np.random.default_rng(1)

    def rows(n: int) -> np.ndarray:
        x = rng.normal(size=(n, 16)).astype(np.float32)
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    images, labels, reference_set = rows(9), rows(4), ReferenceSet(rows(50), rows(20))
    plain = evidence(images, labels, reference_set)

    def other(x: np.ndarray, add: float) -> np.ndarray:
        """Of length 1 again, with a part that all have: cosines become 0.3 · c + 0.7."""
        side = np.full((len(x), 1), add, np.float32)
        return np.hstack([x * np.sqrt(0.3), side * np.sqrt(0.7)]).astype(np.float32)

    moved = ReferenceSet(other(reference_set.concepts, 1), other(reference_set.nothing, 1))
    np.testing.assert_allclose(
        evidence(other(images, 1), other(labels, 1), moved), plain, rtol=2e-4, atol=2e-4
    )
    best = (images @ labels.T).max(1)
    words, noise = images @ reference_set.concepts.T, (reference_set.nothing @ labels.T).max(1)
    expected = ((best - words.mean(1)) / words.std(1) + (best - noise.mean()) / noise.std()) / 2
    np.testing.assert_allclose(plain, expected, rtol=1e-5)


def test_it_is_said_only_when_asked_for(clf: unseen.Classifier) -> None:
    red = shapes.draw(shapes.scene("red circle"), 0)
    with pytest.warns(LabelWarning, match="the only label"):
        plain = clf.classify(red, ["a red circle"])
    with_evidence = clf.classify(red, ["a red circle"], unknown="auto")
    assert plain.evidence is None and "evidence" not in plain.to_dict()
    assert with_evidence.to_dict()["evidence"] == with_evidence.evidence
    assert with_evidence.label == "a red circle"
    assert [*with_evidence] == [*plain]
    grey = clf.classify(Image.new("RGB", (64, 64), "grey"), ["a red circle"], unknown="auto")
    assert grey.evidence is not None and grey.evidence < LEAST_EVIDENCE
    assert grey.unknown and grey.label is None and grey.to_dict()["unknown"] and len(grey) == 1
    with pytest.raises(unseen.LabelError, match="background"):
        clf.classify(red, ["a red circle"], unknown="something else")


def test_background_labels_bring_no_evidence(clf: unseen.Classifier) -> None:
    red = shapes.draw(shapes.scene("red circle"), 0)
    alone = clf.classify(red, ["a blue star"], unknown="auto")
    beside = clf.classify(red, ["a blue star"], background=["a red circle"], unknown="auto")
    assert beside.evidence == pytest.approx(alone.evidence, abs=1e-4)


def test_the_reference_set_is_encoded_once(
    clf: unseen.Classifier, fresh_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ReferenceSet.of(clf.encoder)
    monkeypatch.setattr(type(clf.encoder), "encode_images", None)
    again = ReferenceSet.of(clf.encoder)
    np.testing.assert_array_equal(first.nothing, again.nothing)
    np.testing.assert_array_equal(first.concepts, again.concepts)


def test_the_words_are_a_few_hundred_and_differ() -> None:
    words = concepts()
    assert 300 <= len(words) <= 600 and len({*words}) == len(words)
    assert all(word == word.strip() for word in words)
