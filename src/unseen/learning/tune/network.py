"""The image net of a model as it is trained: which models can be, and which of their parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.errors import MissingExtraError, ModelError
from unseen.learning.tune.figures import Embed
from unseen.learning.tune.options import TuneOptions
from unseen.learning.tune.pictures import Pixels
from unseen.models.model import Model
from unseen.models.towers import build_network
from unseen.models.weights.changes import Changed, trainable
from unseen.networks.network import Network
from unseen.types import Floats

if TYPE_CHECKING:
    from unseen.runtimes.training import TrainableNetwork

FAMILIES = ("clip", "openclip", "siglip", "chinese_clip", "altclip")
KINDS = {"vit": "a ViT", "resnet": "CLIP's ResNet"}  # image nets
BLOCK = re.compile(r"(layers\.\d+|stages\.\d+\.\d+)\.")
LOW_RANK = re.compile(r".*\b(query|key|value)\.weight")  # what LoRA is added to


def require_torch() -> None:
    """Raises MissingExtraError where torch is not installed."""
    if find_spec("torch") is None:
        raise MissingExtraError("tuning a model", library="torch", extra="gpu")


def require_tunable(model: Model) -> None:
    """Raises ModelError for a model that cannot be tuned."""
    if model.family not in FAMILIES or model.image_tower.kind not in KINDS:
        raise ModelError(
            f"{model.name}: a model of the family {model.family} with the image net "
            f"{model.image_tower.kind} cannot be tuned; allowed are {', '.join(FAMILIES)} with "
            f"{' or '.join(KINDS.values())}."
        )


def torch_device(device: str) -> str:
    """The torch device that is meant. Raises ModelError for one that is not here."""
    from unseen.runtimes import torch as runtime  # noqa: PLC0415 - seconds

    return runtime.device_for(device) or "cpu"


def width_of(network: Network[Any]) -> int:
    """The numbers of a token, or of a place, as a learning rate goes by."""
    (features,) = (output for output in network.outputs if output.name == "features")
    return features.shape[1] or network.outputs[0].shape[1] or 1


def trained_names(network: Network[Any], options: TuneOptions) -> list[str]:
    """The parameters that are trained, by our names. ModelError where there are none."""
    names = list(trainable(network))
    blocks = list(dict.fromkeys(m[1] for name in names if (m := BLOCK.match(name))))
    if options.blocks and options.blocks < len(blocks):
        first = blocks[-options.blocks]
        start = next(i for i, name in enumerate(names) if name.startswith(f"{first}."))
        names = names[start:]
    if options.rank is not None:
        names = [name for name in names if LOW_RANK.fullmatch(name)]
    if not names:
        raise ModelError("the image net of this model has no parameters that can be tuned so.")
    return names


def trainable_network(model: Model, options: TuneOptions, device: str) -> TrainableNetwork:
    """The image net with those parameters as leaves."""
    from unseen.runtimes import torch as runtime  # noqa: PLC0415 - seconds
    from unseen.runtimes.training import TrainableNetwork  # noqa: PLC0415

    network = model.image_network()
    half = None if device == "cpu" else runtime.default_dtype(device)
    return TrainableNetwork(
        network,
        device,
        trained_names(network, options),
        rank=options.rank,
        seed=options.seed,
        autocast=half,
    )


def embedder(model: Model, changes: Mapping[str, Any], share: float, device: str) -> Embed:
    """What the net gives for pictures that has a share of the changes, as it would be stored."""
    from unseen.runtimes import torch as runtime  # noqa: PLC0415 - seconds

    weights = Changed(model.weights.arrays, changes, share)
    network = build_network(model.image_tower, weights)
    compiled = runtime.TorchNetwork(network, device, runtime.DTYPES["fp32"])

    def embed(pixels: Pixels) -> Floats:
        return np.asarray(compiled(pixels), dtype=np.float32)

    return embed
