"""The frames of a video that are worth a label, as files."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import unseen
from films import encode, story
from unseen.errors import SourceError, UnseenWarning
from unseen.video.extraction import extract, folder_of


def test_what_is_alike_is_left_out(tmp_path: Path, shapes_clip: Path) -> None:
    path = encode(tmp_path / "a.mp4", story([("a red circle", 40), ("a blue square", 40)]))
    encoder = unseen.load(shapes_clip).encoder
    files = extract(encoder, path, folder_of(path))
    assert [file.name for file in files] == ["a 00.00.00.000.jpg", "a 00.00.04.000.jpg"]
    with Image.open(files[1]) as picture:
        assert picture.size == (96, 96)
    with pytest.raises(SourceError, match="is there already"):
        extract(encoder, path, folder_of(path))


def test_a_cut_video_is_said_to_be(tmp_path: Path, shapes_clip: Path) -> None:
    path = encode(tmp_path / "a.mkv", story([("a red circle", 100)]))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.warns(UnseenWarning, match="it is cut short"):
        files = extract(unseen.load(shapes_clip).encoder, path, folder_of(path))
    assert len(files) == 1
