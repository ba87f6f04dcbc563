"""Labels with example pictures beside their words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import shapes
import unseen
from unseen.labels.examples import LEAST, USUAL, WEIGHTS, chosen, fuse, moved
from unseen.labels.label_set import LabelSet

SCENES = ["a red circle", "a blue star", "a green square"]


@pytest.fixture(scope="module")
def clf(shapes_clip: Path) -> unseen.Classifier:
    return unseen.load(shapes_clip)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for scene in SCENES:
        for i in range(6):
            path = tmp_path / "shown" / f"{scene.split()[-1]}{i}.png"
            path.parent.mkdir(exist_ok=True)
            shapes.draw(shapes.scene(scene), i).save(path)
    return tmp_path


def label_file(folder: Path, count: int, scenes: list[str] | None = None) -> Path:
    labels: dict[str, Any] = dict.fromkeys(SCENES)
    for scene in scenes or SCENES:
        names = [f"shown/{scene.split()[-1]}{i}.png" for i in range(count)]
        labels[scene] = {"examples": names}
    path = folder / "labels.json"
    path.write_text(json.dumps({"labels": labels}))
    return path


def test_rows_are_moved_towards_the_examples(clf: unseen.Classifier, folder: Path) -> None:
    words = clf.compile(SCENES)
    fused = clf.compile(label_file(folder, 1))
    means = clf.encode_images([folder / "shown" / f"{s.split()[-1]}0.png" for s in SCENES])
    np.testing.assert_allclose(
        fused.matrix, words.matrix + USUAL * (means - means.mean(0)), atol=1e-5
    )
    assert fused.adapted is not None
    assert "3 examples" in fused.adapted.adapter and "too few to choose" in fused.adapted.adapter
    np.testing.assert_allclose(fused.neutral, words.neutral, atol=1e-6)


def test_the_weight_is_chosen_by_leaving_each_out() -> None:
    """A slow judge, written apart: the set is made anew for each example that is left out."""
    rng = np.random.default_rng(0)
    texts = rng.normal(size=(3, 16))
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    label_ids = np.repeat([0, 1, 2], 5)
    pictures = texts[label_ids] * 0.1 + rng.normal(size=(3, 16))[label_ids] * 0.2
    pictures += rng.normal(size=(15, 16)) * 0.08
    pictures /= np.linalg.norm(pictures, axis=1, keepdims=True)
    losses = []
    for weight in WEIGHTS:
        each = []
        for i in range(15):
            rest = np.arange(15) != i
            means = {c: pictures[rest & (label_ids == c)].mean(0) for c in (0, 1, 2)}
            centre = np.mean(list(means.values()), axis=0)
            rows = texts.copy()
            for c, mean in means.items():
                rows[c] += weight * (mean - centre)
            logits = 30.0 * rows @ pictures[i]
            each.append(np.log(np.exp(logits).sum()) - logits[label_ids[i]])
        losses.append(np.array(each))
    best = int(np.argmin([each.mean() for each in losses]))
    gain = losses[0] - losses[best]
    assert gain.mean() > gain.std(ddof=1) / 15**0.5 and best > 0
    a, b = np.asarray(texts, np.float32), np.asarray(pictures, np.float32)
    assert chosen(a, b, label_ids, 30.0) == (WEIGHTS[best], 0.0)
    noise = rng.permutation(label_ids)
    assert chosen(b[[0, 5, 10]], b, noise, 30.0) == (0.0, 0.0)
    assert chosen(a, b[: LEAST - 1], label_ids[: LEAST - 1], 30.0) is None


def test_labels_without_examples_are_not_harmed() -> None:
    """Pictures of labels with words alone: moved rows must not win them."""
    rng = np.random.default_rng(3)
    directions = np.linalg.qr(rng.normal(size=(32, 9)))[0].T
    shared, own = directions[0], directions[1:]
    labels = np.repeat(np.arange(8), 40)
    pictures = shared + 0.35 * own[labels] + rng.normal(size=(320, 32)) * 0.12
    pictures /= np.linalg.norm(pictures, axis=1, keepdims=True)
    texts = own + rng.normal(size=(8, 32)) * 0.1
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    a, b = np.asarray(texts, np.float32), np.asarray(pictures, np.float32)
    shown = (labels < 4) & (np.arange(320) % 40 < 4)
    rest = np.arange(320) % 40 >= 4

    def top1(rows: np.ndarray, of: np.ndarray) -> float:
        return float(((b[of] @ rows.T).argmax(1) == labels[of]).mean())

    fused = fuse(a, b[shown], labels[shown], 30.0)
    bare = rest & (labels >= 4)
    assert top1(fused.rows, bare) >= top1(a, bare) - 0.02
    assert (
        top1(moved(a, b[shown], labels[shown], 1.0), bare) < top1(a, bare) - 0.1
    )  # as it would be
    few = labels[shown] < 2
    assert fuse(a, b[shown][few][:4], labels[shown][few][:4], 30.0).weight == 0.0


def test_better_where_the_words_are_wrong(clf: unseen.Classifier, folder: Path) -> None:
    """Labels whose words say nothing are learnt from six pictures each."""
    labels = {
        name: {"examples": [str(folder / "shown" / f"{s.split()[-1]}{i}.png") for i in range(6)]}
        for name, s in zip(["first", "second", "third"], SCENES, strict=True)
    }
    pictures = [shapes.draw(shapes.scene(s), 50 + i) for s in SCENES for i in range(8)]
    truth = [name for name in labels for _ in range(8)]
    shown = [p.label for p in clf.classify_many(pictures, labels)]
    words = [p.label for p in clf.classify_many(pictures, list(labels))]
    assert np.mean(np.equal(shown, truth)) > 0.9 > np.mean(np.equal(words, truth))
    compiled = clf.compile(labels)
    assert compiled.adapted is not None and "leaving each out" in compiled.adapted.adapter


def test_one_label_alone_has_nothing_to_be_compared_with(
    clf: unseen.Classifier, folder: Path
) -> None:
    path = label_file(folder, 3, SCENES[:1])
    with pytest.warns(unseen.UnseenWarning, match="'a red circle' is the only label with examples"):
        compiled = clf.compile(path)
    assert compiled.adapted is None
    np.testing.assert_array_equal(compiled.matrix, clf.compile(SCENES).matrix)
    texts = clf.compile(SCENES).matrix
    np.testing.assert_array_equal(fuse(texts, texts[:1], np.array([0]), 100.0).rows, texts)


def test_files_calibrations_and_changed_pictures(
    clf: unseen.Classifier, folder: Path, tmp_path: Path
) -> None:
    path = label_file(folder, 2)
    compiled = clf.compile(path)
    compiled.save(tmp_path / "a.safetensors")
    again = clf.compile(tmp_path / "a.safetensors")
    picture = folder / "shown" / "star5.png"
    assert clf.classify(picture, again) == clf.classify(picture, path)
    assert again.prompts == compiled.prompts and len(compiled.prompts[0]) == 3
    shapes.draw(shapes.scene("a pink ring"), 7).save(folder / "shown" / "circle0.png")
    changed = clf.compile(path)
    assert changed.prompts[0] != compiled.prompts[0] and changed.prompts[1] == compiled.prompts[1]


def test_what_is_refused(clf: unseen.Classifier, folder: Path) -> None:
    with pytest.raises(unseen.LabelError, match=r"nowhere.png: there is no such example of 'cat'"):
        clf.compile({"cat": {"examples": "nowhere.png"}, "dog": {"examples": "x.png"}})
    (folder / "broken.png").write_bytes(b"broken")
    broken = str(folder / "broken.png")
    with pytest.raises(unseen.LabelError, match=r"broken.png: this example of 'cat'"):
        clf.compile({"cat": {"examples": broken}, "dog": {"examples": broken}})
    for value, words in [
        ("https://example.org/a.jpg", "an address"),
        ("file:///etc/passwd", "an address"),
        (7, "a path or a list"),
        ([7], "example 1 of 'cat' is no path"),
        (["a.jpg"] * 1001, "at most 1,000"),
    ]:
        with pytest.raises(unseen.LabelError, match=words):
            LabelSet.of({"cat": {"examples": value}})
    with pytest.raises(unseen.LabelError, match="no file may be named here"):
        LabelSet.from_data({"cat": {"examples": ["/etc/passwd"]}})
    path = label_file(folder, 2)
    with pytest.raises(unseen.LabelError, match="examples of labels"):
        clf.classify(folder / "shown" / "star5.png", path, unknown="auto")
    adapter = unseen.adapt(clf, folder_of(folder))
    with pytest.raises(unseen.LabelError, match="examples of its labels"):
        adapter.apply(clf.compile(path))


def folder_of(folder: Path) -> Path:
    """The pictures, a folder a label."""
    root = folder / "sorted"
    for i, scene in enumerate(SCENES * 4):
        path = root / scene / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        shapes.draw(shapes.scene(scene), i).save(path)
    return root
