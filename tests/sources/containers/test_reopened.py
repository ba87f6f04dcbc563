"""An item of an archive, a table or a document, opened again by its name."""

from __future__ import annotations

import base64
import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

import hostile
import unseen
from many_sources import FILES, as_packed_tar, as_parquet, as_tar
from unseen.images.open import open_image
from unseen.sources.containers.cursor import Cursor
from unseen.sources.expand import expand
from unseen.sources.item import Source
from unseen.sources.registry import part_of

PNG = hostile.encoded("PNG")
PARTS = [name for name in FILES if name not in ("folder", "CSV", "JSON lines")]


@pytest.mark.parametrize("kind", PARTS)
def test_every_item_is_opened_by_its_key(tmp_path: Path, kind: str) -> None:
    source = FILES[kind](tmp_path)
    items = list(expand(source))
    keys = [item.key or item.name for item in items]
    assert len({*keys}) == 4
    streamed = [np.asarray(open_image(item.content)) for item in items]
    for given in (str, Path):  # a Path drops the ./ of a member
        again = [np.asarray(open_image(given(key))) for key in reversed(keys)]
        assert all(map(np.array_equal, streamed, reversed(again)))


@pytest.mark.parametrize("kind", ["CSV", "JSON lines"])
def test_a_picture_in_a_list_is_opened_by_its_row(tmp_path: Path, kind: str) -> None:
    content = base64.b64encode(hostile.encoded("BMP")).decode()
    table = tmp_path / ("list.csv" if kind == "CSV" else "list.jsonl")
    lines = ["image", content, content] if kind == "CSV" else [json.dumps({"image": content})] * 2
    table.write_text("\n".join(lines) + "\n", "utf-8")
    assert len(content) > 10_000 and [item.key for item in expand(table)][1] == f"{table}#row=2"
    assert open_image(f"{table}#row=2").size == hostile.SIZE
    with pytest.raises(unseen.SourceError, match="there is no such row"):
        open_image(f"{table}#row=3")


@pytest.mark.parametrize(
    ("kind", "part", "reason"),
    [
        ("zip", "!/none.png", "no such member"),
        ("tar", "!/none.png", "no such member"),
        ("packed tar", "!/none.png", "no such member"),
        ("Parquet", "#row=5", "no such row"),
        ("Arrow", "#row=0", "no such row"),
        ("TIFF", "#page=5", "no such page"),
        ("PDF", "#page=0", "no such page"),
    ],
)
def test_an_item_that_is_not_there_is_said(
    tmp_path: Path, kind: str, part: str, reason: str
) -> None:
    with pytest.raises(unseen.SourceError, match=reason):
        open_image(f"{FILES[kind](tmp_path)}{part}")


def test_an_archive_written_anew_is_read_anew(tmp_path: Path) -> None:
    path = as_tar(tmp_path)
    before = open_image(f"{path}!/000.png")
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("000.png")
        info.size = len(PNG)
        archive.addfile(info, io.BytesIO(PNG))
    assert before.size != open_image(f"{path}!/000.png").size == hostile.SIZE


@pytest.mark.parametrize("name", ["../a.png", "/a.png", "a/../../a.png"])
def test_a_name_that_leads_out_is_not_opened(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, PNG)
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(PNG)
        tar.addfile(info, io.BytesIO(PNG))
    (tmp_path / "a.png").write_bytes(PNG)
    for archive_name in ("a.zip", "a.tar"):
        with pytest.raises(unseen.SourceError):
            open_image(f"{tmp_path / archive_name}!/{name}")


def test_a_member_that_would_grow_is_not_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", b"\0" * 20_000_000)
    with pytest.raises(unseen.SourceError, match="would grow"):
        open_image(f"{tmp_path / 'a.zip'}!/bomb.png")


def test_a_file_is_itself_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a#page=1.png"
    path.write_bytes(PNG)
    assert part_of(path) is None and open_image(path).size == hostile.SIZE
    with pytest.raises(unseen.SourceError, match="there is no such file"):
        open_image(tmp_path / "none.zip!" / "a.png")


def test_a_packed_archive_is_read_once_for_what_follows_in_it(tmp_path: Path) -> None:
    begun = 0

    def read(_: str) -> object:
        nonlocal begun
        begun += 1
        return (Source(str(i), b"x", {"row": i}) for i in range(1000))

    cursor = Cursor(read, lambda item: item.name)  # type: ignore[arg-type]
    order = [1, 0, 3, 2, 500, 400, 700]
    assert [cursor.item(str(i)).meta["row"] for i in order] == order  # type: ignore[union-attr]
    assert begun == 1
    assert cursor.item("3").meta["row"] == 3 and begun == 2  # type: ignore[union-attr]
    assert cursor.item("none") is None


def test_keys_are_no_paths_of_this_machine(tmp_path: Path) -> None:
    """The path that a row of Hugging Face has is a name, and opens nothing."""
    items = list(expand(as_parquet(tmp_path)))
    assert items[0].name.endswith("red_circle/0.png") and items[0].key.endswith("#row=1")
    with tarfile.open(as_packed_tar(tmp_path)) as archive:
        assert "./000.png" in archive.getnames()
