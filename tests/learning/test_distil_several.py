"""Small classifiers of pictures that have several labels: the sigmoid of each."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression

import unseen
from unseen.learning.distil import heads
from unseen.learning.distil.classifier import Distilled, DistilOptions, distil
from unseen.learning.distil.model_card import markdown
from unseen.learning.distil.training_set import TrainingSet
from unseen.models.families.distilled import FORMAT, RULE_OF
from unseen.runtimes import onnx_file

PHOTOGRAPHS = Path(__file__).parents[1] / "photographs"
NAMES = ("castle", "cat", "fish", "pliers")
SIDE = 128
Pair = tuple[Image.Image, list[str]]


def mosaics(number: int) -> list[Pair]:
    """One photograph, or two beside each other; `number` of each is left out of the others."""
    photos = {name: sorted((PHOTOGRAPHS / name).iterdir()) for name in NAMES}
    made: list[Pair] = []
    sets = [(n,) for n in NAMES] + [*itertools.combinations(NAMES, 2)]
    for place, names in enumerate(sets * 3):
        whole = Image.new("RGB", (160, 160), (120, 120, 120))
        for side, name in enumerate(names):
            files = photos[name]
            with Image.open(files[(place + number) % len(files)]) as image:
                part = image.convert("RGB").resize((160 // len(names), 160))
            whole.paste(part, (side * 80, 0))
        made.append((whole, list(names)))
    return made


@pytest.fixture(scope="module")
def made() -> Distilled:
    return distil(unseen.load(device="cpu"), mosaics(0), DistilOptions(side=SIDE, multi_label=True))


def test_each_label_is_a_logistic_regression_of_its_own() -> None:
    rng = np.random.default_rng(5)
    features = rng.standard_normal((80, 6))
    positive = features @ rng.standard_normal((6, 3)) + rng.standard_normal((80, 3)) > 0.4
    ones = np.ones(80)
    given = heads.Examples(features, positive.astype(float), ones, ones, "sigmoid")
    head = heads.fit(given, penalty=0.05, steps=2000, tolerance=1e-10)
    ours = 1 / (1 + np.exp(-heads.logits(head, features)))
    standard = (features - features.mean(0)) / features.std(0)
    for column in range(3):
        judge = LogisticRegression(C=1 / (0.05 * 80), tol=1e-10, max_iter=5000)
        theirs = judge.fit(standard, positive[:, column]).predict_proba(standard)[:, 1]
        np.testing.assert_allclose(ours[:, column], theirs, atol=1e-4)


def test_a_picture_of_two_things_has_both_labels(made: Distilled, tmp_path: Path) -> None:
    made.save(tmp_path / "small.onnx")
    student = unseen.load(tmp_path / "small.onnx", exact=True)
    assert student.model.score.rule == "sigmoid"
    session = onnxruntime.InferenceSession(
        tmp_path / "small.onnx", providers=["CPUExecutionProvider"]
    )
    total: dict[str, Any] = {"both": 0, "given": 0, "true": 0}
    for image, names in mosaics(0)[:12]:
        found = student.classify(image, multi_label=True)
        given = {scored["label"] for scored in found}
        total["both"] += len(given & {*names})
        total["given"] += len(given)
        total["true"] += len(names)
        small = image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        alone = session.run(None, {"images": np.asarray(small)[None]})
        by_name = dict(zip([o.name for o in session.get_outputs()], alone, strict=True))
        expected = 1 / (1 + np.exp(-by_name["logits"][0]))
        np.testing.assert_allclose(by_name["probabilities"][0], expected, atol=1e-6)
        every = {scored["label"]: scored["score"] for scored in student.classify(image)}
        np.testing.assert_allclose([every[n] for n in NAMES], expected, atol=2e-5)
    f1 = 2 * total["both"] / (total["given"] + total["true"])
    assert f1 > 0.9, total
    figures = made.card["figures"]
    assert figures["f1"] > 0.6 and figures["accuracy"]["right"] / figures["accuracy"]["of"] > 0.7
    assert "F1 of all labels" in markdown(made.card, "small.onnx")
    assert [row["reviewed"] for row in made.card["labels"]] == [12] * 4


def test_several_labels_must_be_meant() -> None:
    with pytest.raises(unseen.SourceError, match="several labels a picture need"):
        TrainingSet.read([("a.png", ["cat", "dog"])])
    read = TrainingSet.read([("a.png", ["cat", "dog"]), ("b.png", "dog")], multi_label=True)
    assert [p.label_ids for p in read.pictures] == [(0, 1), (1,)] and read.multi_label
    assert read.counts == {"cat": 1, "dog": 2}


def test_an_older_version_refuses_such_a_file(made: Distilled, tmp_path: Path) -> None:
    """Which would take the softmax of logits that do not compete."""
    made.save(tmp_path / "small.onnx")
    content = onnx_file.read(tmp_path / "small.onnx")
    assert content.metadata["format"] != FORMAT
    assert RULE_OF[content.metadata["format"]] == "sigmoid"
