"""Pages of a TIFF file; the judge is Pillow, which goes to each by itself."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hostile
import unseen
from running import unseen as run
from unseen.images.open import open_image
from unseen.sources.containers import tiff
from unseen.sources.expand import count, expand, fields_of

SHAPES = ["-m", "tests/fixtures/shapes-clip"]


def pictures(mode: str) -> list[Image.Image]:
    rgb = [hostile.picture(seed=seed) for seed in range(3)]
    if mode == "I;16":
        arrays = [np.asarray(image.convert("L"), dtype=np.uint16) * 257 for image in rgb]
        return [Image.fromarray(array) for array in arrays]
    return [image.convert(mode) for image in rgb]


def write(path: Path, mode: str = "RGB", **options: object) -> Path:
    first, *others = pictures(mode)
    first.save(path, "TIFF", save_all=True, append_images=others, **options)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {}),
        ("RGB", {"compression": "tiff_lzw"}),
        ("RGB", {"compression": "jpeg", "quality": 95}),
        ("RGB", {"compression": "tiff_adobe_deflate", "big_tiff": True}),
        ("1", {"compression": "group4"}),
        ("L", {"compression": "packbits"}),
        ("P", {}),
        ("CMYK", {}),
        ("I;16", {}),
        ("RGBA", {}),
    ],
)
def test_each_page_is_that_which_pillow_finds(tmp_path: Path, mode: str, options: object) -> None:
    path = write(tmp_path / "scan.tif", mode, **options)  # type: ignore[arg-type]
    items = list(expand(path))
    assert [item.name for item in items] == [f"{path}#page={i}" for i in (1, 2, 3)]
    assert [item.meta for item in items] == [{"page": i} for i in (1, 2, 3)]
    assert count(path) == 3 and fields_of(path) == ("page",)
    with Image.open(path) as image:
        for page, item in enumerate(items):
            image.seek(page)
            with Image.open(io.BytesIO(item.content.read())) as alone:
                assert np.array_equal(np.asarray(alone), np.asarray(image))
    assert open_image(items[1].content).size == hostile.SIZE


def test_a_file_of_one_page_is_a_picture_as_ever(tmp_path: Path) -> None:
    hostile.picture().save(tmp_path / "one.tif")
    (item,) = expand(tmp_path / "one.tif")
    assert item.content == tmp_path / "one.tif" and item.meta == {}
    assert fields_of(tmp_path / "one.tif") == ()


def test_a_small_version_of_a_page_is_no_page(tmp_path: Path) -> None:
    first, second, _ = pictures("RGB")
    reduced = Image.new("RGB", (4, 4))
    reduced.encoderinfo = {"tiffinfo": {254: 1}}
    path = tmp_path / "scan.tif"
    first.save(path, save_all=True, append_images=[reduced, second])
    content = bytearray(path.read_bytes())
    if [item.meta["page"] for item in expand(path)] == [1, 2, 3]:
        # This Pillow does not write the tag of an appended page: it is set in the second directory.
        (offset,) = struct.unpack_from("<I", content, 4)
        (entries,) = struct.unpack_from("<H", content, offset)
        (offset,) = struct.unpack_from("<I", content, offset + 2 + 12 * entries)
        struct.pack_into("<HHII", content, offset + 2, 254, 4, 1, 1)
        path.write_bytes(content)
    assert [item.meta["page"] for item in expand(path)] == [1, 3]


def broken(path: Path, kind: str) -> Path:
    content = bytearray(write(path).read_bytes())
    (first,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, first)
    following = first + 2 + 12 * entries
    (second,) = struct.unpack_from("<I", content, following)
    if kind == "a loop":
        struct.pack_into("<I", content, following, first)
    elif kind == "a next page that is nowhere":
        struct.pack_into("<I", content, following, 2**32 - 9)
    elif kind == "a million entries":
        struct.pack_into("<H", content, second, 65_535)
    elif kind == "strips of 4 GB":
        for entry in range(second + 2, second + 2 + 12 * entries, 12):
            if struct.unpack_from("<H", content, entry)[0] == 279:
                struct.pack_into("<HII", content, entry + 2, 4, 1, 2**32 - 1)
    elif kind == "cut":
        content = content[:second]
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "kind",
    ["a loop", "a next page that is nowhere", "a million entries", "strips of 4 GB", "cut"],
)
def test_a_damaged_chain_ends_and_harms_nobody(tmp_path: Path, kind: str) -> None:
    items = list(expand(broken(tmp_path / "scan.tif", kind)))
    assert 1 <= len(items) <= 3
    for item in items:
        try:
            open_image(item.content)
        except unseen.UnseenError as error:
            assert len(str(error)) < 400
    open_image(items[0].content)  # the first page is whole in all of them


def test_no_more_pages_than_there_is_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiff, "MAX_PAGES", 2)
    *pages, last = expand(write(tmp_path / "scan.tif"))
    assert len(pages) == 2
    with pytest.raises(unseen.SourceError, match="more than 2 pages"):
        open_image(last.content)


def test_rows_of_a_command_have_the_page(tmp_path: Path) -> None:
    path = write(tmp_path / "scan.tif")
    run("classify", path, "-l", "cat,dog", *SHAPES, "-o", tmp_path / "out.csv")
    header, *rows = (tmp_path / "out.csv").read_text("utf-8-sig").splitlines()
    assert "page" in header.split(",") and len(rows) == 3 and "scan.tif#page=3" in rows[2]
