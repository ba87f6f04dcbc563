"""Labelled pictures as rows of a file: CSV and JSON lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from unseen.datasets.readers import read_annotations
from unseen.errors import SourceError


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(
        '{"path": "a b.jpg", "label": "cat", "score": 0.5, "reviewed": true, "width": null}\n'
        '\n{"label": "=1", "path": "sub/\\u732b.jpg"}\n',
        "utf-8",
    )
    first, second = read_annotations(path)
    assert first.path == tmp_path / "a b.jpg" and first.labels == ("cat",)
    assert first.columns == {
        "path": "a b.jpg", "label": "cat", "score": "0.5", "reviewed": "true", "width": ""
    }  # fmt: skip
    assert second.path == tmp_path / "sub" / "猫.jpg" and second.labels == ("=1",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"path": "a.jpg"}', "line 1 is not a row: it must have path and label"),
        ('{"path": "a.jpg", "label": "cat"}\n[1]', "line 2 is not a row"),
        ("path,label", "line 1 is not a row"),
        ('{"path": "", "label": "cat"}', "line 1 has no path"),
        ("\n", "the file has no rows"),
        ('{"path": "a.jpg", "label": "cat;dog"}', "several labels a picture need --multi"),
    ],
)
def test_json_lines_that_are_none(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(text)
    with pytest.raises(SourceError, match=said):
        read_annotations(path)


def test_a_cell_made_harmless_is_read_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("path,label\n./=a.jpg,'=1+1\nb.jpg,'tis\n")
    found = read_annotations(path)
    assert [(e.path.name, e.labels[0]) for e in found] == [("=a.jpg", "=1+1"), ("b.jpg", "'tis")]


def test_line_ends_in_names_and_of_any_system(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    for end in ("\n", "\r\n"):
        path.write_bytes(f'path,label{end}"a\rb\nc.jpg",cat{end}d.jpg,dog{end}'.encode())
        assert [e.path.name for e in read_annotations(path)] == ["a\rb\nc.jpg", "d.jpg"]
