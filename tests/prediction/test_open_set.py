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
from unseen.prediction import everyday_words
from unseen.prediction.open_set import (
    NOTHING_SHIFT,
    ReferenceSet,
    evidence,
    name_no_thing,
    picture_of_nothing,
)
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


@pytest.fixture(scope="module")
def encoded(photographs: Path) -> list[unseen.Encoded]:
    """Every photograph, as the built-in model sees it."""
    return [*unseen.load().encoder.stream_images(sorted(photographs.glob("*/*.jpg")))]


def folder_of(picture: unseen.Encoded) -> str:
    return Path(picture.name).parent.name


def with_auto(pictures: list[unseen.Encoded], labels: list[str]) -> list[unseen.Prediction]:
    builtin = unseen.load()
    decision = builtin.decision(unknown="auto")
    return [*builtin.predictions(iter(pictures), builtin.compile(labels), decision)]


# The folders of tests/photographs that show an animal, and what each is called among five kinds.
KINDS = {
    "mammal": "bison cat cow dog gibbon giraffe hedgehog horse jaguar kangaroo koala lemur moose "
    "panda pig polar_bear red_panda sheep",
    "bird": "bird chicken duck owl parrot",
    "reptile": "chameleon crocodile komodo_dragon",
    "fish": "fish",
    "insect": "bee",
}


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param([*KINDS], id="kinds"),
        pytest.param(["animal", "vehicle", "food", "plant", "building", "furniture"], id="worlds"),
        pytest.param(["animals", "buildings", "tools"], id="plurals"),
        pytest.param(["critter", "houseware", "edifice"], id="words that are not shipped"),
    ],
)
def test_pictures_of_broad_labels_are_not_refused(
    encoded: list[unseen.Encoded], labels: list[str]
) -> None:
    """79 % of the animals were unknown to "animal, vehicle, …"; 7 of 10 mammals to the kinds."""
    animals = [e for e in encoded if folder_of(e) in " ".join(KINDS.values()).split()]
    assert len(animals) == 38
    assert np.mean([p.unknown for p in with_auto(animals, labels)]) <= 0.1


def test_broad_labels_still_refuse_what_they_are_not(encoded: list[unseen.Encoded]) -> None:
    """Of the pictures that show no animal, most are none of the five kinds of animals."""
    animals = {*" ".join(KINDS.values()).split(), "crab"}
    others = [e for e in encoded if folder_of(e) not in animals]
    assert np.mean([p.unknown for p in with_auto(others, [*KINDS])]) >= 0.6


def test_shapes_of_every_breadth_are_not_refused(clf: unseen.Classifier) -> None:
    """On pictures that the threshold was not chosen on; "a circle" was refused 80 times of 100."""
    scenes = [shapes.scene(label) for label in shapes.labels()]
    pictures = [shapes.draw(scene, 90 + s) for scene in scenes for s in range(2)]
    for labels in (shapes.labels(), [f"a {s}" for s in shapes.SHAPES], [*shapes.COLOURS]):
        predictions = clf.classify_many(pictures, labels, unknown="auto")
        assert np.mean([p.unknown for p in predictions]) <= 0.1
    far = [picture_of_nothing(100 + s) for s in range(30)]
    predictions = clf.classify_many(far, LABELS, unknown="auto")
    assert np.mean([p.unknown for p in predictions]) >= 0.5


@pytest.mark.parametrize("labels", [["old", "new"], ["indoor", "outdoor"], ["a good photo"]])
def test_qualities_decide_nothing_and_say_so(photographs: Path, labels: list[str]) -> None:
    """Any picture may be called that: 76 to 93 of 100 were refused."""
    files = sorted(photographs.glob("cat*/*.jpg"))
    with pytest.warns(LabelWarning, match="decides nothing") as warned:
        predictions = [*unseen.load().classify_many(files, labels, unknown="auto", batch_size=4)]
    assert len(files) > 4 and len(warned) == 1
    assert all(p.label is not None and p.evidence is None for p in predictions)


def test_a_quality_beside_things_does_not_stop_it(photographs: Path) -> None:
    prediction = unseen.load().classify(
        photographs / "castle" / "castle_1.jpg", ["cat", "dog", "old"], unknown="auto"
    )
    assert prediction.evidence is not None and prediction.unknown


def test_evidence_takes_the_words_below_a_label() -> None:
    """By hand: three concepts, of which two lie below the one broad word."""
    concepts = np.eye(4, dtype=np.float32)[:3]
    broad = (concepts[:1] + concepts[1:2]) / np.sqrt(2, dtype=np.float32)
    below = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]], dtype=bool)
    reference_set = Knowing(concepts, concepts[:1], broad, below)
    np.testing.assert_array_equal(reference_set.nearest_words(concepts), [0, 1, 2])
    np.testing.assert_array_equal(reference_set.nearest_words(broad), [3])
    pictures = np.array([[0.8, 0, 0, 0.6], [0, 0, 0.8, 0.6]], np.float32)
    words = pictures @ concepts.T
    own = pictures @ broad[0]
    expected = ((own + np.array([0.8, 0.0])) / 2 - words.mean(1)) / words.std(1)
    np.testing.assert_allclose(evidence(pictures, broad, reference_set), expected, rtol=1e-5)
    assert not name_no_thing(broad, reference_set)


def test_photographs_of_other_animals(encoded: list[unseen.Encoded]) -> None:
    labels = ["cat", "dog", "horse", "owl", "crab", "bee", "panda"]
    predictions = with_auto(encoded, labels)
    is_label = np.array([folder_of(e) in labels for e in encoded])
    evidences = np.array([p.evidence for p in predictions])
    assert auroc(evidences[is_label], evidences[~is_label]) >= 0.85
    unknown = np.array([p.unknown for p in predictions])
    assert unknown[is_label].mean() <= 0.1 and unknown[~is_label].mean() >= 0.65


class Knowing(ReferenceSet):
    """Of a model that knows the words, though they are few."""

    knows_words = True


@pytest.mark.parametrize("kind", [ReferenceSet, Knowing])
def test_evidence_knows_nothing_of_a_models_scale(kind: type[ReferenceSet]) -> None:
    """Cosines of another model: all smaller, all higher. The same evidence."""
    rng = np.random.default_rng(1)

    def rows(n: int) -> np.ndarray:
        x = rng.normal(size=(n, 16)).astype(np.float32)
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    images, labels, reference_set = rows(9), rows(4), kind(rows(50), rows(20), rows(8))
    plain = evidence(images, labels, reference_set)

    def other(x: np.ndarray, add: float) -> np.ndarray:
        """Of length 1 again, with a part that all have: cosines become 0.3 · c + 0.7."""
        side = np.full((len(x), 1), add, np.float32)
        return np.hstack([x * np.sqrt(0.3), side * np.sqrt(0.7)]).astype(np.float32)

    assert reference_set.broad_words is not None
    parts = (reference_set.concepts, reference_set.nothing, reference_set.broad_words)
    moved = kind(*(other(part, 1) for part in parts), reference_set.below)
    np.testing.assert_allclose(
        evidence(other(images, 1), other(labels, 1), moved), plain, rtol=2e-4, atol=2e-4
    )
    assert moved.directions == pytest.approx(reference_set.directions, rel=1e-3)
    if not reference_set.knows_words:
        best = (images @ labels.T).max(1)
        usual = [(reference_set.nothing @ x.T).max(1) for x in (labels, reference_set.concepts)]
        expected = sum((best - u.mean()) / u.std() for u in usual) / 2 + NOTHING_SHIFT
        np.testing.assert_allclose(plain, expected, rtol=1e-5)


def test_which_models_know_the_words(clf: unseen.Classifier) -> None:
    """The participation ratio, from the singular values; far from the limit for both models."""
    for model, knows in ((clf, False), (unseen.load(), True)):
        reference_set = model.reference_set()
        centred = reference_set.concepts - reference_set.concepts.mean(0)
        variances = np.linalg.svd(centred, compute_uv=False) ** 2
        ratio = variances.sum() ** 2 / np.square(variances).sum()
        assert reference_set.directions == pytest.approx(ratio, rel=1e-3)
        assert reference_set.knows_words is knows and not 8 < ratio < 32


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
    words = everyday_words.concepts()
    assert 300 <= len(words) <= 600 and len({*words}) == len(words)
    assert all(word == word.strip() for word in words)
    both = (*words, *everyday_words.broad_words())
    assert len({*both}) == len(both) and len(both) <= 1_000


def test_what_lies_below_a_word() -> None:
    both = [*everyday_words.concepts(), *everyday_words.broad_words()]
    table = everyday_words.below()

    def below(word: str) -> set[str]:
        return {c for c, is_below in zip(both, table[both.index(word)], strict=False) if is_below}

    assert below("cat") == {"cat"} and below("bird of prey") == {"eagle", "owl"}
    assert {"cat", "eagle", "shark", "bee"} < below("animal") < below("living thing")
    assert "castle" in below("building") and not below("building") & below("animal")
    assert below("old") == below("outdoor") == below("photograph") == set()


def test_every_word_on_the_right_of_a_line_is_a_concept_or_has_a_line() -> None:
    path = Path(unseen.__file__).parent / "data" / "kinds.txt"
    lines = [x for x in path.read_text("utf-8").splitlines() if x and not x.startswith("#")]
    assert all(line.count(":") == 1 for line in lines)
    broad = {word for line in lines for word in line.split(":")[0].split(", ")}
    narrow = {word for line in lines for word in line.split(":")[1].strip().split(", ")} - {""}
    assert narrow <= broad | {*everyday_words.concepts()}
