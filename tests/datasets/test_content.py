"""A picture is known by its content, wherever it lies."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import unseen
from unseen.datasets.content import content_digest
from unseen.datasets.readers import read_annotations
from unseen.index.encoding import content_digests


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "cats" / "cat.png"
    path.parent.mkdir()
    Image.new("RGB", (9, 5), "orange").save(path)
    return path


def test_a_file_is_known_by_the_sha256_of_its_bytes(picture: Path) -> None:
    content = picture.read_bytes()
    expected = hashlib.sha256(content).hexdigest()[:32]
    assert content_digest(picture) == content_digest(str(picture)) == expected
    assert content_digest(content) == content_digest(bytearray(content)) == expected


def test_pixels_are_known_by_their_values_and_size() -> None:
    image = Image.new("RGB", (9, 5), "orange")
    assert content_digest(image) == content_digest(np.asarray(image))
    turned = image.transpose(Image.Transpose.ROTATE_90)
    assert content_digest(image) != content_digest(turned)


def test_what_cannot_be_read_has_no_digest(picture: Path) -> None:
    for one in ("https://example.com/cat.jpg", "missing.png", "a\0b", picture.parent, None, 3):
        assert content_digest(one) is None
    assert content_digest(io.BytesIO(picture.read_bytes())) is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs here")
def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.png")
    assert content_digest(tmp_path / "fifo.png") is None


def test_an_index_knows_it_without_the_file(picture: Path, shapes_clip: Path) -> None:
    encoder = unseen.load(shapes_clip).encoder
    annotations = read_annotations(picture.parent.parent)
    expected = [content_digest(picture)]
    assert content_digests(encoder, annotations) == expected
    with unseen.Index(picture.parent.parent) as index:
        index.update(encoder)
    picture.write_bytes(b"")
    assert content_digests(encoder, annotations, picture.parent.parent) == expected
