"""The built-in model on real photographs, through the public API, each figure with a little room.

benchmarks/builtin_accuracy.py prints the figures themselves; docs/builtin.md quotes them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import unseen

CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def classifier() -> unseen.Classifier:
    return unseen.load()


def labelled(photographs: Path, *labels: str) -> list[tuple[Path, str]]:
    files = sorted(photographs.glob("*/*.jpg"))
    named = [(file, file.parent.name.replace("_", " ")) for file in files]
    return [(file, name) for file, name in named if not labels or name in labels]


def test_all_photographs_among_all_labels(classifier: unseen.Classifier, photographs: Path) -> None:
    """Measured: 70.9 % first, 93.2 % among the first five, of 69 labels."""
    files, names = zip(*labelled(photographs), strict=True)
    assert len(files) >= 60
    predictions = list(classifier.classify_many(files, sorted(set(names)), top_k=5))
    ranked = [[scored["label"] for scored in prediction] for prediction in predictions]
    first = sum(r[0] == name for r, name in zip(ranked, names, strict=True))
    five = sum(name in r for r, name in zip(ranked, names, strict=True))
    assert first / len(files) >= 0.68
    assert five / len(files) >= 0.90


def test_yes_or_no_of_ten_labels_at_the_default_threshold(
    classifier: unseen.Classifier, photographs: Path
) -> None:
    """13 yes for 10 right ones; with no neutral point of its own 23."""
    right = {"owl": "bird", "parrot": "bird", "duck": "bird", "chicken": "bird"}
    right |= {name: name for name in ("bird", "cat", "dog", "horse")}
    files, names = zip(*labelled(photographs, *right), strict=True)
    predictions = classifier.classify_many(files, CIFAR, multi_label=True)
    given = [{scored["label"] for scored in prediction} for prediction in predictions]
    hits = sum(right[name] in labels for name, labels in zip(names, given, strict=True))
    every = sum(len(labels) for labels in given)
    assert 2 * hits / (every + len(files)) >= 0.75  # F1


@pytest.mark.parametrize(
    "words",
    [CIFAR, [w.capitalize() for w in CIFAR], [f"a {w}" for w in CIFAR]],
    ids=["plain", "capitals", "articles"],
)
def test_cifar_words(classifier: unseen.Classifier, photographs: Path, words: list[str]) -> None:
    right = {"owl": "bird", "parrot": "bird", "duck": "bird", "chicken": "bird"}
    right |= {name: name for name in ("bird", "cat", "dog", "horse")}
    pictures = labelled(photographs, *right)
    labels = [classifier.classify(file, words).label for file, _ in pictures]
    truth = [words[CIFAR.index(right[name])] for _, name in pictures]
    assert labels == truth


@pytest.mark.parametrize(
    ("name", "labels", "right"),
    [
        ("cat", ["a dog", "a cat", "a rabbit"], "a cat"),
        ("dog", ["dogs", "cats", "birds"], "dogs"),
        ("castle", ["church", "castle", "bridge", "house"], "castle"),
        ("cat", ["animal", "vehicle", "food", "plant", "building", "furniture"], "animal"),
        ("castle", ["animal", "vehicle", "food", "plant", "building", "furniture"], "building"),
    ],
)
def test_the_examples(
    classifier: unseen.Classifier, name: str, labels: list[str], right: str
) -> None:
    prediction = classifier.classify(EXAMPLES / f"{name}.jpg", labels)
    assert prediction.label == right
    assert prediction.score is not None and prediction.score > 0.5


def test_a_clear_yes_and_a_clear_no(classifier: unseen.Classifier) -> None:
    prediction = classifier.classify(
        EXAMPLES / "castle.jpg", ["castle", "banana", "bicycle"], multi_label=True
    )
    assert [scored["label"] for scored in prediction] == ["castle"]
    assert prediction.left_out == 2
