"""`~`, file:// and addresses that are not read; a slip of a name finds the one that was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

import hostile
import unseen
from unseen.sources.expand import count, expand

PNG = hostile.encoded("PNG")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with pictures, which is not where the program runs."""
    for name in ("photos/a b.png", "photos/c.png", "cat.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(PNG)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


def test_the_home_folder(home: Path) -> None:
    assert [Path(source.name) for source in expand("~/photos")] == [
        home / "photos" / "a b.png",
        home / "photos" / "c.png",
    ]
    assert count(["~/photos/*.png", "~/cat.png"]) == 3
    for source in ("~/cat.png", Path("~/cat.png")):
        assert unseen.open_image(source).size == hostile.picture().size


def test_file_addresses(home: Path) -> None:
    folder = (home / "photos").as_uri()
    assert count(folder) == 2
    for address in (
        f"{folder}/a%20b.png",
        f"{folder}/c.png".replace("file:///", "FILE://localhost/"),
    ):
        assert unseen.open_image(address).size == hostile.picture().size
        assert [source.error for source in unseen.load().encoder.stream_images(address)] == [None]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("file://server/share/a.png", "a file of another machine"),
        ("ftp://host/a.png", r"addresses of ftp:// are not read; copy the file.*https://"),
        ("~nobody-has-this-name/a.png", "there is no such file"),
        ("~/x\0.png", "there is no such file"),
    ],
)
def test_what_is_not_read(source: str, words: str, home: Path) -> None:
    with pytest.raises(unseen.SourceError, match=words):
        unseen.open_image(source)
    assert len(list(expand([source, b"..."]))) == 2  # it fails alone, when it is opened


def test_a_slip_of_a_name_finds_the_one_that_was_meant(home: Path) -> None:
    with pytest.raises(unseen.SourceError, match=r"no such file; did you mean .*cat\.png\?$"):
        unseen.open_image(str(home / "catt.png"))
    with pytest.raises(
        unseen.SourceError, match=r"no such file; did you mean examples/cat\.jpg\?$"
    ):
        unseen.open_image("examples/catt.jpg")
    with pytest.raises(unseen.SourceError, match=r"no such file\.$"):
        unseen.open_image(str(home / "something else.png"))
    with pytest.raises(unseen.SourceError, match=r"no such file\.$"):
        unseen.open_image(str(home / "no folder" / "cat.png"))
