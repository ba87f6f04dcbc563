"""Several threads that call one network at once, each with few pictures."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import shapes
import unseen
from unseen.encoder import Encoder
from unseen.load_options import LoadOptions
from unseen.models import compiled
from unseen.runtimes.onnx import OnnxNetwork

PICTURES = [np.asarray(shapes.draw(shapes.scene("a red circle"), seed)) for seed in range(22)]


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`cores(n)`: this machine has so many."""
    return lambda count: monkeypatch.setattr(compiled, "usable", lambda: count)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """How many threads each network that was loaded has; None: all."""
    loaded: list[int | None] = []
    load = OnnxNetwork.__init__

    def noted(self: OnnxNetwork, *arguments: Any, threads: int | None = None, **more: Any) -> None:
        loaded.append(threads)
        load(self, *arguments, threads=threads, **more)

    monkeypatch.setattr(OnnxNetwork, "__init__", noted)
    return loaded


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """The pictures of each call of an image net, and the thread that called."""
    batches: list[tuple[int, str]] = []
    encode = Encoder.encode_pixels

    def noted(self: Encoder, pixels: Any) -> Any:
        batches.append((len(pixels), threading.current_thread().name))
        return encode(self, pixels)

    monkeypatch.setattr(Encoder, "encode_pixels", noted)
    return batches


def sizes(batches: list[tuple[int, str]]) -> list[int]:
    return sorted((size for size, _ in batches), reverse=True)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_each_core_has_batches_of_its_own(
    precision: str, cores: Any, loaded: list[int | None], batches: Any, shapes_clip: Path
) -> None:
    cores(2)
    encoder = unseen.load(shapes_clip, precision=precision).encoder
    rows = encoder.encode_images(PICTURES)
    assert sizes(batches) == [4, 4, 4, 4, 4, 2] and loaded == [1]
    alone = np.concatenate([encoder.encode_images([picture]) for picture in PICTURES])
    np.testing.assert_allclose(rows, alone, atol=1e-6)


def test_they_call_at_once(cores: Any, monkeypatch: pytest.MonkeyPatch, shapes_clip: Path) -> None:
    cores(2)
    encoder = unseen.load(shapes_clip).encoder
    encode, both = encoder.encode_pixels, threading.Barrier(2, timeout=60)

    def together(pixels: Any) -> Any:
        both.wait()  # an error where one waits for the other to end
        return encode(pixels)

    monkeypatch.setattr(encoder, "encode_pixels", together)
    assert len(encoder.encode_images(PICTURES[:16])) == 16


@pytest.mark.parametrize(
    ("count", "options", "given", "threads"),
    [
        (1, {}, {}, None),
        (8, {}, {}, None),  # many cores: not measured, and each caller takes memory
        (2, {"threads": 2}, {}, 2),
        (2, {}, {"batch_size": 16}, None),
    ],
    ids=["one core", "many cores", "threads", "batch size"],
)
def test_otherwise_one_batch_has_all_threads(
    count: int,
    options: dict[str, int],
    given: dict[str, int],
    threads: int | None,
    cores: Any,
    loaded: list[int | None],
    batches: Any,
    shapes_clip: Path,
) -> None:
    cores(count)
    encoder = unseen.load(LoadOptions(str(shapes_clip), **options)).encoder  # type: ignore[arg-type]
    encoder.encode_images(PICTURES, **given)
    assert sizes(batches) == [16, 6] and loaded == [threads]


def test_few_pictures_have_all_threads(
    cores: Any, loaded: list[int | None], batches: Any, shapes_clip: Path
) -> None:
    cores(2)
    unseen.load(shapes_clip).encoder.encode_images(PICTURES[:7])
    assert sizes(batches) == [7] and loaded == [None]


def test_one_picture_after_a_stream_has_all_threads_again(
    cores: Any, loaded: list[int | None], batches: Any, shapes_clip: Path
) -> None:
    """And the network is in memory once: later streams take it as it is."""
    cores(2)
    encoder = unseen.load(shapes_clip).encoder
    for _ in range(2):
        encoder.encode_images(PICTURES)
        assert loaded == [1]
    encoder.encode_images(PICTURES[:1])
    assert loaded == [1, None]
    batches.clear()
    encoder.encode_images(PICTURES)
    assert sizes(batches) == [16, 6] and loaded == [1, None]


def test_a_stream_that_is_left_does_not_keep_it(
    cores: Any, loaded: list[int | None], shapes_clip: Path
) -> None:
    cores(2)
    encoder = unseen.load(shapes_clip).encoder
    stream = encoder.stream_images(PICTURES)
    next(stream)
    encoder.encode_images(PICTURES[:1])
    assert loaded == [1]  # others are still at work
    stream.close()
    encoder.encode_images(PICTURES[:1])
    assert loaded == [1, None]
