"""`unseen distil` of labelled pictures that no labelling has: several labels a picture, or one."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import unseen as library
from running import ROOT, unseen
from unseen.cli.commands.distil import distil
from unseen.errors import LabelError, ModelError, SourceError
from unseen.index.index import Index
from unseen.learning.distil.training_set import read_pictures

PHOTOGRAPHS = ROOT / "tests" / "photographs"
ANIMALS = ("cat", "fish")
TEACHER = ("--no-latency", "-m", "tests/fixtures/shapes-clip")
QUICK: dict[str, Any] = {"side": 128, "latency": False}


@pytest.fixture(scope="module")
def tags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs by name, animals with a second label; one without a label, and a broken one."""
    folder = tmp_path_factory.mktemp("tags")
    rows = [("examples/dog.jpg", "")]
    for name in (*ANIMALS, "castle"):
        for path in sorted((PHOTOGRAPHS / name).iterdir())[:3]:
            rows.append((str(path), f"{name}; animal" if name in ANIMALS else name))
    (folder / "broken.jpg").write_bytes(b"no picture")
    with (folder / "tags.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("path", "label"), ("broken.jpg", "cat")])
        csv.writer(file).writerows((ROOT / path, labels) for path, labels in rows)
    return folder / "tags.csv"


def test_a_table_of_several_labels_a_picture_becomes_a_model(tags: Path, tmp_path: Path) -> None:
    file = tmp_path / "tags.onnx"
    done = unseen("distil", tags, "-o", file, "--multi", "--side", 128, *TEACHER, code=1)
    assert "broken.jpg: not a picture" in done.stderr and "1 of 11 pictures" in done.stderr
    assert "4 labels, from 9 reviewed pictures and 1 as proposed" in done.stdout
    assert "F1 of all labels" in done.stdout and "beside it, tags.card.md" in done.stdout
    assert "unseen adapt" not in done.stderr  # which learns one label a picture
    assert "F1 of all labels" in file.with_name("tags.card.md").read_text("utf-8")
    student = library.load(file, device="cpu")
    cat = student.classify(PHOTOGRAPHS / "cat" / "cat_1.jpg", multi_label=True)
    assert {"cat", "animal"} <= {scored["label"] for scored in cat}
    castle = student.classify(PHOTOGRAPHS / "castle" / "castle_1.jpg", multi_label=True)
    assert [scored["label"] for scored in castle] == ["castle"]


def test_folders_of_one_label_and_another_teacher(
    shapes_clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("cat", "fish"):
        shutil.copytree(PHOTOGRAPHS / name, tmp_path / "data" / name)
    model = {"model": str(shapes_clip)}
    out = tmp_path / "two.onnx"
    distil(tmp_path / "data", out, **QUICK, **model, as_json=True)
    card = json.loads(capsys.readouterr().out)
    assert [row["label"] for row in card["labels"]] == ["cat", "fish"]
    assert card["teacher"]["name"] == str(shapes_clip) and "f1" not in card["figures"]
    with pytest.raises(ModelError, match="not known to allow commercial use"):
        distil(tmp_path / "data", tmp_path / "c.onnx", **QUICK, **model, commercial=True)


def test_an_index_has_labels_and_a_video_is_refused(shapes_clip: Path, tmp_path: Path) -> None:
    for name, colour in (("cat", "red"), ("fish", "blue")):
        (tmp_path / name).mkdir()
        Image.new("RGB", (32, 32), colour).save(tmp_path / name / "1.png")
    with Index(tmp_path) as index:
        index.update(library.load(shapes_clip, device="cpu").encoder)
        file = index.file
    assert [picture.labels for picture in read_pictures(file)] == [("cat",), ("fish",)]
    (tmp_path / "a.csv").write_text("path,label\nclip.mp4,cat\n", "utf-8")
    with pytest.raises(SourceError, match=r"clip.mp4: .* unseen label .*clip.mp4"):
        read_pictures(tmp_path / "a.csv")


def test_what_cannot_be_learnt_from_is_said_before_a_model_is_loaded(
    tags: Path, tmp_path: Path
) -> None:
    nothing = {"model": "no/model", **QUICK}
    out = tmp_path / "a.onnx"
    with pytest.raises(SourceError, match="several labels a picture need --multi"):
        distil(tags, out, **nothing)
    for wrong in ({"name": "birds"}, {"unsure": True}, {"name": "birds", "multi": True}):
        with pytest.raises(SourceError, match="--name and --unsure are for what `unseen label`"):
            distil(tags, out, **nothing, **wrong)
    (tmp_path / "one.csv").write_text("path,label\na.jpg,cat\n", "utf-8")
    with pytest.raises(LabelError, match=r"at least two labels apart, and its pictures have cat"):
        distil(tmp_path / "one.csv", out, **nothing)
    with pytest.raises(SourceError, match=r"each folder is a class\. Or label it, as there is no"):
        distil(PHOTOGRAPHS / "cat", out, **nothing)
    assert not out.exists()
