"""Images in zip archives: what is read, under which names, and what hostile archives cannot do."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
import time
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import hostile
import unseen
from unseen.images.limits import Limits
from unseen.images.open import open_image
from unseen.sources.containers import archives
from unseen.sources.expand import count, expand

PNG = hostile.encoded("PNG")
BMP = hostile.encoded("BMP")


def packed(
    path: Path, members: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED
) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def errors(path: Path) -> dict[str, str | None]:
    """Name in the archive → the error of opening it."""
    outcome: dict[str, str | None] = {}
    for source in expand(path):
        try:
            open_image(source.content)
            error = None
        except unseen.UnseenError as raised:
            error = str(raised)
        outcome[source.name.removeprefix(f"{path}!/")] = error
    return outcome


def test_the_images_of_an_archive_in_its_order_and_none_that_is_hidden(tmp_path: Path) -> None:
    names = [
        "b.png", "a/c.BMP", "notes.txt", ".hidden.png", ".d/e.png", "__MACOSX/._b.png", "in.zip",
        "a.png/", "a/d.png", "./e.png",
    ]  # fmt: skip
    path = packed(tmp_path / "photos.zip", {n: BMP if n.endswith("BMP") else PNG for n in names})
    sources = list(expand(path))
    members = ["b.png", "a/c.BMP", "a/d.png", "./e.png"]
    assert [s.name for s in sources] == [f"{path}!/{n}" for n in members]
    assert [s.meta for s in sources] == [{"member": n} for n in members]
    assert count(path) == 4 and count([str(path), "x.png", path]) == 9
    for source in sources:
        np.testing.assert_array_equal(np.asarray(open_image(source.content)), hostile.picture())


def test_members_are_read_in_threads_after_the_archive_has_come_to_its_end(tmp_path: Path) -> None:
    images = {f"{i}.png": hostile.encoded("PNG", hostile.picture(seed=i)) for i in range(40)}
    sources = list(expand([packed(tmp_path / "photos.ZIP", images)]))
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda source: np.asarray(open_image(source.content)), sources))
    for seed, pixels in enumerate(opened):
        np.testing.assert_array_equal(pixels, hostile.picture(seed=seed))


def test_only_the_suffix_of_a_file_makes_an_archive(tmp_path: Path) -> None:
    path = packed(tmp_path / "photos.zip", {"a.png": PNG})
    (tmp_path / "folder.zip").mkdir()
    (tmp_path / "folder.zip" / "b.png").write_bytes(PNG)
    assert [Path(s.name).name for s in expand(tmp_path / "folder.zip")] == ["b.png"]
    assert [s.name for s in expand("nowhere.zip")] == ["nowhere.zip"]
    address = "https://example.com/a.zip?size=small"
    assert [s.name for s in expand(address)] == [address]
    assert [Path(s.name).name for s in expand(tmp_path)] == ["b.png"]  # in folders as before
    assert path.exists()


def test_an_archive_without_images(tmp_path: Path) -> None:
    path = packed(tmp_path / "notes.zip", {"notes.txt": b"none"})
    with pytest.raises(unseen.SourceError, match="no pictures in it"):
        list(expand(path))


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\3\4" + b"\0" * 100])
def test_an_archive_that_cannot_be_read_is_one_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.zip"
    path.write_bytes(content)
    assert count(path) == 1
    with pytest.raises(unseen.SourceError, match=r"broken\.zip: this is not a zip archive"):
        open_image(next(expand([path])).content)


def test_broken_members_fail_alone(tmp_path: Path) -> None:
    path = packed(
        tmp_path / "p.zip", {"a.png": PNG, "b.png": b"text", "c.png": PNG}, zipfile.ZIP_STORED
    )
    content = bytearray(path.read_bytes())
    content[content.rindex(PNG) + 50] ^= 255  # of the last member
    path.write_bytes(content)
    messages = errors(path)
    assert messages["a.png"] is None
    assert "known format" in str(messages["b.png"])
    assert "CRC" in str(messages["c.png"])


# archives made to do harm


@pytest.mark.parametrize(
    "name",
    ["../up.png", "a/../../up.png", "/etc/cron.png", "..\\up.png", "\\\\host\\a.png", "C:\\a.png"],
)
def test_names_that_lead_out_of_the_archive(name: str, tmp_path: Path) -> None:
    messages = errors(packed(tmp_path / "p.zip", {name: PNG, "fine.png": PNG}))
    assert messages.pop("fine.png") is None
    assert "leads out" in str(messages.pop(name)) and not messages


def test_a_name_that_is_cut_off_by_a_null_byte(tmp_path: Path) -> None:
    path = packed(tmp_path / "p.zip", {"a.pngXb.exe": PNG})
    path.write_bytes(path.read_bytes().replace(b"a.pngXb.exe", b"a.png\0b.exe"))
    assert "leads out" in str(errors(path)["a.png"])


def test_of_a_name_that_is_there_twice_the_first_is_read(tmp_path: Path) -> None:
    path = packed(tmp_path / "p.zip", {"a.png": PNG, "b.png": BMP})
    path.write_bytes(path.read_bytes().replace(b"b.png", b"a.png"))
    first, second = expand(path)
    assert first.name == second.name and count(path) == 2
    np.testing.assert_array_equal(np.asarray(open_image(first.content)), hostile.picture())
    with pytest.raises(unseen.SourceError, match="this name twice"):
        open_image(second.content)


def test_an_encrypted_member(tmp_path: Path) -> None:
    path = packed(tmp_path / "p.zip", {"a.png": PNG})
    content = bytearray(path.read_bytes())
    for signature, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.rindex(signature) + at] |= 1
    path.write_bytes(content)
    assert "encrypted" in str(errors(path)["a.png"])


@pytest.mark.skipif(shutil.which("zip") is None, reason="Info-ZIP is not installed")
def test_an_archive_that_another_program_encrypted(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    subprocess.run(["zip", "-q", "-P", "secret", "p.zip", "a.png"], cwd=tmp_path, check=True)
    assert "encrypted" in str(errors(tmp_path / "p.zip")["a.png"])


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_cannot_be_bounded(method: int, tmp_path: Path) -> None:
    messages = errors(packed(tmp_path / "p.zip", {"a.png": PNG}, method))
    assert "not supported" in str(messages["a.png"])


def test_a_member_that_grows_beyond_measure_is_not_decompressed(tmp_path: Path) -> None:
    bomb = hostile.encoded("BMP", hostile.Image.new("RGB", (6000, 6000)))
    plain = hostile.encoded("BMP", hostile.Image.new("RGB", (400, 400)))  # small: it may
    path = packed(tmp_path / "p.zip", {"bomb.bmp": bomb, "plain.bmp": plain})
    messages = errors(path)
    assert "more than 200 times" in str(messages["bomb.bmp"]) and messages["plain.bmp"] is None


def test_a_member_that_lies_about_its_size_gives_no_more_than_that(tmp_path: Path) -> None:
    path = packed(tmp_path / "p.zip", {"a.bmp": bytes(50_000_000)})
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.rindex(b"PK\1\2") + 24, 1000)
    path.write_bytes(content)
    (source,) = expand(path)
    with pytest.raises(zipfile.BadZipFile):
        source.content.read(60_000_000)
    assert errors(path)["a.bmp"] is not None


def test_the_bytes_of_a_member_have_the_limit_of_any_image(tmp_path: Path) -> None:
    (source,) = expand(packed(tmp_path / "p.zip", {"a.png": PNG}))
    with pytest.raises(unseen.ImageError, match="max_bytes"):
        open_image(source.content, limits=Limits(max_bytes=100))
    assert len(source.content.read(100)) == 100


def test_members_that_share_their_bytes_refuse_the_archive(tmp_path: Path) -> None:
    """As David Fifield's bomb: many entries of the directory, one and the same member."""
    path = packed(tmp_path / "p.zip", {"a.png": PNG}, zipfile.ZIP_STORED)
    content = path.read_bytes()
    start, end = content.rindex(b"PK\1\2"), content.rindex(b"PK\5\6")
    entries = content[start:end] * 50
    tail = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 50, 50, len(entries), start, 0)
    path.write_bytes(content[:start] + entries + tail)
    with pytest.raises(unseen.SourceError, match="overlap"):
        open_image(next(expand(path)).content)


def directory(entries: int, name: bytes = b"a.png") -> bytes:
    """An archive that is nothing but its directory, in the ZIP64 form that has no least count."""
    entry = struct.pack(
        "<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 33, 0, 0, 0, len(name), 0, 0, 0, 0, 0, 0
    )
    body = (entry + name) * entries
    record = struct.pack(
        "<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, entries, entries, len(body), 0
    )
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, len(body), 1)
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 65535, 65535, 2**32 - 1, 2**32 - 1, 0)
    return body + record + locator + end


def test_millions_of_entries_are_refused_before_they_are_parsed(tmp_path: Path) -> None:
    path = tmp_path / "p.zip"
    path.write_bytes(directory(1000))
    assert count(path) == 1000  # the form is right
    for entries, words in ((1_000_000, "more than 250,000 members"), (1_500_000, "directory")):
        path.write_bytes(directory(entries))
        start = time.perf_counter()
        with pytest.raises(unseen.SourceError, match=words):
            open_image(next(expand(path)).content)
        assert time.perf_counter() - start < 2


def test_damage_anywhere_ends_in_an_error_of_ours(tmp_path: Path) -> None:
    whole = packed(tmp_path / "p.zip", {"a.png": PNG, "b/c.bmp": BMP}).read_bytes()
    path = tmp_path / "damaged.zip"
    rng = np.random.default_rng(0)
    tail = len(whole) - whole.index(b"PK\1\2")
    for turn in range(200):
        broken = bytearray(whole)
        for at in len(whole) - rng.integers(1, tail + 1, int(rng.integers(1, 5))):
            broken[at] = int(rng.integers(0, 256))
        path.write_bytes(
            broken[: int(rng.integers(20, len(whole) + 1))] if turn % 4 == 0 else broken
        )
        try:
            errors(path)  # UnseenErrors are caught there
        except unseen.SourceError as error:
            assert "no pictures in it" in str(error)


def test_what_is_read_of_a_file_is_not_kept_open(tmp_path: Path) -> None:
    path = packed(tmp_path / "p.zip", {"a.png": PNG})
    sources = list(expand(path))
    file = sources[0].content.archive.fp
    assert isinstance(file, io.RawIOBase) and not file.closed
    del sources
    assert file.closed
    assert archives.MAX_MEMBERS >= 118_287  # COCO's train2017 in one file
