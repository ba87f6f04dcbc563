"""Pages of PDF files, drawn; compared with the pictures that they were made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pypdfium2
import pytest
from PIL import Image

import unseen
from unseen.images.open import open_image
from unseen.sources.expand import count, expand


def test_each_page_is_a_picture(tmp_path: Path) -> None:
    """Pillow writes the file: a page a picture, and what is drawn has its colours."""
    colours = [(200, 30, 30), (20, 160, 40), (30, 40, 220)]
    pages = [Image.new("RGB", (400, 300), colour) for colour in colours]
    path = tmp_path / "a.pdf"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    sources = list(expand(path))
    assert [source.name for source in sources] == [f"{path}#page={i}" for i in (1, 2, 3)]
    assert [source.meta for source in sources] == [{"page": i} for i in (1, 2, 3)]
    assert count(path) == 3
    for source, colour in zip(sources, colours, strict=True):
        image = open_image(source.content)
        assert image.size == (1280, 960)
        assert np.abs(np.asarray(image)[480, 640].astype(int) - colour).max() <= 4  # JPEG inside


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7\n", b"no document" * 100])
def test_a_broken_file_is_one_item(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(content)
    (only,) = expand(path)
    with pytest.raises(unseen.SourceError, match="no PDF file, or it is damaged"):
        open_image(only.content)


def test_a_poster_of_a_kilometre_is_drawn_small(tmp_path: Path) -> None:
    document = pypdfium2.PdfDocument.new()
    document.new_page(3_000_000, 10)
    document.save(tmp_path / "a.pdf")
    (only,) = expand(tmp_path / "a.pdf")
    assert max(open_image(only.content).size) <= 1280
