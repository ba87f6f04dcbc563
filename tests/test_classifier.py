"""Predictions: the right numbers, the right decisions, and a stream that nothing stops."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.utils.extmath import softmax as judge_softmax

import checkpoints
import shapes
import unseen
from unseen.models.model import Score
from unseen.prediction import score
from unseen.prediction.prediction import UNKNOWN
from unseen.sources.item import Source

LABELS = shapes.labels()
RED = shapes.scene("red circle")


@pytest.fixture(scope="module")
def clf(shapes_clip: Path) -> unseen.Classifier:
    return unseen.load(shapes_clip)


@pytest.fixture(scope="module")
def red() -> Image.Image:
    return shapes.draw(RED, 0)


def test_a_drawn_picture_depends_on_its_scene_and_seed_alone() -> None:
    first, again, other = (np.asarray(shapes.draw(RED, seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_unseen_combinations_are_named(clf: unseen.Classifier) -> None:
    """Colours with shapes that were never trained on together: at least 95 % among 80 labels."""
    scenes = shapes.held_out_scenes() * 10
    pictures = (shapes.draw(scene, 1000 + seed) for seed, scene in enumerate(scenes))
    predictions = list(clf.classify_many(pictures, LABELS, batch_size=32))
    right = [p.label == s.caption() for p, s in zip(predictions, scenes, strict=True)]
    assert len(LABELS) == 80 and len(right) >= 300
    assert np.mean(right) >= 0.95, np.mean(right)


def test_scores_are_the_softmax_of_the_logits(clf: unseen.Classifier, red: Image.Image) -> None:
    labels = LABELS[:9]
    prediction = clf.classify(red, labels)
    image = clf.encode_images([red])
    text = clf.encode_texts([f"This is a photo of {label}." for label in labels])
    logits = clf.model.score.scale * image @ text.T
    expected = dict(zip(labels, judge_softmax(logits)[0], strict=True))
    assert {s.label: pytest.approx(s.score, abs=1e-6) for s in prediction.ranking} == expected
    cosines = dict(zip(labels, (image @ text.T)[0], strict=True))
    assert {s.label: pytest.approx(s.cosine, abs=1e-6) for s in prediction.ranking} == cosines
    scores = [s.score for s in prediction.ranking]
    assert scores == sorted(scores, reverse=True) and sum(scores) == pytest.approx(1)


def test_top_k_and_min_score(clf: unseen.Classifier, red: Image.Image) -> None:
    everything = clf.classify(red, LABELS)
    three = clf.classify(red, LABELS, top_k=3)
    assert three.ranking == everything.ranking[:3] and three.left_out == 77
    sure = clf.classify(red, LABELS, min_score=0.5)
    assert [s.label for s in sure.ranking] == ["a red circle"] and sure.left_out == 79
    none = clf.classify(Image.new("RGB", (64, 64), "white"), LABELS, min_score=0.999)
    assert none.unknown and none.label is None and none.score is None and len(none) == 0


def test_background_labels_are_reported_as_unknown(clf: unseen.Classifier) -> None:
    seen, other = ["a red circle", "a red square"], ["a blue star", "a green star"]
    blue = shapes.draw(shapes.scene("blue star"), 3)
    prediction = clf.classify(blue, seen, background=other)
    assert prediction.unknown and prediction.label is None
    assert prediction.ranking[0].label == UNKNOWN
    plain = {s.label: s for s in clf.classify(blue, seen + other).ranking}
    assert prediction.ranking[0].score == pytest.approx(sum(plain[o].score for o in other))
    assert prediction.ranking[0].cosine == pytest.approx(max(plain[o].cosine for o in other))
    assert clf.classify(shapes.draw(RED, 1), seen, background=other).label == "a red circle"
    with pytest.raises(unseen.LabelError, match="rename"):
        clf.classify(blue, ["unknown"], background=other)


def test_multi_label(clf: unseen.Classifier, red: Image.Image) -> None:
    labels = {"a red circle": None, "a blue star": None}
    alone = clf.classify(red, ["a red circle"], multi_label=True)
    both = clf.classify(red, labels, multi_label=True, min_score=0)
    assert alone.ranking[0].score == pytest.approx(both.ranking[0].score)  # each by itself
    assert [s.label for s in clf.classify(red, labels, multi_label=True).ranking] == [
        "a red circle"
    ]
    lax = {"a red circle": None, "a blue star": {"threshold": 0.0}, "a green star": None}
    prediction = clf.classify(red, lax, multi_label=True)
    assert {s.label for s in prediction.ranking} == {"a red circle", "a blue star"}
    assert prediction.left_out == 1
    against = clf.classify(red, labels, multi_label=True, background=["a red circle, too"])
    assert against.ranking != both.ranking


def test_multi_label_is_the_softmax_of_a_pair() -> None:
    rule = Score("softmax", 20.0)
    cosine, neutral = np.array([[0.3, 0.1]], np.float32), np.array([[0.1, 0.3]], np.float32)
    pairs = judge_softmax(20.0 * np.array([[0.3, 0.2], [0.1, 0.2]]))[:, 0]
    logits = score.multi_label_logits(cosine, neutral, rule)
    np.testing.assert_allclose(score.sigmoid(logits)[0], pairs, atol=1e-6)
    sigmoid = Score("sigmoid", 10.0, -2.0)
    expected = 1 / (1 + np.exp(-(10 * cosine - 2)))
    logits = score.multi_label_logits(cosine, neutral, sigmoid)
    np.testing.assert_allclose(score.sigmoid(logits), expected, atol=1e-6)
    np.testing.assert_allclose(score.single_label(cosine, sigmoid), expected, atol=1e-6)
    huge = score.sigmoid(np.array([-1e9, 0, 1e9], np.float32))
    assert huge.tolist() == [0, 0.5, 1]


def test_a_clear_dog_is_no_cat_without_calibration(photographs: Path) -> None:
    """Before, cats had 51 % or more of a picture of a dog; on every door it is this function."""
    classifier = unseen.load()
    path = sorted((photographs / "dog").glob("*.jpg"))[0]
    prediction = classifier.classify(path, ["cat", "dog"], multi_label=True, min_score=0)
    scores = {row.label: row.score for row in prediction.ranking}
    assert scores["dog"] > 0.9
    assert scores["cat"] < 0.3


def test_a_stream_goes_in_and_a_stream_comes_out(clf: unseen.Classifier) -> None:
    """Lazily, in order, with no more read ahead than is needed, and past every bad picture."""
    read = []

    def endless() -> Iterator[Any]:
        for seed in range(10**9):
            read.append(seed)
            yield b"broken" if seed % 5 == 3 else shapes.draw(RED, seed)

    stream = clf.classify_many(endless(), LABELS, batch_size=4)
    first = list(islice(stream, 10))
    assert [p.ok for p in first] == [i % 5 != 3 for i in range(10)]
    assert [p.label for p in first if p.ok] == ["a red circle"] * 8
    assert first[3].error is not None and "not a picture" in first[3].error
    assert first[3].label is None and not first[3].unknown and first[3].source == "image 3"
    assert len(read) < 40
    stream.close()  # type: ignore[attr-defined]


def test_every_batch_size_gives_the_same(clf: unseen.Classifier) -> None:
    pictures = [shapes.draw(RED, seed) for seed in range(7)]
    rows = [clf.encode_images(pictures, batch_size=n) for n in (1, 2, 7, 50)]
    for row in rows[1:]:
        np.testing.assert_allclose(row, rows[0], rtol=0, atol=1e-6)
    assert rows[0].dtype == np.float32 and rows[0].shape == (7, 64)
    np.testing.assert_allclose(np.linalg.norm(rows[0], axis=1), 1, atol=1e-6)
    assert clf.encode_images([]).shape == (0, 64)
    with pytest.raises(ValueError, match="batch_size"):
        clf.encode_images(pictures, batch_size=0)


def test_errors_are_raised_where_one_picture_is_asked_for(clf: unseen.Classifier) -> None:
    with pytest.raises(unseen.ImageError):
        clf.classify(b"broken", ["a", "b"])
    with pytest.raises(unseen.SourceError):
        clf.classify("nowhere.png", ["a", "b"])
    with pytest.raises(unseen.SourceError):
        clf.encode_images(["nowhere.png"])
    with pytest.raises(unseen.SourceError, match="folder"):
        clf.classify("examples", ["a", "b"])
    for several in (["examples/cat.jpg"], ("examples/cat.jpg",), iter(["examples/cat.jpg"])):
        with pytest.raises(unseen.SourceError, match="classify_many takes a list"):
            clf.classify(several, ["a", "b"])
    with pytest.raises(unseen.LabelError, match="top_k"):
        clf.classify(b"", ["a"], top_k=0)
    with pytest.raises(unseen.LabelError, match="0…1"):
        clf.classify(b"", ["a"], min_score=7)


def test_a_prediction_has_the_shape_of_hugging_face(
    clf: unseen.Classifier, red: Image.Image
) -> None:
    prediction = clf.classify(red, LABELS[:3])
    rows = list(prediction)
    assert all(set(row) == {"score", "label"} for row in rows) and len(prediction) == 3
    assert prediction[0] == rows[0] and prediction[:2] == rows[:2]
    assert max(prediction, key=lambda x: x["score"])["label"] == prediction.label
    assert json.loads(json.dumps(prediction.to_dict()))["label"] == prediction.label
    with pytest.raises(AttributeError):
        prediction.source = "other"  # type: ignore[misc]


def test_labels_are_encoded_once(clf: unseen.Classifier, red: Image.Image) -> None:
    assert clf.compile(["x", "y"]) is clf.compile(["x", "y"])
    assert clf.compile(["x", "y"]) is not clf.compile(["y", "x"])


# the built-in model


def test_the_built_in_model_knows_a_cat(photographs: Path) -> None:
    clf = unseen.load()
    for path in sorted((photographs / "cat").glob("*.jpg")):
        assert clf.classify(path, ["airplane", "cat", "dog", "frog", "ship"]).label == "cat"


@pytest.mark.parametrize("size", [(4000, 3000), (2000, 1500), (1300, 1000), (700, 500)])
def test_fast_decoding_stays_close_to_exact(size: tuple[int, int], tmp_path: Path) -> None:
    """Photographs as JPEGs of several sizes: cosine at least 0.999 to decoding them in full."""
    folder = checkpoints.clip(tmp_path / "clip")
    rng = np.random.default_rng(1)
    for name in ("castle", "cat", "dog"):
        scene = Image.open(Path("examples") / f"{name}.jpg").resize(size)
        grain = rng.normal(0, 6, (size[1], size[0], 1))
        noisy = np.clip(np.asarray(scene) + grain, 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(tmp_path / f"{name}.jpg", quality=92)
    for model in (folder, "builtin", "tests/fixtures/shapes-clip"):
        fast, exact = (
            unseen.load(model, exact=e).encode_images(str(tmp_path / "*.jpg"))
            for e in (False, True)
        )
        assert (fast * exact).sum(1).min() >= 0.999, model


# metadata


def test_metadata_reaches_the_prediction_and_its_row(clf: unseen.Classifier) -> None:
    frames = [
        Source("film at 0 s", shapes.draw(RED, 0), {"frame": 0, "time": 0.0}),
        Source("film at 1 s", b"broken", {"frame": 24, "time": 1.0}),
        Source("a picture", shapes.draw(RED, 0)),
    ]
    predictions = list(clf.classify_many(frames, LABELS))
    assert [p.meta for p in predictions] == [frame.meta for frame in frames]
    rows = [p.to_dict() for p in predictions]
    assert rows[0]["meta"] == {"frame": 0, "time": 0.0} and rows[0]["label"] == "a red circle"
    assert set(rows[1]) == {"source", "error", "meta"}
    assert "meta" not in rows[2]
    assert json.loads(json.dumps(rows)) == rows
    stream = clf.encoder.stream_images(frames)
    transduced = clf.transduce(stream, clf.compile(LABELS), clf.decision())
    assert [p.meta for p in transduced] == [frame.meta for frame in frames]
    assert hash(predictions[0]) == hash(predictions[0])


def test_an_archive_is_classified_like_the_folder_that_was_packed(
    clf: unseen.Classifier, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed, scene in enumerate(shapes.held_out_scenes()[:5]):
        shapes.draw(scene, seed).save(folder / f"{seed}.png")
    path = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", folder))
    apart = list(clf.classify_many(folder, LABELS))
    packed = {p.source: p for p in clf.classify_many(path, LABELS)}
    assert len(packed) == 5
    for prediction in apart:
        name = Path(prediction.source).name
        other = packed[f"{path}!/{name}"]
        assert other.ranking == prediction.ranking and other.meta == {"member": name}
