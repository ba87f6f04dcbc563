"""Python takes the calibration beside a label file as the command line does."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFilter

import shapes
import unseen
from films import gif
from running import ROOT
from running import unseen as run
from unseen import monitoring, video
from unseen.errors import UnseenWarning
from unseen.prediction.calibration import Calibration
from unseen.prediction.calibration_file import beside, calibration_for, find_beside
from unseen.prediction.conformal import SelectiveClassifier
from unseen.results import read

MODEL = ROOT / "tests" / "fixtures" / "shapes-clip"
LABELS = shapes.labels()[:5]


@pytest.fixture(scope="module")
def classifier() -> unseen.Classifier:
    return unseen.load(MODEL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, classifier: unseen.Classifier) -> Path:
    """labels.txt, its calibration, and pictures/ that it has not learnt from."""
    place = tmp_path_factory.mktemp("beside")
    (place / "labels.txt").write_text("\n".join(LABELS), "utf-8")
    (place / "pictures").mkdir()
    for i, label in enumerate(LABELS):
        spoilt(label, 70).save(place / "pictures" / f"{i}.png")
    pairs = [(spoilt(label, seed), label) for label in LABELS for seed in range(4)]
    unseen.calibrate(classifier, pairs, place / "labels.txt").save(beside(place / "labels.txt"))
    return place


def spoilt(label: str, seed: int):  # type: ignore[no-untyped-def]
    return shapes.draw(shapes.scene(label), seed).filter(ImageFilter.GaussianBlur(3.5))


def test_one_answer_by_every_door(
    classifier: unseen.Classifier, place: Path, tmp_path: Path
) -> None:
    labels, pictures = place / "labels.txt", place / "pictures"
    done = run("classify", pictures, "-l", labels, "-m", MODEL, "--json")
    assert "calibrated by" in done.stderr
    rows = json.loads(done.stdout)
    assert all("likely" in row for row in rows)
    for given in (labels, str(labels)):
        many = classifier.classify_many(pictures, given)
        assert [p.probabilities for p in many] == [
            pytest.approx({s["label"]: s["score"] for s in row["ranking"]}, abs=1e-5)
            for row in rows
        ]
    first = classifier.classify(pictures / "0.png", labels)
    assert first.likely == tuple(rows[0]["likely"])
    unseen.classify_to_file(classifier, pictures, labels, tmp_path / "a.jsonl")
    assert [p.likely for p in read(tmp_path / "a.jsonl")] == [tuple(r["likely"]) for r in rows]
    pairs = [(pictures / f"{i}.png", label) for i, label in enumerate(LABELS)]
    report = unseen.evaluate(classifier, pairs, labels)
    assert report.candidates[0]["calibration"] == str(beside(labels))


def test_a_film_is_answered_by_it_too(
    classifier: unseen.Classifier, place: Path, tmp_path: Path
) -> None:
    labels = place / "labels.txt"
    film = gif(tmp_path / "film.gif", [np.asarray(spoilt(LABELS[0], 70))] * 6, 500)
    answer = video.classify(film, labels, classifier=classifier)
    assert answer.clip is not None
    assert answer.clip.likely is not None
    plain = video.classify(film, labels, classifier=classifier, calibration=None)
    assert plain.clip is not None
    assert plain.clip.likely is None

    def watched(calibration: Path | str | None) -> list[float]:
        messages = monitoring.watch(
            film, labels, classifier=classifier, every=0.5, calibration=calibration
        )
        return [message["score"] for message in messages if message["type"] == "end"]

    assert watched("auto") == watched(beside(labels)) != watched(None)


def test_none_is_none_and_what_does_not_fit_is_said(
    classifier: unseen.Classifier, place: Path
) -> None:
    labels, picture = place / "labels.txt", place / "pictures" / "0.png"
    plain = classifier.classify(picture, LABELS)
    assert plain.likely is None  # a list has nothing beside it
    assert classifier.classify(picture, labels, calibration=None) == plain
    with pytest.warns(UnseenWarning, match=r"labels\.calibration\.json is not used: .* prompts"):
        other = classifier.classify(picture, labels, template="a drawing of {}")
    assert other.likely is None
    compiled = classifier.compile(labels)
    neighbour = find_beside(labels, compiled, multi_label=True)
    assert neighbour is not None and "one label a picture" in str(neighbour.misfit)
    assert find_beside(place / "missing.txt", compiled) is None
    made = Calibration.load(beside(labels))
    assert calibration_for(made, LABELS, compiled) is made
    assert calibration_for(str(beside(labels)), LABELS, compiled) == made


def test_a_damaged_one_is_refused(
    classifier: unseen.Classifier, place: Path, tmp_path: Path
) -> None:
    shutil.copy(place / "labels.txt", tmp_path / "labels.txt")
    (tmp_path / "labels.calibration.json").write_text("{}", "utf-8")
    with pytest.raises(unseen.LabelError, match="not a calibration"):
        classifier.classify(place / "pictures" / "0.png", tmp_path / "labels.txt")


def test_a_picture_that_is_not_sure_enough_is_unknown(
    classifier: unseen.Classifier, place: Path, tmp_path: Path
) -> None:
    labels, pictures = place / "labels.txt", place / "pictures"
    made = Calibration.load(beside(labels))
    strict = replace(made, selective=SelectiveClassifier(0.01, 0.9, 1.0))
    strict.save(tmp_path / "strict.json")
    assert Calibration.load(tmp_path / "strict.json") == strict
    prediction = classifier.classify(pictures / "0.png", labels, calibration=strict)
    assert prediction.abstained and prediction.unknown and prediction.label is None
    assert prediction.best is not None and prediction.best.label in LABELS
    row = prediction.to_dict()
    assert row["abstained"] is True and row["unknown"] is True and row["label"] is None
    common = ("-l", labels, "-m", MODEL, "--calibration", tmp_path / "strict.json")
    done = run("classify", pictures, *common)
    assert done.stdout.count("unknown (not sure enough)") == len(LABELS)
    assert "not sure enough for the share" in run("classify", pictures / "0.png", *common).stdout
    for suffix in ("jsonl", "csv"):
        out = tmp_path / f"out.{suffix}"
        run("classify", pictures, *common, "-o", out, "-q")
        assert all(p.unknown and p.label is None for p in read(out))
    lenient = replace(made, selective=SelectiveClassifier(0.5, 0.9, 0.0))
    assert not classifier.classify(pictures / "0.png", labels, calibration=lenient).abstained
    old = made.to_data()
    assert "selective" not in old and "reach_by_label" not in old["likely"]
    for name, wrong in (("selective", {"threshold": "x"}), ("error", 3), ("likely", {"reach": 1})):
        with pytest.raises(unseen.LabelError, match="damaged"):
            Calibration.from_data({**old, name: wrong}, "here")
