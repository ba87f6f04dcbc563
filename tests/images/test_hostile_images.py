"""Every broken or odd picture opens upright with the right size, or is an ImageError."""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hostile
import unseen
from unseen.images.open import open_image
from unseen.images.preprocess import TwoViews
from unseen.models.processors import CLIP_DEFAULTS, from_hugging_face

BROKEN = [*hostile.truncated(), *hostile.flipped(), *hostile.strange()]
GOOD = list(hostile.good())
STEPS = (from_hugging_face({}, CLIP_DEFAULTS, 224), TwoViews(260))


def attempt(content: bytes) -> Image.Image | unseen.ImageError:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            image = open_image(content, at_least=224)
        except unseen.ImageError as error:
            assert len(str(error)) < 500 and "\n" not in str(error)
            return error
    for step in STEPS:
        step(image)
    return image


def test_there_are_at_least_three_hundred() -> None:
    assert len(BROKEN) + len(GOOD) >= 300
    assert len({name for name, *_ in [*BROKEN, *GOOD]}) == len(BROKEN) + len(GOOD)


@pytest.mark.parametrize("name, content", BROKEN, ids=[name for name, _ in BROKEN])
def test_broken(name: str, content: bytes) -> None:
    start = time.thread_time()
    result = attempt(content)
    assert time.thread_time() - start < 5
    if isinstance(result, Image.Image):
        assert result.mode == "RGB" and result.width * result.height <= 100_000_000
    else:
        assert not name.startswith("animated GIF") or "broken" in name
    if "bomb" in name or name in ("nothing", "zeros", "text", "html", "postscript", "svg"):
        assert isinstance(result, unseen.ImageError)


@pytest.mark.parametrize("name, content, size", GOOD, ids=[name for name, *_ in GOOD])
def test_odd_but_right(name: str, content: bytes, size: tuple[int, int]) -> None:
    result = attempt(content)
    assert isinstance(result, Image.Image), result
    assert result.size == size and result.mode == "RGB"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(orientation: int) -> None:
    """The picture is stored turned, as a camera would, and must come out as it was."""
    upright = hostile.picture()
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transpose that stores it so
    turns = {1: None, **{k: Image.Transpose(v) for k, v in back.items()}}
    turn = turns[orientation]
    stored = upright if turn is None else upright.transpose(turn)
    content = hostile.encoded("PNG", stored, exif=hostile.exif(orientation))
    opened = open_image(content)
    np.testing.assert_array_equal(np.asarray(opened), np.asarray(upright))
    # What was turned upright once is not turned again.
    np.testing.assert_array_equal(np.asarray(open_image(opened)), np.asarray(upright))


def test_broken_exif_neither_loses_nor_blackens_a_picture() -> None:
    plain = np.asarray(open_image(hostile.encoded("PNG")))
    for name, content in BROKEN:
        if "PNG with broken EXIF" in name:
            np.testing.assert_array_equal(np.asarray(open_image(content)), plain)


def test_the_worst_stay_below_one_gigabyte(tmp_path: Path) -> None:
    """A 98-megapixel picture with transparency, 16-bit grey, and every bomb, in a new process."""
    (tmp_path / "wide.png").write_bytes(
        hostile.encoded("PNG", Image.new("LA", (14_000, 7_000), (200, 128)), compress_level=1)
    )
    (tmp_path / "deep.png").write_bytes(
        hostile.encoded("PNG", Image.new("I;16", (14_000, 7_000), 40_000), compress_level=1)
    )
    code = """
import resource, sys
from pathlib import Path
sys.path.insert(0, "tests/support")
import hostile
from unseen.images.open import open_image
from unseen.errors import ImageError
for path in sorted(Path(sys.argv[1]).glob("*.png")):
    assert open_image(path).size == (14_000, 7_000)
for name, content in hostile.strange():
    try:
        open_image(content)
    except ImageError:
        pass
status = Path("/proc/self/status")
if status.exists():  # ru_maxrss of a new process counts what its parent had at the fork
    print(int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024)
else:
    unit = 1 if sys.platform == "darwin" else 1024
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
"""
    root = Path(__file__).parents[2]
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=root, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 1_000_000_000


def test_filters_of_warnings_are_as_before() -> None:
    before = list(warnings.filters)
    for _, content in BROKEN[:40]:
        attempt(content)
    assert list(warnings.filters) == before
