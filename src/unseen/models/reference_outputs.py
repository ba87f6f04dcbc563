"""The right outputs of a network: fixed pictures and prompts through the reference runtime, once.

Every other runtime is held against them before it is trusted, and the ranges of the values on the
way say how int8 divides them.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unseen.models.inputs import ImageInputs
from unseen.models.model import SMALL_BATCH, Model, Preprocessing
from unseen.models.text_batches import text_batches
from unseen.networks.network import Network
from unseen.networks.operations import Array
from unseen.runtimes import reference
from unseen.system import cache
from unseen.system.packaged import packaged

# Both judge, and both give int8 its ranges.
PICTURES = ("kingfisher.jpg", "cat.jpg")
PROMPTS = ("a photo of a cat", "two red cups of coffee on a wooden table")
SHIPPED = "data/check"  # in the package: the fixed pictures, and right outputs of the built-in
FILE = "expected.npz"  # inside a folder of the cache, whose key stays


@dataclass(frozen=True)
class NetworkSource:
    """A network that may be compiled, and what is needed to keep and to check the result.

    Parameters
    ----------
    model : str
        The name of the model, for messages.
    tower : str
        "image", "text", "parts" or "masked": the name of the network, and of its compiled files.
    key : str
        Names the weights and the network; what is compiled of it is cached under this key.
    make : callable
        Makes the network, which reads its weights only then.
    examples : callable
        Fixed inputs on which every runtime is held against the reference.
    convolutional : bool
        Whether it is made of convolutions, which ONNX Runtime lays out anew for the processor:
        worth it from the first picture on. What it does to transformers is not.
    """

    model: str
    tower: str
    key: str
    make: Callable[[], Network[Any]]
    examples: Callable[[], tuple[Array, ...]]
    convolutional: bool = True


def tower(model: Model, name: str) -> NetworkSource:
    """The "image" or the "text" network of a model, which is on a prefix tree where texts share
    prefixes; or another that explains its image net: "parts", or "masked"."""
    is_tree = name == "text" and model.shares_prefixes
    make: dict[str, Callable[[], Network[Any]]] = {
        "image": model.image_network,
        "text": model.prefix_tree_network if is_tree else model.text_network,
        "parts": model.parts_network,
        "masked": model.masked_network,
    }
    examples = partial(image_examples, model.preprocess, model.image_inputs)
    inputs = {"text": partial(_text_examples, model), "masked": partial(_masked_examples, model)}
    convolutional = name != "text" and model.batch_size == SMALL_BATCH
    key = f"{model.fingerprint}-{'prefix_tree' if is_tree else name}"
    return NetworkSource(
        model.name, name, key, make[name], inputs.get(name, examples), convolutional
    )


@dataclass(frozen=True)
class ReferenceOutputs:
    """What a network is given, and what its outputs must be."""

    inputs: tuple[Array, ...]
    outputs: tuple[NDArray[np.float32], ...]
    # Of each linear layer, in order: the largest input of each channel; none behind the pooling.
    ranges: tuple[NDArray[np.float32], ...]

    def cosine(self, outputs: Iterable[Array]) -> float:
        """The least cosine of an item's output to the right one; NaN counts as -1."""
        pairs = zip(self.outputs, outputs, strict=True)
        return min(_least_cosine(right, output) for right, output in pairs)


def _least_cosine(right: Array, output: Array) -> float:
    a, b = right.reshape(len(right), -1), output.reshape(len(output), -1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines = (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return float(np.nan_to_num(cosines, nan=-1.0).min())


def reference_outputs(source: NetworkSource, outputs: Sequence[str], key: str) -> ReferenceOutputs:
    """The right outputs of a network, worked out once and kept under `key`.

    Those of the built-in model ship with the package, under the same key: they take longer than
    everything else of its first use. Other weights, or another version, have another key.
    """

    def make(folder: Path) -> None:
        shipped = packaged(f"{SHIPPED}/{key}.npz")
        if shipped.is_file():
            (folder / FILE).write_bytes(shipped.read_bytes())
            return
        inputs = source.examples()
        operations = RangeOperations()
        values = source.make().apply(operations, *inputs, outputs=outputs)
        arrays: dict[str, Any] = {
            **{f"input{index}": value for index, value in enumerate(inputs)},
            **{f"output{index}": value for index, value in enumerate(values.values())},
            **{f"range{index}": value for index, value in enumerate(operations.ranges)},
        }
        np.savez(folder / FILE, **arrays)

    folder = cache.intact_folder(key, make)
    with np.load(folder / FILE) as arrays:
        return ReferenceOutputs(*(_numbered(arrays, name) for name in ("input", "output", "range")))


class RangeOperations(reference.NumpyOperations):
    """The reference runtime, keeping how large values are that int8 has to round.

    Of a linear layer the largest value that each channel is given, without the constant that a
    layer norm added; of attention the longest query and key, the largest value, and a head's width.
    """

    def __init__(self) -> None:
        self.ranges: list[NDArray[np.float32]] = []
        self._normed: tuple[Array, Array] | None = None  # the last norm's output and constant

    def layer_norm(self, x: Array, weight: Array, bias: Array, epsilon: float) -> Array:
        """As the reference runtime, and the constant is remembered."""
        y = super().layer_norm(x, weight, bias, epsilon)
        self._normed = y, bias
        return y

    def linear(self, x: Array, weight: Array, bias: Array | None = None) -> Array:
        """As the reference runtime, and the largest input of each channel is noted."""
        first = x[0]  # (tokens, channels), or (channels,) after pooling
        if self._normed is not None and x is self._normed[0]:
            first = first - self._normed[1]
        largest = np.abs(first).max(0) if first.ndim == 2 else np.zeros(0)
        self.ranges.append(largest.astype(np.float32))
        return super().linear(x, weight, bias)

    def attention(
        self,
        q: Array,
        k: Array,
        v: Array,
        heads: int,
        *,
        causal: bool = False,
        mask: Array | None = None,
    ) -> Array:
        """As the reference runtime, and how long queries and keys are is noted."""
        self._note_attention(q, k, v, heads)
        return super().attention(q, k, v, heads, causal=causal, mask=mask)

    def tree_attention(
        self,
        q: Array,
        k: Array,
        v: Array,
        heads: int,
        queries: Array,
        keys: Array,
        bias: Array,
    ) -> Array:
        """As the reference runtime, and how long queries and keys are is noted."""
        self._note_attention(q, k, v, heads)
        return super().tree_attention(q, k, v, heads, queries, keys, bias)

    def _note_attention(self, q: Array, k: Array, v: Array, heads: int) -> None:
        size = q.shape[2] // heads
        lengths = [np.linalg.norm(x[0].reshape(-1, size), axis=1).max() for x in (q, k)]
        self.ranges.append(np.array([*lengths, np.abs(v[0]).max(), size], dtype=np.float32))


def _numbered(arrays: Any, name: str) -> tuple[Array, ...]:
    count = sum(key.startswith(name) for key in arrays.files)
    return tuple(arrays[f"{name}{index}"] for index in range(count))


def image_examples(preprocess: Preprocessing, image_inputs: ImageInputs) -> tuple[Array, ...]:
    """The fixed pictures as an image network takes them."""
    pixels = []
    for content in picture_files():
        with Image.open(io.BytesIO(content)) as image:
            pixels.append(preprocess(image.convert("RGB")))
    return image_inputs(pixels)


def picture_files() -> tuple[bytes, ...]:
    """The fixed pictures, as files."""
    folder = packaged(SHIPPED)
    return tuple(folder.joinpath(name).read_bytes() for name in PICTURES)


def _masked_examples(model: Model) -> tuple[Array, ...]:
    """The fixed pictures, without every third of their tokens."""
    images = image_examples(model.preprocess, model.image_inputs)
    tokens = model.masked_network().inputs[-1].shape[1]
    assert tokens is not None
    mask = np.ones((len(images[0]), tokens), dtype=np.int64)
    mask[:, 2::3] = 0
    return *images, mask


def _text_examples(model: Model) -> tuple[Array, ...]:
    prompts = model.labels[: len(PROMPTS)] or PROMPTS
    ids, _ = model.tokenizer.encode(prompts, model.context_length)
    ((_, arrays),) = text_batches(model, ids)
    return arrays
