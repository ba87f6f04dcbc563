"""A concept word of a label set: which prompts it makes, and where it may be given."""

from __future__ import annotations

from pathlib import Path

import pytest

import unseen
from unseen.labels.label_set import LabelSet
from unseen.results.manifest import manifest

DEFAULT = "a photo of a {}."


def test_the_prompts_of_a_concept() -> None:
    label_set = LabelSet.of(
        {"crane": None, "kite": "a red kite"}, concept="bird", background=["something else"]
    )
    assert label_set.prompts(DEFAULT) == [
        ("a photo of a bird: a crane.", "a photo of a crane, a type of bird."),
        ("a red kite",),
        ("a photo of a something else.",),
    ]
    with_own = LabelSet.of(["crane"], concept="animal", template=["a {}", "my {}!"])
    assert with_own.prompts(DEFAULT) == [
        ("a crane, a type of animal", "my crane, a type of animal!")
    ]
    assert LabelSet.of(["ant"], concept=" insect \n").prompts("{}") == [
        ("a photo of an insect: a ant.", "ant, a type of insect")
    ]
    for one in (label_set, with_own):
        assert one.count_prompts() == sum(map(len, one.prompts(DEFAULT)))


def test_in_a_label_file(tmp_path: Path) -> None:
    path = tmp_path / "birds.yaml"
    path.write_text("labels: [crane, kite]\nconcept: bird\n")
    label_set = LabelSet.of(path)
    assert label_set == LabelSet.of(["crane", "kite"], concept="bird")
    assert label_set != LabelSet.of(["crane", "kite"])
    assert LabelSet.of(path, concept="toy").concept == "toy"
    assert "bird" in repr(label_set)


@pytest.mark.parametrize("concept", ["", " ", "a {}", 7, "x" * 101])
def test_refused(concept: str) -> None:
    with pytest.raises(unseen.LabelError, match="concept"):
        LabelSet.of(["crane"], concept=concept)


def test_everywhere_the_same(shapes_clip: Path, tmp_path: Path) -> None:
    clf = unseen.load(shapes_clip)
    labels = ["circle", "star"]
    compiled = clf.compile(labels, concept="shape")
    own = clf.encode_texts([
        "a photo of a shape: a circle.",
        clf.model.template.replace("{}", "circle, a type of shape"),
    ]).sum(0)  # fmt: skip
    assert float(compiled.matrix[0] @ own) / float((own @ own) ** 0.5) == pytest.approx(1, abs=1e-5)
    picture = "examples/cat.jpg"
    first = clf.classify(picture, labels, concept="shape")
    assert first == clf.classify(picture, compiled)
    assert [first] == list(clf.classify_many([picture], labels, concept="shape"))
    assert first != clf.classify(picture, labels)
    plain = manifest(clf.model, clf.compile(labels), {})
    assert manifest(clf.model, compiled, {})["labels_sha256"] != plain["labels_sha256"]
    with pytest.raises(unseen.LabelError, match="templates, concept and background"):
        clf.compile(compiled, concept="shape")
