"""Folders, globs and iterables → named items."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hostile
import unseen
from unseen.sources.expand import count, expand

PNG = hostile.encoded("PNG")
PLAIN = np.asarray(hostile.picture())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.png", "a.JPG", "sub/c.webp", "sub/.hidden.png", ".d/e.png", "notes.txt"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PNG)
    (tmp_path / "photos" / "sub" / "loop").symlink_to(tmp_path / "photos")
    return tmp_path / "photos"


def names(sources: Any, folder: Path) -> list[str]:
    return [Path(s.name).relative_to(folder).as_posix() for s in expand(sources)]


def test_a_folder_is_walked_in_order_without_what_is_hidden(folder: Path) -> None:
    assert names(folder, folder) == ["a.JPG", "b.png", "sub/c.webp"]
    assert names(str(folder), folder) == ["a.JPG", "b.png", "sub/c.webp"]
    assert count(folder) == 3


def test_globs(folder: Path) -> None:
    assert names(f"{folder}/*.png", folder) == ["b.png"]
    assert names(f"{folder}/**/*.webp", folder)[0] == "sub/c.webp"
    (folder / "odd[1].png").write_bytes(PNG)
    assert names(f"{folder}/odd[1].png", folder) == ["odd[1].png"]  # a file, not a pattern


def test_iterables_are_lazy_and_one_bad_path_stops_nothing(folder: Path) -> None:
    def endless() -> Iterator[str]:
        while True:
            yield "nowhere.png"

    stream = expand(endless())
    assert [next(stream).name for _ in range(3)] == ["nowhere.png"] * 3
    mixed = [folder, "nowhere.png", PLAIN, PNG]
    assert [Path(s.name).name for s in expand(mixed)] == [
        "a.JPG", "b.png", "c.webp", "nowhere.png", "image 2", "image 3",
    ]  # fmt: skip
    assert count(mixed) == 6
    assert len(list(expand(np.zeros((5, 8, 8, 3), np.uint8)))) == 5


@pytest.mark.parametrize("what", ["empty", "empty/*.png"])
def test_nothing_in_it(what: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(unseen.SourceError, match="no pictures in it"):
        list(expand(str(tmp_path / what)))
