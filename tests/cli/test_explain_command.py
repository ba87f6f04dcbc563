"""`unseen explain`: files, lines, errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import shapes
from running import unseen

SCENE = shapes.scene("a red circle")
LABELS = "a red circle,a blue square,a green cross,a black star,a pink heart"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    shapes.draw(SCENE, 5).save(path)
    return path


def explain(model: Path, *arguments: object, code: int = 0) -> str:
    done = unseen("explain", *arguments, "-l", LABELS, "-m", model, "--method", "parts", code=code)
    return done.stdout if code == 0 else done.stdout + done.stderr


def test_a_picture_is_explained_in_a_few_lines(shapes_clip: Path, photo: Path) -> None:
    text = explain(shapes_clip, photo)
    assert text.startswith(f"{photo}: a red circle ")
    assert "Without the marked tenth: a red circle" in text
    assert "words: " in text


def test_every_kind_of_file(shapes_clip: Path, photo: Path, tmp_path: Path) -> None:
    page, drawing = tmp_path / "why.html", tmp_path / "why.png"
    mask, boxes, rows = tmp_path / "mask.png", tmp_path / "boxes.json", tmp_path / "why.json"
    explain(shapes_clip, photo, "-o", page, "--mask", mask, "--boxes", boxes)
    explain(shapes_clip, photo, "-o", drawing)
    explain(shapes_clip, photo, "-o", rows)
    html = page.read_text("utf-8")
    assert "data:image/jpeg;base64," in html and "Without the marked tenth" in html
    with Image.open(drawing) as image:
        assert image.width >= 240
    outline = shapes.outlines(SCENE, 5)[0]
    with Image.open(mask) as image:
        region = np.asarray(image) > 0
    assert region.shape == (64, 64)
    assert (region & outline).sum() / region.sum() > 0.5
    coco = json.loads(boxes.read_text())
    assert coco["images"][0]["width"] == 64
    assert coco["categories"] == [{"id": 1, "name": "a red circle"}]
    x, y, width, height = coco["annotations"][0]["bbox"]
    ys, xs = np.nonzero(outline)
    assert x <= xs.mean() <= x + width and y <= ys.mean() <= y + height
    assert "coarse" in coco["info"]["description"]
    (row,) = json.loads(rows.read_text())
    assert row["label"] == "a red circle" and np.array(row["grid"]).shape == (1, 8, 8)


def test_for_and_against_and_json(shapes_clip: Path, photo: Path) -> None:
    text = explain(
        shapes_clip, photo, "--for", "a blue square", "--against", "a red circle", "--json"
    )
    (row,) = json.loads(text)
    assert (row["label"], row["against"]) == ("a blue square", "a red circle")


def test_a_broken_picture_is_a_row_and_the_others_are_done(
    shapes_clip: Path, photo: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "notes.txt").write_text("no picture")
    page = tmp_path / "why.html"
    text = explain(shapes_clip, tmp_path, "-o", page, code=1)
    assert "broken.jpg" in text and "1 of 2 pictures explained" in text
    assert "left out: 1 other." in text
    assert "broken" in page.read_text("utf-8")


def test_the_nearest_labelled_pictures(shapes_clip: Path, photo: Path, tmp_path: Path) -> None:
    for label in ("a red circle", "a blue square"):
        folder = tmp_path / "examples" / label
        folder.mkdir(parents=True)
        for seed in range(2):
            shapes.draw(shapes.scene(label), seed).save(folder / f"{seed}.png")
    (row,) = json.loads(explain(shapes_clip, photo, "--examples", tmp_path / "examples", "--json"))
    assert row["neighbours"][0]["label"] == "a red circle"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-o", "why.txt"], "explain writes .html, .png, .json"),
        (["--mask", "m.jpg"], "--mask writes a .png file"),
        (["--boxes", "b.csv"], "--boxes writes a .json file"),
        (["--for", "a lynx"], "'a lynx' is not among the labels"),
        (["--method", "grad"], "unknown method 'grad'; choose one of: auto, parts, drop"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_mistakes_are_one_line(
    shapes_clip: Path, photo: Path, arguments: list[str], sentence: str
) -> None:
    done = unseen("explain", photo, "-l", LABELS, "-m", shapes_clip, *arguments, code=2)
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_drawing_holds_one_picture(shapes_clip: Path, photo: Path, tmp_path: Path) -> None:
    text = explain(shapes_clip, photo, photo, "-o", tmp_path / "why.png", code=2)
    assert "a .png file holds one picture" in text
