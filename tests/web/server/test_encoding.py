"""How many threads give a served network its batches."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import numpy as np
import pytest

import shapes
from unseen import encoder
from unseen.load_options import LoadOptions
from unseen.web.server.core.encoding import Encoding
from unseen.web.server.core.image_input import ImageInput
from unseen.web.server.core.metrics import Metrics
from unseen.web.server.core.settings import Settings


def pictures(count: int) -> list[ImageInput]:
    labels = ("a red circle", "a blue star", "a green square")
    files = []
    for i in range(count):
        file = io.BytesIO()
        shapes.draw(shapes.scene(labels[i % 3]), i).save(file, "PNG")
        files.append(ImageInput(f"{i}.png", file.getvalue()))
    return files


@pytest.mark.parametrize(
    ("precision", "cores", "batch_size", "threads", "size"),
    [
        ("int8", 2, None, 2, encoder.SHARE),
        ("int8", 2, 8, 1, 8),  # as it was given
        ("int8", 1, None, 1, 16),
        ("int8", 16, None, 1, 16),
        ("fp32", 2, None, 1, 16),
    ],
)
def test_an_int8_network_has_a_thread_for_each_of_a_few_cores(
    precision: str,
    cores: int,
    batch_size: int | None,
    threads: int,
    size: int,
    shapes_clip: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(encoder, "usable", lambda: cores)
    settings = Settings(LoadOptions(str(shapes_clip), precision=precision), batch_size=batch_size)

    async def work() -> list[np.ndarray | None]:
        encoding = Encoding(settings, Metrics())
        try:
            await asyncio.to_thread(encoding.warm_up)
            encoding.become(ready=True)
            assert (encoding.images.threads, encoding.images.size) == (threads, size)
            together = await encoding.encode_pictures(pictures(30))
            (alone,) = await encoding.encode_pictures(pictures(1))
            assert together[0].embedding == pytest.approx(alone.embedding, abs=1e-6)
            return [one.embedding for one in together]
        finally:
            await encoding.close()

    rows = np.stack(asyncio.run(work()))
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(30), abs=1e-5)
    # The same picture is drawn every third time, in other places.
    assert (rows[0] @ rows[3]) > (rows[0] @ rows[1])
