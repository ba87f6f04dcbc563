"""The vision transformer of CLIP as transformers names its weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from unseen.images.preprocess import Preprocess
from unseen.models.families.hf_config import blocks, check_layers, grid
from unseen.models.towers import TowerSpec
from unseen.models.weights.names import Rule
from unseen.models.weights.rules import StretchedPositions
from unseen.networks import vit

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


def layers(
    weights: Iterable[str], stem: str, names: Mapping[str, str], count: int
) -> dict[str, str]:
    """The weights and biases of `count` layers; {} in `stem` is the layer.

    ModelError where the weights have another number of layers.
    """
    check_layers(weights, stem, count)
    return {
        f"layers.{layer}.{ours}.{kind}": f"{stem.format(layer)}.{theirs}.{kind}"
        for layer in range(count)
        for ours, theirs in names.items()
        for kind in ("weight", "bias")
    }


def image_tower(
    weights: Mapping[str, Any],
    config: Mapping[str, Any],
    dimension: int,
    preprocess: Preprocess,
    prefix: str = "",
) -> TowerSpec:
    """The image net of a checkpoint; `prefix` stands before every name. Reads no weight.

    Where `preprocess` makes pictures of another size than the config's, the positions are stretched
    to it: a family that does not do so asks `preprocess` for the config's size.
    """
    size, patch, width = (config[k] for k in ("image_size", "patch_size", "hidden_size"))
    # transformers 5 writes AltCLIP's as "layer", every other as "layers".
    singular = f"{prefix}vision_model.encoder.layer.0.layer_norm1.weight" in weights
    stem = "vision_model.encoder.layer.{}" if singular else "vision_model.encoder.layers.{}"
    names: dict[str, str | Rule] = {ours: prefix + theirs for ours, theirs in NAMES.items()}
    names |= layers(weights, prefix + stem, LAYER, config["num_hidden_layers"])
    patches, positions, projection = (
        prefix + NAMES[name] for name in ("patch.weight", "positions", "projection.weight")
    )
    picture = preprocess.output or (size, size)
    old_grid, new_grid = grid((size, size), patch), grid(picture, patch)
    if new_grid != old_grid:
        names["positions"] = StretchedPositions(positions, old_grid, new_grid)
    scale, shift = preprocess.normalisation()
    return TowerSpec(
        "vit",
        vit.VisionConfig(picture, patch, width, blocks(config), dimension, scale, shift),
        names,
        {
            patches: (width, 3, patch, patch),
            positions: ((size // patch) ** 2 + 1, width),
            projection: (dimension, width),
        },
    )
