"""Many broken pictures at once cost no more than one."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

import hostile
import running
from memory import taken
from unseen import ImageError, Limits, open_image

MB = 1_000_000
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

ENCODES = """
import warnings
from pathlib import Path
import unseen
from unseen.encoder import Encoder
encoder = Encoder.load()
paths = sorted(Path(sys.argv[1]).iterdir())
list(encoder.stream_images(["examples/cat.jpg"] * 20))
begin(3_000_000_000)
results = list(encoder.stream_images(paths))
assert len(results) == len(paths)
for result in results:
    assert isinstance(result.error, unseen.ImageError), result
    assert "cut short" in str(result.error), result.error
end()
"""


@linux
def test_a_folder_of_two_thousand_broken_pictures_stays_flat(tmp_path: Path) -> None:
    content = hostile.cut_png(1000, 1000, padding=4000)  # 4 MB in memory
    for number in range(2000):
        (tmp_path / f"{number}.png").write_bytes(content)
    most, last = taken(ENCODES, tmp_path, seconds=120)
    assert most < 200 * MB and last < 100 * MB


@linux
def test_pictures_that_hold_a_small_part_of_what_they_declare_are_not_decoded(
    tmp_path: Path,
) -> None:
    for number in range(12):
        (tmp_path / f"{number}.png").write_bytes(hostile.cut_png(10_000, 9_999))
    most, _ = taken(ENCODES, tmp_path)
    assert most < 200 * MB


@linux
def test_large_pictures_are_decoded_one_after_the_other() -> None:
    code = """
from concurrent.futures import ThreadPoolExecutor
import hostile, unseen
content = hostile.cut_webp(10_000, 9_999)

def opened(_):
    try:
        unseen.open_image(content)
    except unseen.ImageError as error:
        return str(error)

begin(5_000_000_000)
with ThreadPoolExecutor(8) as pool:
    assert all("broken" in error for error in pool.map(opened, range(8)))
end()
"""
    most, _ = taken(code)
    assert most < 600 * MB  # one takes 400


def test_an_error_that_is_kept_has_no_frames() -> None:
    from unseen.encoder import Encoder

    encoder = Encoder.load()
    for source in (hostile.cut_png(100, 100, padding=4000), b"rubbish", "no-such-file.png"):
        (encoded,) = encoder.stream_images([source])
        error = encoded.error
        assert error is not None and str(error)
        assert (error.__traceback__, error.__context__, error.__cause__) == (None, None, None)


@pytest.mark.parametrize("size", [(1, 99_999_999), (99_999_999, 1), (1, 65_536)])
def test_a_side_is_limited_at_the_header(size: tuple[int, int]) -> None:
    start = time.thread_time()
    with pytest.raises(ImageError, match="max_side"):
        open_image(hostile.cut_png(*size))
    assert time.thread_time() - start < 1


def test_the_limit_of_a_side_can_be_raised() -> None:
    content = hostile.thin_png(1, 65_536)
    assert open_image(content, limits=Limits(max_side=65_536)).size == (1, 65_536)
    assert open_image(hostile.thin_png(1, 65_535)).size == (1, 65_535)


@linux
def test_no_memory_to_resize_is_an_image_error() -> None:
    code = """
import unseen
from unseen.encoder import read_pixels
from unseen.images.preprocess import Preprocess
from PIL import Image
tall = Image.new("RGB", (1, 60_000))
resize = Preprocess(224, None, None, Image.Resampling.BICUBIC)  # 224 x 13 million
begin(300_000_000)
error = read_pixels(tall, resize)
assert isinstance(error, unseen.ImageError) and "memory" in str(error), error
end()
"""
    taken(code)


@linux
def test_a_thin_picture_does_not_end_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(hostile.thin_png(1, 99_999_999))
    (tmp_path / "b.jpg").write_bytes(Path("examples/cat.jpg").read_bytes())
    done = running.unseen("classify", tmp_path, "-l", "cat,dog", code=1)
    assert "max_side" in done.stdout and "b.jpg  cat" in done.stdout
