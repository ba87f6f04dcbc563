"""The right answers of a model: fixed pictures and prompts through the reference runtime, once.

Whatever carries the networks out is held against them before it is trusted, and the ranges that
are met on the way say how int8 divides its values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unseen.models.model import Model
from unseen.networks.operations import Array, Network
from unseen.runtimes import reference
from unseen.system import cache

# Both judge, and both give int8 its ranges.
PICTURES = ("kingfisher.jpg", "cat.jpg")
PROMPTS = ("a photo of a cat", "two red cups of coffee on a wooden table")
FILE = "expected.npz"


@dataclass(frozen=True)
class Expected:
    """What a network is given, and what it must answer, rows of length 1."""

    inputs: tuple[Array, ...]
    output: NDArray[np.float32]
    # Of each linear layer, in order: the largest input of each channel; none behind the pooling.
    ranges: tuple[NDArray[np.float32], ...]

    def cosine(self, output: Array) -> float:
        """The least cosine of the rows of `output` to the right ones; NaN counts as -1."""
        cosines = (self.output * output).sum(1) / np.linalg.norm(output, axis=1)
        return float(np.nan_to_num(cosines, nan=-1.0).min())


def expected(
    model: Model, tower: str, make_network: Callable[[], Network[Any]], key: str
) -> Expected:
    """The right answers of a tower, worked out once and kept under `key`."""

    def make(folder: Path) -> None:
        inputs = _image_inputs(model) if tower == "image" else _text_inputs(model)
        operations = RangeOperations()
        output = make_network().body(operations, *inputs)
        kept: dict[str, Any] = {
            "output": output,
            **{f"input{index}": value for index, value in enumerate(inputs)},
            **{f"range{index}": value for index, value in enumerate(operations.ranges)},
        }
        np.savez(folder / FILE, **kept)

    folder = cache.build_folder(key, make)
    if not cache.verify(folder):
        cache.discard(folder)
        folder = cache.build_folder(key, make)
    with np.load(folder / FILE) as kept:
        return Expected(_numbered(kept, "input"), kept["output"], _numbered(kept, "range"))


class RangeOperations(reference.NumpyOperations):
    """The reference runtime, keeping the largest value that each channel of a layer is given."""

    def __init__(self) -> None:
        self.ranges: list[NDArray[np.float32]] = []

    def linear(self, x: Array, weight: Array, bias: Array | None = None) -> Array:
        first = np.abs(x[0])  # (tokens, channels), or (channels,) after pooling
        largest = first.max(0) if first.ndim == 2 else np.zeros(0)
        self.ranges.append(largest.astype(np.float32))
        return super().linear(x, weight, bias)


def _numbered(kept: Any, name: str) -> tuple[Array, ...]:
    count = sum(key.startswith(name) for key in kept.files)
    return tuple(kept[f"{name}{index}"] for index in range(count))


def _image_inputs(model: Model) -> tuple[Array, ...]:
    folder = resources.files("unseen").joinpath("data/check")
    pixels = []
    for name in PICTURES:
        with folder.joinpath(name).open("rb") as file, Image.open(file) as image:
            pixels.append(model.preprocess(image.convert("RGB")))
    return model.image_inputs(pixels)


def _text_inputs(model: Model) -> tuple[Array, ...]:
    prompts = model.labels[: len(PROMPTS)] or PROMPTS
    ids, _ = model.tokenizer.encode(prompts, model.context_length)
    return model.text_inputs(ids)
