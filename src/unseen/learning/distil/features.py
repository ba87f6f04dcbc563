"""What the small image net sees of pictures, once each: the input of every head."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.encoder import Encoder
from unseen.errors import UnseenError
from unseen.load_options import LoadOptions
from unseen.models import families, hub
from unseen.models.families import builtin, student
from unseen.models.weights import open_weights
from unseen.networks.operations import Array, Network, Operations

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class ImageNet:
    """The built-in model's image net without its classifier. `looks` (m, d): a map of its features
    to fewer numbers, by which pictures compare."""

    parameters: Mapping[str, Array]
    looks: Floats

    @classmethod
    def builtin(cls) -> ImageNet:
        """That which ships with the package: EfficientNet-Lite2."""
        weights = open_weights(hub.locate(hub.BUILTIN).folder)
        stored = builtin.Stored(weights, "image.")
        wanted = student.shapes(2, None, 1)
        own = {name: stored[name] for name in stored if name in wanted and name != "looks"}
        return cls(own, stored["looks"])


def encoder(net: ImageNet, side: int, *, threads: int | None = None) -> Encoder:
    """Pictures → features (n, 1280), which are not of length 1. Texts are none of its business."""
    model = families.read(hub.locate(hub.BUILTIN))

    def body(ops: Operations[Any], images: Any) -> Any:
        return student.pooled(ops, net.parameters, images, side)

    width = net.looks.shape[1]
    own = replace(
        model,
        name=f"the image net at {side}",
        fingerprint=f"{model.fingerprint}-features-{side}",
        dimension=width,
        preprocess=student.preprocess(side),
        image_network=lambda: Network("image", student.inputs(side), body, width),
    )
    return Encoder(own, LoadOptions(own.name, threads=threads, device="cpu"))


def features(
    encoder: Encoder,
    sources: Sequence[Any],
    *,
    batch_size: int | None = None,
    each: Callable[[UnseenError | None], None] | None = None,
) -> tuple[Floats, list[UnseenError | None]]:
    """(n, d), zeros where a picture could not be read, and why it could not. `each` is called with
    the latter after each picture."""
    rows = np.zeros((len(sources), encoder.model.dimension), dtype=np.float32)
    errors: list[UnseenError | None] = []
    for place, row in enumerate(_rows(encoder, sources, batch_size)):
        errors.append(row if isinstance(row, UnseenError) else None)
        if isinstance(row, np.ndarray):
            rows[place] = row
        if each is not None:
            each(errors[-1])
    return rows, errors


def _rows(
    encoder: Encoder, sources: Sequence[Any], batch_size: int | None
) -> Iterator[NDArray[np.float32] | UnseenError]:
    for encoded in encoder.stream_images(iter(sources), batch_size=batch_size):
        if encoded.embedding is None:
            assert encoded.error is not None
            yield encoded.error
        else:
            yield encoded.embedding
