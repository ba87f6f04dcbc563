"""`unseen label` and `label info`, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import shapes
from cli.test_commands import unseen
from unseen.annotation.labelling import Labelling

SHAPES = ("-m", "tests/fixtures/shapes-clip")
LABELS = "red circle,blue square,green star"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for place, label in enumerate(LABELS.split(",")):
        for seed in range(3):
            shapes.draw(shapes.scene(label), seed).save(tmp_path / "photos" / f"{place}{seed}.png")
    return tmp_path / "photos"


def test_propose_review_and_look(photos: Path) -> None:
    done = unseen("label", photos, "-l", LABELS, *SHAPES, "--sure", 0)
    assert done.stdout.splitlines() == [
        "9 pictures: 9 sure, 0 unsure",
        *(f"        3  {label}" for label in LABELS.split(",")),
    ]
    assert unseen("label", "info", photos).stdout == done.stdout
    with Labelling.open(photos) as labelling:
        for picture, verdict in zip(labelling.queue(4), ("none", "skip"), strict=False):
            labelling.decide(picture.id, verdict)
        one = labelling.queue(1)[0]
        labelling.decide(one.id, "label", one.proposed)
    lines = unseen("label", "info", photos).stdout.splitlines()
    assert lines[-2] == (
        "reviewed: 3 (1 got a label, 1 none of these, 1 skipped); the model was right on 1 of 2, "
        "doubtful ones first"
    )
    assert lines[-1] == "sure pile, at random: right on 1 of 2, so 9% to 91% of all"

    # Other labels, from the same look: what was decided stays.
    again = json.loads(unseen("label", photos, "-l", "circle,star", *SHAPES, "--json").stdout)
    assert again["reviewed"] == 3 and again["verdicts"] == {"label": 1, "none": 1, "skip": 1}
    assert [*again["labels"]] == ["circle", "star", one.proposed]
    assert again["options"]["sure"] == 0.9 and again["model"] == SHAPES[1]
    assert again.pop("left_out") == {}  # of the folder, not of the labelling
    assert json.loads(unseen("label", "info", photos, "--json").stdout) == again


def test_several_labellings_of_a_folder(photos: Path) -> None:
    unseen("label", photos, "-l", "red,green,blue", *SHAPES, "--name", "colours", "-q")
    unseen("label", photos, "-l", "circle,star,square", *SHAPES, "--name", "shapes", "-q")
    colours = json.loads(unseen("label", "info", photos, "--name", "colours", "--json").stdout)
    assert [*colours["labels"]] == ["red", "green", "blue"]
    assert "no labelling 'labels'" in unseen("label", "info", photos, code=2).stderr


def test_a_broken_picture_is_told_and_the_rest_is_done(photos: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"nothing")
    done = unseen("label", photos, "-l", LABELS, *SHAPES, code=1)
    assert "10 pictures:" in done.stdout and "1 error" in done.stdout
    assert "broken.jpg" in done.stderr and "Traceback" not in done.stderr
    assert "broken.jpg" in unseen("label", "info", photos).stderr


def test_what_is_refused(photos: Path, tmp_path: Path) -> None:
    assert "no labels were given" in unseen("label", photos, code=2).stderr
    assert "no such folder" in unseen("label", tmp_path / "no", "-l", "a,b", code=2).stderr
    (tmp_path / "empty").mkdir()
    assert "no pictures" in unseen("label", tmp_path / "empty", "-l", "a,b", code=2).stderr
    assert "cannot name" in unseen("label", photos, "-l", "a,b", "--name", "../x", code=2).stderr
