"""Videos in the place of pictures: a labelled folder of them is measured, and learnt from."""

from __future__ import annotations

from pathlib import Path

import pytest

import unseen
from films import encode, story
from unseen.datasets.readers import read_annotations
from unseen.index.encoding import encode_annotations

LABELS = ["a red circle", "a blue square", "a green star"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("videos")
    for label in LABELS:
        (root / label.replace(" ", "_")).mkdir()
        for number in range(2):
            name = root / label.replace(" ", "_") / f"{number}.mp4"
            encode(name, story([(label, 20)]))
    return root


def test_a_folder_of_videos_is_a_data_set(folder: Path, shapes_clip: Path) -> None:
    annotations = read_annotations(folder)
    assert len(annotations) == 6 and all(a.is_video for a in annotations)
    report = unseen.evaluate(unseen.load(shapes_clip), folder)
    data = report.to_dict()
    assert data["pictures"] == 6
    assert data["candidates"][0]["mistakes"] == []


def test_a_broken_one_is_an_error_among_the_others(
    folder: Path, shapes_clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "cat").mkdir()
    encode(tmp_path / "cat" / "a.mp4", story([(LABELS[0], 10)]))
    (tmp_path / "cat" / "b.mp4").write_bytes(b"no video")
    encoder = unseen.load(shapes_clip).encoder
    encoded = encode_annotations(encoder, read_annotations(tmp_path), tmp_path)
    assert [*encoded.errors] == [1] and "no video" in encoded.errors[1]


def test_pictures_beside_videos_are_read_alone(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a.jpg").write_bytes(Path("examples/cat.jpg").read_bytes())
    (tmp_path / "cat" / "b.mp4").write_bytes(b"")
    assert [a.path.name for a in read_annotations(tmp_path)] == ["a.jpg"]
