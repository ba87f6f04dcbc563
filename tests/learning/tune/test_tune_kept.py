"""What a tuned model keeps of its original's, what it refuses, and what it says of its pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unseen
from tunings import LABELS, grainy
from unseen.learning.adapt import fit_adapter
from unseen.learning.distil.classifier import DistilOptions, distil
from unseen.learning.distil.training_set import TrainingSet
from unseen.prediction.calibration import Calibration
from unseen.prediction.seen import example_digests
from unseen.system.prompt_cache import VectorCache


@pytest.fixture(scope="module")
def folder(tuned: tuple[Any, Any]) -> Path:
    found: Path = tuned[0].folder
    return found


@pytest.fixture
def after(folder: Path) -> unseen.Classifier:
    return unseen.load(folder, device="cpu")


def test_texts_that_the_original_encoded_are_not_encoded_again(
    folder: Path, classifier: unseen.Classifier, tmp_path: Path, fresh_home: Path
) -> None:
    texts = ["a red ring, grainy", "two blue squares"]
    expected = classifier.encode_texts(texts)
    cached = VectorCache().count()
    assert cached == 2
    tuned = unseen.load(folder, device="cpu")
    assert (tuned.encode_texts(texts) == expected).all()  # the same bits: none was computed
    assert VectorCache().count() == cached
    tuned.encode_texts(["a new text"])
    assert VectorCache().count() == cached + 1
    # Nobody else is given what it encoded: a folder may say anything of itself.
    assert not VectorCache().get_many(classifier.model.fingerprint, ["a new text"])
    computed, _ = tuned.encoder.encode_once(texts)
    np.testing.assert_allclose(computed, expected, atol=1e-6)


def test_a_folder_that_was_changed_since_has_no_origin(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    assert unseen.load(other, device="cpu").model.card["text_origins"]
    config = json.loads((other / "config.json").read_text("utf-8"))
    (other / "config.json").write_text(json.dumps(config | {"note": 1}))
    model = unseen.load(other, device="cpu").model
    assert model.card == {} and not example_digests(model)


def test_an_index_encodes_its_pictures_anew_and_no_text(
    folder: Path, classifier: unseen.Classifier, data: Path, tmp_path: Path
) -> None:
    for number, file in enumerate(sorted(data.rglob("0.png"))[:5]):
        shutil.copy(file, tmp_path / f"{number}.png")
    tuned = unseen.load(folder, device="cpu")
    with unseen.Index(tmp_path) as index:
        assert index.update(classifier.encoder).encoded == 5
        before = index.view(classifier).search("a red ring")
        with pytest.raises(unseen.StoreError, match=r"has not encoded these pictures .* unseen in"):
            index.view(tuned)
        texts = VectorCache().count()
        report = index.update(tuned.encoder)
        assert (report.encoded, report.unchanged) == (5, 0)
        after = index.view(tuned).search("a red ring")
        assert VectorCache().count() == texts
        assert {hit.paths for hit in after} == {hit.paths for hit in before}
        assert index.update(tuned.encoder).unchanged == 5
        assert len(index.models()) == 2


def test_what_was_made_for_the_original_is_refused_in_a_sentence(
    folder: Path, classifier: unseen.Classifier, after: unseen.Classifier, tmp_path: Path
) -> None:
    names = LABELS[:2]
    compiled = classifier.compile(names)
    compiled.save(tmp_path / "labels.safetensors")
    pictures = [grainy(label, 40 + i) for label in names for i in range(8)]
    rows, ids = classifier.encode_images(pictures), np.repeat([0, 1], 8)
    fit_adapter(rows, ids, compiled).save(tmp_path / "adapter.safetensors")
    made = unseen.calibrate(
        classifier, [(p, names[i]) for p, i in zip(pictures, ids, strict=True)], compiled
    )
    made.save(tmp_path / "calibration.json")
    with pytest.raises(unseen.LabelError, match=r"compiled .* compile it again"):
        after.classify(pictures[0], tmp_path / "labels.safetensors")
    with pytest.raises(unseen.LabelError, match=r"adapter was made for .* make one for it"):
        unseen.load(folder, device="cpu", adapter=tmp_path / "adapter.safetensors")
    with pytest.raises(unseen.LabelError, match="calibration"):
        after.classify(
            pictures[0], names, calibration=Calibration.load(tmp_path / "calibration.json")
        )


def test_pictures_that_it_learnt_from_are_marked(
    folder: Path, after: unseen.Classifier, data: Path, tmp_path: Path
) -> None:
    files = sorted(data.rglob("*.png"))
    assert len(example_digests(after.model)) == len(files)
    grainy(LABELS[0], 99).save(tmp_path / "new.png")
    pairs = [(file, file.parent.name.replace("_", " ")) for file in files[::32]]
    pairs += [(tmp_path / "new.png", LABELS[0])]
    report = unseen.evaluate(after, pairs, sorted({label for _, label in pairs}))
    assert report.pictures == 1 and report.left_out["seen_in_training"] == 6


def test_a_tuned_model_teaches_a_small_one(
    after: unseen.Classifier, data: Path, tmp_path: Path
) -> None:
    pairs = [(grainy(label, 200 + i), label) for label in LABELS[:3] for i in range(12)]
    small = distil(after, pairs, DistilOptions(side=128, date="2026-01-01T00:00:00+00:00"))
    assert small.card["teacher"]["name"] == after.model.name
    assert small.card["teacher"]["fingerprint"] == after.model.fingerprint
    taught = [(file, file.parent.name) for file in sorted(data.rglob("0.png"))[:2]]
    both = TrainingSet.read([*taught, *pairs[:1]], teacher=after)
    assert [picture.seen for picture in both.pictures] == [True, True, False]
    small.save(tmp_path / "small.onnx")
    student = unseen.load(tmp_path / "small.onnx")
    fresh = [(grainy(label, 300 + i), label) for label in LABELS[:3] for i in range(4)]
    assert np.mean([student.classify(image).label == label for image, label in fresh]) > 0.6
