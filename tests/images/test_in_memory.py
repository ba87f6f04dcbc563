"""Bytes that are in memory already, as a file."""

from __future__ import annotations

import io
import os
import random
import sys
import tracemalloc

import numpy as np
import pytest

import hostile
from unseen.images.in_memory import COPIED_BYTES, file_of
from unseen.images.open import open_image

CONTENT = os.urandom(COPIED_BYTES + 100_003)


def test_it_reads_as_a_file_of_the_same_bytes() -> None:
    ours, right = file_of(memoryview(bytearray(CONTENT))), io.BytesIO(CONTENT)
    rng = random.Random(0)
    for _ in range(2000):
        what = rng.randrange(5)
        if what == 0:
            position = rng.randrange(len(CONTENT) + 1000)
            assert ours.seek(position) == right.seek(position)
        elif what == 1:
            assert ours.seek(-7, io.SEEK_END) == right.seek(-7, io.SEEK_END)
        elif what == 2:
            assert ours.seek(5, io.SEEK_CUR) == right.seek(5, io.SEEK_CUR)
        size = rng.choice((0, 1, 7, 255, 4096, 100_000, -1))
        assert ours.read(size) == right.read(size)
        assert ours.tell() == right.tell()
    with pytest.raises(ValueError, match="negative"):
        ours.seek(-1)


def test_only_what_is_read_is_copied() -> None:
    content = bytearray(CONTENT * 8)
    tracemalloc.start()
    try:
        for view in (memoryview(content), memoryview(bytes(1)), memoryview(CONTENT)):
            file_of(view).read(100)
        assert tracemalloc.get_traced_memory()[1] < COPIED_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "ICO", "PPM"])
def test_every_format_is_decoded_from_a_view_as_from_bytes(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = hostile.encoded(kind)
    from_bytes = np.asarray(open_image(content))
    monkeypatch.setattr(sys.modules["unseen.images.in_memory"], "COPIED_BYTES", 0)
    body = bytearray(b"head" + content + b"tail")
    from_view = np.asarray(open_image(memoryview(body)[4:-4]))
    np.testing.assert_array_equal(from_view, from_bytes)
