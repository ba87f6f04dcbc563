"""What a folder, a glob or an archive has beside pictures is counted, by kind."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

import unseen
from unseen.sources.expand import expand, left_out
from unseen.sources.formats import counted

FILES = ["a.png", "b.JPG", "film.MP4", "sub/film.mov", "a.psd", "a.pdf", ".hidden.png", "no suffix"]
KINDS = {"video": 2, "PDF": 1, "Photoshop": 1, "other": 2}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in [*FILES, ".unseen/index.sqlite"]:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "photos"


def test_a_folder(folder: Path) -> None:
    assert left_out(str(folder)) == left_out([folder]) == KINDS
    assert [*left_out(folder)][-1] == "other"
    assert len([*expand(folder)]) + sum(KINDS.values()) == len(FILES)
    (folder / "album").symlink_to(folder / "sub")
    assert left_out(folder) == {**KINDS, "linked folder": 1}


def test_a_glob_counts_what_it_matches(folder: Path) -> None:
    assert left_out(f"{folder}/a.*") == {"PDF": 1, "Photoshop": 1}
    assert left_out(f"{folder}/*.png") == {}


def test_an_archive(folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.mkdir("empty")
        for name in FILES:
            archive.write(folder / name, name)
    assert left_out(tmp_path / "photos.zip") == KINDS
    (tmp_path / "broken.zip").write_bytes(b"PK")
    assert left_out(tmp_path / "broken.zip") == {}
    assert left_out([folder, tmp_path / "photos.zip", b"content", "a.png"])["video"] == 4


def test_a_folder_of_nothing_else_says_what_it_has(folder: Path) -> None:
    for name in ("a.png", "b.JPG"):
        (folder / name).unlink()
    with pytest.raises(
        unseen.SourceError, match="no pictures in it that can be read; it has 2 videos "
    ):
        [*expand(folder)]


def test_words() -> None:
    kinds = {"video": 1, "zip archive": 2, "HEIC": 1200, "other": 1}
    assert counted(kinds) == (
        "1 video (unseen video reads it), 2 zip archives (give it by its name), "
        "1,200 HEIC (pip install unseen[heif]), 1 other"
    )
