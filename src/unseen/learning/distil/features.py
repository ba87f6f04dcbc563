"""What the small image net sees of pictures, once each: the input of every head."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.encoder import read_pixels, stream
from unseen.errors import UnseenError
from unseen.load_options import LoadOptions
from unseen.models import families, hub
from unseen.models.compiled import CompiledNetwork
from unseen.models.families import distilled
from unseen.models.inputs import PictureArrays, Stacked
from unseen.models.model import SMALL_BATCH
from unseen.models.reference_outputs import NetworkSource, image_examples
from unseen.models.weights.names import Renamed
from unseen.networks.distilled import features_network
from unseen.networks.efficientnet import lite2_shapes
from unseen.networks.network import FEATURES
from unseen.networks.operations import Array
from unseen.runtimes.devices import execution_target
from unseen.sources.expand import expand
from unseen.sources.item import Source
from unseen.types import Floats

IMAGE_INPUTS = Stacked()


@dataclass(frozen=True)
class ImageNet:
    """The built-in model's image net without its classifier.

    `fingerprint`: that of the model. `looks` (m, d): a map of its features to fewer numbers, by
    which pictures are compared.
    """

    fingerprint: str
    parameters: Mapping[str, Array]
    looks: Floats

    @classmethod
    def builtin(cls) -> ImageNet:
        """That which ships with the package: EfficientNet-Lite2."""
        model = families.read(hub.locate(hub.BUILTIN))
        stored = Renamed(model.weights.arrays, model.image_tower.names)
        parameters = {name: stored[name] for name in lite2_shapes()}
        return cls(model.fingerprint, parameters, stored["looks"])


def features(
    net: ImageNet,
    side: int,
    sources: Sequence[Any],
    *,
    threads: int | None = None,
    batch_size: int = SMALL_BATCH,
    each: Callable[[UnseenError | None], None] | None = None,
) -> tuple[Floats, list[UnseenError | None]]:
    """The features of pictures.

    Parameters
    ----------
    net : ImageNet
        The image net.
    side : int
        The side of the pictures that it is given, in pixels.
    sources : sequence
        The pictures.
    threads : int, optional
        How many threads the network uses.
    batch_size : int
        How many pictures the network takes at once.
    each : callable, optional
        Called after each picture with its error or None.

    Returns
    -------
    features : ndarray of float32, (n, 1280)
        One row a picture, not of length 1; zeros where a picture could not be read.
    errors : list
        Of each picture why it could not be read, or None.
    """
    preprocess = distilled.preprocess(side)
    network = CompiledNetwork(
        source(net, side),
        find_target=partial(execution_target, "cpu"),
        options=LoadOptions(threads=threads),
        outputs=(FEATURES,),
    )

    def decode(picture: Source) -> tuple[str, PictureArrays | UnseenError]:
        return picture.name, read_pixels(picture.content, preprocess)

    def encode(pixels: Sequence[PictureArrays]) -> NDArray[np.float32]:
        return network(*IMAGE_INPUTS(pixels))

    rows = np.zeros((len(sources), net.looks.shape[1]), dtype=np.float32)
    errors: list[UnseenError | None] = []
    results = stream(expand(iter(sources)), decode, encode, batch_size)
    for index, (_, row) in enumerate(results):
        errors.append(row if isinstance(row, UnseenError) else None)
        if isinstance(row, np.ndarray):
            rows[index] = row
        if each is not None:
            each(errors[-1])
    return rows, errors


def source(net: ImageNet, side: int) -> NetworkSource:
    """The image net for pictures of this side, as something that can be compiled and checked."""
    return NetworkSource(
        model=f"the image net at {side} pixels",
        tower="image",
        key=f"{net.fingerprint}-image-{side}",
        make=partial(features_network, side, net.parameters),
        examples=partial(image_examples, distilled.preprocess(side), IMAGE_INPUTS),
    )
