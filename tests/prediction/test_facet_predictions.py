"""Several label sets in one run: each answers as it does alone, of one embedding a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import shapes
import unseen
from unseen.prediction.facets import MAX_FACETS, check_names

SETS: dict[str, Any] = {
    "colour": ["red", "blue", "green"],
    "shape": ["a circle", "a star", "a square"],
}
SCENES = ["a red circle", "a blue star", "a green square"]


@pytest.fixture(scope="module")
def clf(shapes_clip: Path) -> unseen.Classifier:
    return unseen.load(shapes_clip)


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    paths = []
    for i, scene in enumerate(SCENES):
        paths.append(tmp_path / f"{i}.png")
        shapes.draw(shapes.scene(scene), i).save(paths[-1])
    return paths


def test_each_set_answers_as_it_does_alone(clf: unseen.Classifier, photos: list[Path]) -> None:
    options: dict[str, Any] = {"top_k": 2, "min_score": 0.1}
    together = list(clf.classify_facets([*photos, "missing.png"], SETS, **options))
    assert [p.labels for p in together[:3]] == [
        {"colour": "red", "shape": "a circle"},
        {"colour": "blue", "shape": "a star"},
        {"colour": "green", "shape": "a square"},
    ]
    for name, labels in SETS.items():
        alone = list(clf.classify_many(photos, labels, **options))
        assert [p[name] for p in together[:3]] == alone
    assert not together[3] and together[3].error and together[3].facets == {}
    assert set(together[3].to_dict()) == {"source", "error"}


def test_a_picture_is_encoded_once(
    clf: unseen.Classifier, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNSEEN_CACHE_BYTES", "0")
    count = 0
    own = clf.encoder.stream_images

    def stream(*arguments: Any, **options: Any) -> Any:
        nonlocal count
        for encoded in own(*arguments, **options):
            count += 1
            yield encoded

    monkeypatch.setattr(clf.encoder, "stream_images", stream)
    assert len(list(clf.classify_facets(photos, SETS))) == count == 3


def test_options_of_each_set(clf: unseen.Classifier, photos: list[Path], tmp_path: Path) -> None:
    """Thresholds, background labels and templates of label files; yes or no for one set."""
    (tmp_path / "tags.yaml").write_text(
        "labels:\n  red: {threshold: 0.9999}\n  a circle: {threshold: 0.0}\n  a star:\n"
    )
    (tmp_path / "thing.yaml").write_text(
        "labels: [a star, a square]\nbackground: [a circle]\ntemplates: ['a drawing of {}']\n"
    )
    sets = {name: tmp_path / f"{name}.yaml" for name in ("tags", "thing")}
    first = next(clf.classify_facets(photos, sets, multi_label=["tags"]))
    assert first["tags"] == next(clf.classify_many(photos, sets["tags"], multi_label=True))
    assert first["thing"] == next(clf.classify_many(photos, sets["thing"]))
    assert first["thing"].unknown and first.labels["thing"] is None
    both = next(clf.classify_facets(photos, sets, multi_label=True))
    assert both["thing"] == next(clf.classify_many(photos, sets["thing"], multi_label=True))
    with pytest.raises(unseen.LabelError, match="no label set 'tag'; the sets are: tags, thing"):
        clf.classify_facets(photos, sets, multi_label=["tag"])


def test_the_evidence_of_each_set(clf: unseen.Classifier, photos: list[Path]) -> None:
    first = next(clf.classify_facets(photos, {"scene": SCENES, "other": ["a boat", "a moon"]},
                                     unknown="auto"))  # fmt: skip
    assert (
        first["scene"].evidence == next(clf.classify_many(photos, SCENES, unknown="auto")).evidence
    )
    assert first["scene"].evidence != first["other"].evidence


def test_the_calibration_beside_each_file(clf: unseen.Classifier, tmp_path: Path) -> None:
    pictures = []
    for i in range(36):
        path = tmp_path / SCENES[i % 3] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        shapes.draw(shapes.scene(SCENES[i % 3]), i).save(path)
        pictures.append(path)
    (tmp_path / "scene.txt").write_text("\n".join(SCENES))
    (tmp_path / "colour.txt").write_text("red\nblue\ngreen\n")
    compiled = clf.compile(tmp_path / "scene.txt")
    calibration = unseen.calibrate(clf, tmp_path, compiled)
    calibration.save(tmp_path / "scene.calibration.json")
    sets = {name: tmp_path / f"{name}.txt" for name in ("scene", "colour")}
    facets = clf.compile_facets(sets)
    assert facets["scene"].decision.calibration is not None
    assert facets["colour"].decision.calibration is None
    assert clf.compile_facets(sets, calibration=None)["scene"].decision.calibration is None


@pytest.mark.parametrize(
    "names, words",
    [
        ([], "no label sets"),
        (["source"], "cannot be called 'source'"),
        (["meta.x"], "cannot be called 'meta.x'"),
        (["a", "a"], "two label sets are called 'a'"),
        (["a", "a.score"], "'a.score' begins as the columns of another"),
        ([" "], "a text of a line"),
        (["a\nb"], "a text of a line"),
        ([f"{i}" for i in range(MAX_FACETS + 1)], "at most 32"),
    ],
)
def test_names_that_cannot_be_columns(names: list[str], words: str) -> None:
    with pytest.raises(unseen.LabelError, match=words):
        check_names(names)


def test_transductive(clf: unseen.Classifier, photos: list[Path]) -> None:
    facets = clf.compile_facets(SETS, calibration=None)
    encoded = list(clf.encoder.stream_images(photos))
    together = list(clf.transduce_facets(encoded, facets))
    for name, facet in facets.items():
        alone = list(clf.transduce(encoded, facet.labels, facet.decision))
        assert [p[name] for p in together] == alone
