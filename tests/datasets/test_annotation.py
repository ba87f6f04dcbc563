"""What people said that pictures show: read by one rule wherever it is wanted."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from unseen import SourceError
from unseen.datasets.readers import read_annotations


def test_labelled_pictures_are_read_by_one_rule(tmp_path: Path) -> None:
    for name in ("polar_bear/1.png", "polar  bear/deeper/2.png", "cat/3.png", "4.png"):
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(path)
    found = {e.path.name: e.labels for e in read_annotations(tmp_path / "folder")}
    assert found == {
        "1.png": ("polar bear",), "2.png": ("polar bear",), "3.png": ("cat",), "4.png": (),
    }  # fmt: skip
    table = tmp_path / "table.csv"
    table.write_text("label, path,who\ncat,a.png,me\ndog,a.png,you\n cat; dog,b.png,me\n,c.png,me")
    with pytest.raises(SourceError, match=r"a\.png has the labels cat, dog; .*--multi"):
        read_annotations(table)
    read = read_annotations(table, multi_label=True)
    assert [(e.path, e.labels, e.columns["who"]) for e in read] == [
        (tmp_path / "a.png", ("cat", "dog"), "me"),
        (tmp_path / "b.png", ("cat", "dog"), "me"),
        (tmp_path / "c.png", (), "me"),
    ]
    table.write_text("path,label\na.png,cat\na.png,cat\n")
    assert [e.labels for e in read_annotations(table)] == [("cat",)]
