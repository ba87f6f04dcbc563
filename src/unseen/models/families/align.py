"""ALIGN (Jia et al. 2021, arXiv:2102.05918) as transformers saves it: an EfficientNet without a
head, and BERT read at its first token."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from unseen.errors import ModelError
from unseen.images.preprocess import Preprocess
from unseen.models import processors
from unseen.models.checkpoint import Checkpoint, read_image_processor
from unseen.models.families import hf_bert
from unseen.models.families.assemble import assemble, scalar
from unseen.models.families.hf_config import activation, check_layers, tower
from unseen.models.families.hf_config import dimension as dimension_of
from unseen.models.inputs import Masked
from unseen.models.model import SMALL_BATCH, Model, Score
from unseen.models.towers import TowerSpec
from unseen.models.weights.files import Weights
from unseen.models.weights.names import Rule
from unseen.models.weights.rules import folded
from unseen.networks import efficientnet

# What transformers takes for a key that the vision_config leaves out; here a value a stage.
STAGES = {
    "num_block_repeats": (1, 2, 2, 3, 3, 4, 1),
    "strides": (1, 2, 2, 2, 1, 2, 1),
    "kernel_sizes": (3, 3, 5, 3, 5, 5, 3),
    "expand_ratios": (1, 6, 6, 6, 6, 6, 6),
}
VISION_DEFAULTS = STAGES | {
    "hidden_act": "swish",
    "batch_norm_eps": 1e-3,
    "depth_coefficient": 3.1,
    "depthwise_padding": (),
    "pooling_type": "mean",
}

# Our names of a block's convolutions → the checkpoint's, each with the batch norm after it.
FOLDED = {
    "expand": ("expansion.expand_conv", "expansion.expand_bn"),
    "depthwise": ("depthwise_conv.depthwise_conv", "depthwise_conv.depthwise_norm"),
    "project": ("projection.project_conv", "projection.project_bn"),
}
PLAIN = {"squeeze": "squeeze_excite.reduce", "excite": "squeeze_excite.expand"}


def read(checkpoint: Checkpoint, config: dict[str, Any]) -> Model:
    """A `Model` from the checkpoint's files; weights are read later, when a network is built."""
    vision_config = tower(config, "vision", VISION_DEFAULTS)
    text_config = tower(config, "text", hf_bert.DEFAULTS)
    dimension = dimension_of(config, 640)
    if vision_config["pooling_type"] != "mean":
        raise ModelError(f"config.json pools by {vision_config['pooling_type']!r}: not supported.")
    # The config's image_size is of no consequence: the net takes what the processor makes.
    preprocess = processors.from_efficientnet(read_image_processor(checkpoint))
    weights = checkpoint.weights()
    return assemble(
        checkpoint,
        "align",
        weights,
        preprocess=preprocess,
        image_tower=_image_tower(weights.arrays, vision_config, dimension, preprocess),
        text_tower=hf_bert.first_token_tower(weights.arrays, text_config, dimension, bias=True),
        text_inputs=Masked(),
        context_length=text_config["max_position_embeddings"],
        score=Score("softmax", scale=1 / scalar(weights.arrays, "temperature", 1e-6, 1e6)),
        batch_size=SMALL_BATCH,
    )


def _image_tower(
    weights: Weights, config: Mapping[str, Any], dimension: int, preprocess: Preprocess
) -> TowerSpec:
    epsilon = float(config["batch_norm_eps"])
    stem = "vision_model.embeddings."
    stem_names = folded("stem", stem + "convolution", stem + "batchnorm", epsilon)
    names: dict[str, str | Rule] = {**stem_names}
    shapes: dict[str, tuple[int, ...]] = {}
    all_blocks = _blocks(config)
    check_layers(weights, "vision_model.encoder.blocks.{}", len(all_blocks))
    for index, (kernel, widens, _) in enumerate(all_blocks):
        ours, theirs = f"blocks.{index}.", f"vision_model.encoder.blocks.{index}."
        for name, (conv, norm) in FOLDED.items():
            if name != "expand" or widens:
                names |= folded(ours + name, theirs + conv, theirs + norm, epsilon)
        for name, conv in PLAIN.items():
            names |= {f"{ours}{name}.{k}": f"{theirs}{conv}.{k}" for k in ("weight", "bias")}
        depthwise = f"{theirs}{FOLDED['depthwise'][0]}.weight"
        shapes[depthwise] = (weights.shape(depthwise, 4)[0], 1, kernel, kernel)
    last = f"vision_model.encoder.blocks.{len(all_blocks) - 1}.{FOLDED['project'][0]}.weight"
    shapes[last] = (dimension, *weights.shape(last)[1:])
    size = preprocess.output
    assert size is not None  # or it would have been refused
    net = efficientnet.EfficientNetConfig(
        size,
        tuple(block for _, _, block in all_blocks),
        activation(config),
        dimension,
        *preprocess.normalisation(),
    )
    return TowerSpec("efficientnet", net, names, shapes)


def _blocks(config: Mapping[str, Any]) -> list[tuple[int, bool, efficientnet.Block]]:
    """Of every block: its kernel, whether it widens, and the rest; 160,000 at most."""
    stages = [config[key] for key in STAGES]
    if len({len(stage) for stage in stages}) != 1:
        raise ModelError(f"config.json has stages of several numbers in {', '.join(STAGES)}.")
    result: list[tuple[int, bool, efficientnet.Block]] = []
    for repeats, first_stride, kernel, widening in zip(*stages, strict=True):
        for number in range(math.ceil(config["depth_coefficient"] * repeats)):
            stride = first_stride if number == 0 else 1
            padding = _padding(kernel, stride, len(result) in config["depthwise_padding"])
            block = efficientnet.Block(stride, padding, adds=number > 0)
            result.append((kernel, widening != 1, block))
    return result


def _padding(kernel: int, stride: int, square: bool) -> efficientnet.Padding:
    """Not TensorFlow's: with a stride it is one less above and to the left, whatever the side."""
    high = kernel // 2
    low = high - 1 if stride == 2 and not square else (kernel - 1) // 2
    return low, low, high, high
