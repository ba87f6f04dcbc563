"""Formats beside the usual ones: read where they can be, and otherwise with what to do."""

from __future__ import annotations

import io
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import unseen
from unseen.images.open import describe, open_image
from unseen.sources import formats

PICTURES = Path("tests/fixtures/pictures")
CAT = Path("examples/cat.jpg")
LIBRARIES = {"turned.heic": formats.HEIF_LIBRARIES, "cat.jxl": formats.JXL_LIBRARIES}
SIZES = {"turned.heic": (120, 160), "cat.jxl": (160, 120)}


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_picture_of_a_plugin_is_read_where_it_is_installed(name: str) -> None:
    path = PICTURES / name
    row = formats.of_name(name)
    assert row is not None
    if not any(map(find_spec, LIBRARIES[name])):
        assert path.suffix not in formats.suffixes()
        for source in (path, path.read_bytes()):  # by its name, and by its content
            with pytest.raises(unseen.ImageError, match=f"this is {row.kind}: to read it, pip"):
                open_image(source)
        return
    assert path.suffix in formats.suffixes()
    picture = open_image(path)
    assert picture.size == SIZES[name] == (describe(path).width, describe(path).height)
    upright = Image.open(CAT).convert("RGB").resize((160, 120))
    if name == "turned.heic":  # it was saved with the EXIF orientation 6
        upright = upright.transpose(Image.Transpose.ROTATE_270)
    difference = np.asarray(picture, int) - np.asarray(upright, int)
    assert np.abs(difference).mean() < 8  # grey levels; turned wrongly it is about 60


NOT_READ = {
    "film.mp4": (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41", "a video: unseen video film"),
    "film.mkv": (b"\x1aE\xdf\xa3" + bytes(40), "a video: unseen video film"),
    "film.avi": (b"RIFF\0\0\0\0AVI LIST", "a video: unseen video film"),
    "a.pdf": (b"%PDF-1.7\n", "PDF: give its path as a source of its own"),
    "a.svg": (b'<?xml version="1.0"?>\n<!-- x -->\n<svg xmlns="">', "SVG: it is a drawing"),
    "a.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript: draw it"),
    "a.psd": (b"8BPS\0\1" + bytes(20), "Photoshop: save it as PNG or JPEG"),
    "a.qoi": (b"qoif" + bytes(20), "QOI: save it as PNG or JPEG"),
    "a.dcm": (bytes(128) + b"DICM", "DICOM: save it as PNG or JPEG"),
    "a.html": (b"<!DOCTYPE html><html>", "a web page: give the address of the picture itself"),
    "a.zip": (b"PK\3\4" + bytes(20), "a zip archive: give its path as a source"),
    "a.ptr": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer: get the files"),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_READ)
def test_what_cannot_be_read_says_what_to_do(name: str, tmp_path: Path) -> None:
    content, words = NOT_READ[name]
    (tmp_path / "named.jpg").write_bytes(content)  # the content counts, not the name
    for source in (content, tmp_path / "named.jpg"):
        with pytest.raises(unseen.ImageError, match=f"this is {words}"):
            open_image(source)


def test_a_name_says_it_where_the_content_does_not(tmp_path: Path) -> None:
    (tmp_path / "a.tga").write_bytes(bytes(100))
    with pytest.raises(unseen.ImageError, match="this is TGA: save it as PNG or JPEG"):
        open_image(tmp_path / "a.tga")


def test_each_suffix_has_one_row_and_each_row_a_way() -> None:
    rows = formats.FORMATS
    suffixes = [suffix for row in rows for suffix in row.suffixes]
    assert len(suffixes) == len({*suffixes}) and all(s == s.lower() for s in suffixes)
    assert all(row.read or row.advice for row in rows)


# cameras: the container is written by Pillow, the picture in it is a JPEG of Pillow's


def jpeg(size: tuple[int, int], **options: object) -> bytes:
    stream = io.BytesIO()
    Image.open(CAT).convert("RGB").resize(size).save(stream, "JPEG", **options)
    return stream.getvalue()


# What the sensor saw is a JPEG too, which Pillow cannot decode: a lossless one of 4096 × 4096.
LOSSLESS = b"\xff\xd8\xff\xc3\0\x11\x10\x10\0\x10\0\3\1\x11\0\2\x11\0\3\x11\0\xff\xda"
THUMBNAIL, LARGE = jpeg((160, 120)), jpeg((640, 480))


def tiff(**tags: object) -> bytes:
    """A small TIFF, as the first folder of a RAW file is."""
    stream = io.BytesIO()
    info = {int(name[1:]): value for name, value in tags.items()}
    Image.new("RGB", (16, 12)).save(stream, "TIFF", tiffinfo=info)
    return stream.getvalue()


def canon_3() -> bytes:
    exif = Image.Exif()
    exif[274] = 8
    folder = exif.tobytes().removeprefix(b"Exif\0\0")
    box = (8 + len(folder)).to_bytes(4, "big") + b"CMT1" + folder
    return b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + box


EXIF_3 = Image.Exif()
EXIF_3[274] = 3
# A folder of one tag: how the camera was held.
TURNED = b"\1\0\x12\1\3\0\1\0\0\0\6\0\0\0" + bytes(4)
# The start of a file, and the size of its upright picture.
CAMERAS = {
    "dng": (tiff(t274=6, t50706=b"\1\4\0\0"), (480, 640)),
    "nef": (tiff(t274=1, t330={262: 32803, 256: 4000}), (640, 480)),
    "cr2": (b"II*\0\x10\0\0\0CR\2\0\0\0\0\0" + TURNED, (480, 640)),
    "cr3": (canon_3(), (480, 640)),
    "raf": (b"FUJIFILMCCD-RAW 0201FF393101", (640, 480)),
    "rw2": (b"IIU\0\x08\0\0\0" + TURNED, (480, 640)),
    "orf": (b"IIRO\x08\0\0\0" + TURNED, (480, 640)),
}  # fmt: skip


@pytest.mark.parametrize("kind", CAMERAS)
def test_of_a_raw_file_it_is_the_largest_preview(kind: str, tmp_path: Path) -> None:
    start, size = CAMERAS[kind]
    path = tmp_path / f"a.{kind}"
    noise = np.random.default_rng(0).integers(0, 256, 200_000, np.uint8).tobytes()
    path.write_bytes(start + THUMBNAIL + LOSSLESS + noise + LARGE + noise)
    assert path.suffix in formats.suffixes()
    picture = open_image(path)
    assert picture.size == size == (describe(path).width, describe(path).height)
    plain = Image.open(io.BytesIO(LARGE))
    turned = {(480, 640): {"cr3": 90}.get(kind, 270)}.get(size, 0)
    assert np.array_equal(np.asarray(picture), np.asarray(plain.rotate(turned, expand=True)))


def test_the_preview_s_own_orientation_comes_first() -> None:
    content = CAMERAS["dng"][0] + jpeg((640, 480), exif=EXIF_3)
    assert open_image(content).size == (640, 480)


def test_a_raw_file_without_a_preview() -> None:
    with pytest.raises(unseen.ImageError, match="this is camera RAW: it has no preview"):
        open_image(CAMERAS["raf"][0] + LOSSLESS + bytes(1000))
    assert open_image(CAMERAS["dng"][0]).size == (12, 16)  # the small picture of its first folder


def test_a_tiff_is_no_raw_file() -> None:
    assert open_image(tiff() + LARGE).size == (16, 12)


def test_raw_files_that_are_made_to_do_harm() -> None:
    """Each is an error, or the small picture of a first folder, and soon."""
    loop = b"II*\0\x08\0\0\0" + b"\0\0" + b"\x08\0\0\0"  # a folder that is its own next one
    contents = [loop + bytes(100)]
    for start, _ in CAMERAS.values():
        contents += [
            start + b"\xff\xd8\xff" * 3_000_000,
            start + b"\xff\xd8\xff\xe0\0\2" * 1_000_000,
            start + b"\xff\xd8" + b"\xff\xfe\0\2" * 1_000_000,
            *((start + THUMBNAIL)[:end] for end in range(0, len(THUMBNAIL), 97)),
        ]
    began = time.perf_counter()
    for content in contents:
        try:
            assert open_image(content).size in {(16, 12), (12, 16)}
        except unseen.ImageError as error:
            assert "\n" not in str(error)
    assert time.perf_counter() - began < 60
