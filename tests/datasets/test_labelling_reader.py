"""A labelling, read as labelled pictures: what a person decided, about contents and not names."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import shapes
import unseen
from cli.test_commands import unseen as command
from unseen.annotation.labelling import Labelling
from unseen.datasets.readers import read_annotations
from unseen.errors import SourceError, StoreError, UnseenWarning

NAMES = ("red circle", "blue square", "green star")
SHAPES = ("-m", "tests/fixtures/shapes-clip")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures of each label, all in one folder; nine of the twelve are reviewed."""
    folder = tmp_path_factory.mktemp("drawn") / "photos"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        for seed in range(4):
            shapes.draw(shapes.scene(name), seed).save(folder / f"{number}{seed}.png")
    with unseen.label(unseen.load("tests/fixtures/shapes-clip"), folder, NAMES) as labelling:
        for picture in list(labelling.pictures()):
            number, seed = map(int, picture.paths[0][:2])
            if seed < 3:
                labelling.decide(picture.id, "label", NAMES[number])
    return folder


@pytest.fixture
def photos(drawn: Path, tmp_path: Path) -> Path:
    shutil.copytree(drawn, tmp_path / "photos")
    return tmp_path / "photos"


def test_what_was_reviewed_alone(photos: Path) -> None:
    with Labelling.open(photos) as labelling:
        skipped, none, *_ = (p for p in labelling.pictures() if p.verdict == "label")
        labelling.decide(skipped.id, "skip")
        labelling.decide(none.id, "none")
    annotations = read_annotations(photos)
    assert len(annotations) == 7
    assert all(a.labels == (NAMES[int(a.path.name[0])],) for a in annotations)
    assert all(a.path.is_file() and len(a.columns["content"]) == 32 for a in annotations)
    assert read_annotations(photos / ".unseen" / "labelling-labels.sqlite") == annotations


def test_a_decision_follows_the_content(photos: Path) -> None:
    shutil.copy(photos / "00.png", photos / "copy.png")
    unseen.label(unseen.load("tests/fixtures/shapes-clip"), photos, NAMES).close()
    (photos / "00.png").unlink()
    (photos / "10.png").unlink()
    shutil.copy(photos / "20.png", photos / "11.png")  # another picture of the same name
    with pytest.warns(UnseenWarning, match="2 pictures of its labelling are gone, or have changed"):
        annotations = read_annotations(photos)
    labels = {a.path.name: a.labels[0] for a in annotations}
    assert labels["copy.png"] == "red circle" and len(labels) == 7
    assert not {"00.png", "10.png", "11.png"} & labels.keys()


def test_folders_that_are_classes_come_first(photos: Path) -> None:
    (photos / "square").mkdir()
    shutil.copy(photos / "10.png", photos / "square" / "a.png")
    with pytest.warns(UnseenWarning, match="give .*labelling-labels.sqlite"):
        annotations = read_annotations(photos)
    assert [a.labels for a in annotations if a.labels] == [("square",)]


def test_what_cannot_be_read(photos: Path, tmp_path: Path) -> None:
    store = photos / ".unseen"
    usual = store / "labelling-labels.sqlite"
    with pytest.raises(SourceError, match="no such folder or file"):
        read_annotations(store / "labelling-other.sqlite")
    shutil.copy(usual, store / "labelling-one.sqlite")
    shutil.copy(usual, store / "labelling-two.sqlite")
    assert len(read_annotations(photos)) == 9
    usual.unlink()
    with pytest.raises(SourceError, match="has 2 labellings; give the file of one"):
        read_annotations(photos)
    (store / "labelling-two.sqlite").unlink()
    assert len(read_annotations(photos)) == 9
    with Labelling.open(photos, "one") as labelling:
        while labelling.undo() is not None:
            pass
    with pytest.raises(SourceError, match="nobody has given a picture"):
        read_annotations(photos)


def test_adapt_eval_and_calibrate_take_a_labelled_folder(photos: Path, tmp_path: Path) -> None:
    adapter, calibration = tmp_path / "a.safetensors", tmp_path / "c.json"
    facts = json.loads(command("adapt", photos, "-o", adapter, *SHAPES, "--json").stdout)
    assert sorted(facts["labels"]) == sorted(NAMES) and facts["pictures"] == 9
    report = json.loads(command("eval", photos, *SHAPES, "--json").stdout)
    assert report["pictures"] == 9
    labels = ",".join(NAMES)
    done = command("calibrate", photos, "-l", labels, "-o", calibration, *SHAPES)
    assert "9 pictures" in done.stderr


def test_a_labelling_lies_elsewhere_where_nothing_may_be_written(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of the pictures holds nothing of ours afterwards, and all commands find it."""
    photos = tmp_path / "photos"
    shutil.copytree(drawn, photos, ignore=shutil.ignore_patterns(".unseen"))
    monkeypatch.setenv("UNSEEN_INDEX_HOME", str(tmp_path / "home"))
    with unseen.label(unseen.load("tests/fixtures/shapes-clip"), photos, NAMES) as labelling:
        file = labelling.path
        for picture in list(labelling.pictures())[:6]:
            labelling.decide(picture.id, "label", NAMES[int(picture.paths[0][0])])
    assert not (photos / ".unseen").exists() and file.is_relative_to(tmp_path / "home")
    annotations = read_annotations(photos)
    assert len(annotations) == 6 and all(a.path.parent == photos for a in annotations)
    command("label", "info", photos)
    command("label", "export", photos, "-o", tmp_path / "out", "--format", "csv")
    monkeypatch.delenv("UNSEEN_INDEX_HOME")
    assert read_annotations(file) == annotations  # it says itself where its pictures are
    with pytest.raises(StoreError, match="there is no labelling"):
        Labelling.open(photos)


def test_one_beside_its_pictures_stays_there(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNSEEN_INDEX_HOME", str(tmp_path / "home"))
    assert len(read_annotations(photos)) == 9
    with Labelling.open(photos) as labelling:
        assert labelling.path.parent == photos / ".unseen"
