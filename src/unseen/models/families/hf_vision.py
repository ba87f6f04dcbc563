"""The vision transformer of CLIP as transformers names its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from unseen.images.preprocess import Preprocess
from unseen.models.families.hf_config import blocks, check_shapes
from unseen.models.weights import Made, Renamed, Weights
from unseen.networks import vit
from unseen.networks.network import Network

# What transformers takes for a key that the vision_config leaves out.
DEFAULTS = {
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "num_hidden_layers": 12,
    "hidden_size": 768,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
    "num_channels": 3,
}

# Our names of parameters → the checkpoint's.
LAYER = {
    "norm1": "layer_norm1",
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "out": "self_attn.out_proj",
    "norm2": "layer_norm2",
    "mlp1": "mlp.fc1",
    "mlp2": "mlp.fc2",
}
NAMES = {
    "class_token": "vision_model.embeddings.class_embedding",
    "patch.weight": "vision_model.embeddings.patch_embedding.weight",
    "positions": "vision_model.embeddings.position_embedding.weight",
    "norm_before.weight": "vision_model.pre_layrnorm.weight",  # the typo is theirs
    "norm_before.bias": "vision_model.pre_layrnorm.bias",
    "norm_after.weight": "vision_model.post_layernorm.weight",
    "norm_after.bias": "vision_model.post_layernorm.bias",
    "projection.weight": "visual_projection.weight",
}


def layers(stem: str, names: Mapping[str, str], count: int) -> dict[str, str]:
    """The weights and biases of `count` layers; {} in `stem` is the layer."""
    return {
        f"layers.{layer}.{ours}.{kind}": f"{stem.format(layer)}.{theirs}.{kind}"
        for layer in range(count)
        for ours, theirs in names.items()
        for kind in ("weight", "bias")
    }


def image_network(
    weights: Weights, config: Mapping[str, Any], dimension: int, preprocess: Preprocess, prefix: str
) -> Callable[[], Network[Any]]:
    """The image net of a checkpoint; `prefix` stands before every name. Reads no weight yet.

    Where `preprocess` makes pictures of another size than the config's, the positions are stretched
    to it: a family that does not do so asks `preprocess` for the config's size.
    """
    return partial(_image_network, weights, config, dimension, preprocess, prefix)


def _image_network(
    weights: Weights, config: Mapping[str, Any], dimension: int, preprocess: Preprocess, prefix: str
) -> Network[Any]:
    size, patch, width = (int(config[k]) for k in ("image_size", "patch_size", "hidden_size"))
    # transformers 5 writes AltCLIP's as "layer", every other as "layers".
    one = f"{prefix}vision_model.encoder.layer.0.layer_norm1.weight" in weights
    stem = "vision_model.encoder.layer.{}" if one else "vision_model.encoder.layers.{}"
    names = NAMES | layers(stem, LAYER, int(config["num_hidden_layers"]))
    names = {ours: prefix + theirs for ours, theirs in names.items()}
    check_shapes(
        weights,
        {
            names["patch.weight"]: (width, 3, patch, patch),
            names["positions"]: ((size // patch) ** 2 + 1, width),
            names["projection.weight"]: (dimension, width),
        },
    )
    picture, grid = preprocess.output or (size, size), (size // patch, size // patch)
    wanted = picture[0] // patch, picture[1] // patch
    made: dict[str, str | Made] = {**names}
    if wanted != grid:
        made["positions"] = lambda w: vit.stretch_positions(w[names["positions"]], grid, wanted)
    scale, shift = preprocess.normalisation()
    vision_config = vit.VisionConfig(picture, patch, width, blocks(config), dimension, scale, shift)
    return vit.network(vision_config, Renamed(weights, made))
