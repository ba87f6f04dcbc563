"""What the small image net sees of pictures, once each: the input of every head."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.encoder import Encoder
from unseen.errors import UnseenError
from unseen.models import families, hub
from unseen.models.families import builtin
from unseen.models.families import distilled as files
from unseen.models.towers import TowerSpec
from unseen.models.weights.names import Names, Renamed
from unseen.networks import distilled
from unseen.networks.operations import Array

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class ImageNet:
    """The built-in model's image net without its classifier. `looks` (m, d): a map of its features
    to fewer numbers, by which pictures compare. `names`: where the built-in model has them."""

    names: Names
    parameters: Mapping[str, Array]
    looks: Floats

    @classmethod
    def builtin(cls) -> ImageNet:
        """That which ships with the package: EfficientNet-Lite2."""
        weights = hub.locate(hub.BUILTIN).weights().arrays
        stored = builtin.stored(weights, "image.")
        shapes = files.shapes(2, None, 1)
        names = {name: rule for name, rule in stored.items() if name in shapes and name != "looks"}
        looks = Renamed(weights, stored)["looks"]
        return cls(names, dict(Renamed(weights, names)), looks)


def encoder(net: ImageNet, side: int, *, threads: int | None = None) -> Encoder:
    """Pictures → features (n, 1280), which are not of length 1. Texts are none of its business."""
    model = families.read(hub.locate(hub.BUILTIN))
    width = net.looks.shape[1]
    own = replace(
        model,
        name=f"the image net at {side}",
        fingerprint=f"{model.fingerprint}-features-{side}",
        dimension=width,
        preprocess=files.preprocess(side),
        image_tower=TowerSpec(
            "distilled_features", distilled.FeaturesConfig(side, width), net.names
        ),
    )
    return Encoder(own, threads=threads, device="cpu")


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
