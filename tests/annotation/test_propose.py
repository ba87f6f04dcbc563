"""`unseen.label`: what the command does, from Python."""

from __future__ import annotations

from pathlib import Path

import pytest

import shapes
import unseen
from unseen.annotation.labelling import Labelling

LABELS = ["a red circle", "a blue star"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for i, scene in enumerate(["red circle", "blue star", "red circle"]):
        shapes.draw(shapes.scene(scene), i).save(tmp_path / f"{i} {scene}.png")
    (tmp_path / "broken.png").write_bytes(b"broken")
    return tmp_path


def test_it_proposes_and_gives_the_labelling(shapes_clip: Path, photos: Path) -> None:
    clf = unseen.load(shapes_clip)
    reports: list[tuple[int, int]] = []
    with unseen.label(
        clf, photos, LABELS, progress=lambda done, total: reports.append((done, total))
    ) as labelling:
        proposals = {picture.paths[0]: picture for picture in labelling.pictures()}
        assert [*labelling.names] == LABELS and labelling.status().reviewed == 0
        assert proposals["broken.png"].error is not None
        for name, picture in proposals.items():
            assert picture.error is not None or picture.label == f"a {name[2:-4]}"
    assert reports[-1] == (4, 4)
    with Labelling.open(photos) as again:  # it is on the disk
        assert again.manifest["options"] == {
            "sure": 0.9, "exact": False, "precision": "fp32", "unknown": None,
        }  # fmt: skip


def test_a_threshold_takes_no_picture(shapes_clip: Path, photos: Path) -> None:
    clf = unseen.load(shapes_clip)
    reports: list[int] = []
    unseen.label(clf, photos, LABELS, sure=1.0).close()
    with unseen.label(
        clf, photos, LABELS, sure=0.0, progress=lambda done, total: reports.append(total)
    ) as labelling:
        assert labelling.status().piles["sure"] == 3
    assert sum(reports) == 0
    with pytest.raises(unseen.LabelError, match="sure"):
        unseen.label(clf, photos, LABELS, sure=2.0)
