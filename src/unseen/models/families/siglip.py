"""SigLIP (Zhai et al. 2023, arXiv:2303.15343) and SigLIP 2 (Tschannen et al. 2025,
arXiv:2502.14786) as transformers saves them: model_type "siglip" of fixed resolution, "siglip2" of
any (NaFlex), and "fgclip2", FG-CLIP 2 (Xie et al. 2025, arXiv:2510.10921), which has NaFlex's nets
and further heads: its short texts are read, at most 64 tokens."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from unseen.errors import ModelError
from unseen.models import processors
from unseen.models.checkpoint import Checkpoint, read_image_processor, tokenizer_setting
from unseen.models.families import hf_vision
from unseen.models.families.assemble import assemble, sigmoid_score
from unseen.models.families.hf_config import blocks, grid, tower
from unseen.models.inputs import FixedLength, ImageInputs, PaddedPatches, Stacked
from unseen.models.model import Model, Preprocessing
from unseen.models.tokenizers.tokenizer import TokenizerSpec
from unseen.models.towers import TowerSpec
from unseen.models.weights.names import Rule
from unseen.models.weights.rules import LastAxes, Part
from unseen.networks import text, vit

ImageHalf = tuple[Preprocessing, TowerSpec, ImageInputs]

# What transformers takes for a key that a tower's config leaves out.
SHARED_DEFAULTS = {
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
    "num_hidden_layers": 12,
    "hidden_size": 768,
    "num_attention_heads": 12,
}
VISION_DEFAULTS = SHARED_DEFAULTS | {"image_size": 224, "patch_size": 16, "vision_use_head": True}
NAFLEX_DEFAULTS = SHARED_DEFAULTS | {"num_patches": 256, "patch_size": 16, "vision_use_head": True}
TEXT_DEFAULTS = SHARED_DEFAULTS | {
    "vocab_size": 32000,
    "max_position_embeddings": 64,
    "pad_token_id": 1,
    "projection_size": None,
}

# tokenizer_class in tokenizer_config.json → what is done to a text first.
NORMALIZATION = {
    "SiglipTokenizer": "siglip",
    "GemmaTokenizer": "lower",
    "GemmaTokenizerFast": "lower",
    "Siglip2Tokenizer": "lower",
}

# Our names of parameters → the checkpoint's.
VISION: dict[str, str | Rule] = {
    "patch.weight": "vision_model.embeddings.patch_embedding.weight",
    "patch.bias": "vision_model.embeddings.patch_embedding.bias",
    "positions": "vision_model.embeddings.position_embedding.weight",
    "norm_after.weight": "vision_model.post_layernorm.weight",
    "norm_after.bias": "vision_model.post_layernorm.bias",
    "probe": LastAxes("vision_model.head.probe", 1),
    **{
        f"pool.{name}.{kind}": Part(f"vision_model.head.attention.in_proj_{kind}", index, 3)
        for index, name in enumerate(("query", "key", "value"))
        for kind in ("weight", "bias")
    },
    **{
        f"pool.{ours}.{kind}": f"vision_model.head.{theirs}.{kind}"
        for ours, theirs in {
            "out": "attention.out_proj",
            "norm2": "layernorm",
            "mlp1": "mlp.fc1",
            "mlp2": "mlp.fc2",
        }.items()
        for kind in ("weight", "bias")
    },
}
TEXT = {
    "tokens": "text_model.embeddings.token_embedding.weight",
    "positions": "text_model.embeddings.position_embedding.weight",
    "norm_after.weight": "text_model.final_layer_norm.weight",
    "norm_after.bias": "text_model.final_layer_norm.bias",
    "projection.weight": "text_model.head.weight",
    "projection.bias": "text_model.head.bias",
}


def read(checkpoint: Checkpoint, config: dict[str, Any]) -> Model:
    """A `Model` from the checkpoint's files; weights are read later, when a network is built."""
    any_shape = config.get("model_type") != "siglip"
    vision_config = tower(config, "vision", NAFLEX_DEFAULTS if any_shape else VISION_DEFAULTS)
    text_config = tower(config, "text", TEXT_DEFAULTS)
    if not vision_config["vision_use_head"]:
        raise ModelError(f"{checkpoint.name}: an image net without its head cannot be used here.")
    weights = checkpoint.weights()
    read_image = _patches_of_any_shape if any_shape else _pictures_of_one_size
    preprocess, image_tower, image_inputs = read_image(
        read_image_processor(checkpoint), weights.arrays, vision_config
    )
    context_length = text_config["max_position_embeddings"]
    tokenizer_class = tokenizer_setting(checkpoint, "tokenizer_class")
    tokenizer = TokenizerSpec(
        str(checkpoint.folder), NORMALIZATION.get(tokenizer_class or "", "siglip")
    )
    pad_token = tokenizer_setting(checkpoint, "pad_token")
    pad = tokenizer.token_id(pad_token) if pad_token else None
    pad = text_config["pad_token_id"] if pad is None else pad
    if pad >= text_config["vocab_size"]:
        raise ModelError(
            f"the padding is the token {pad}, and config.json has a vocab_size of "
            f"{text_config['vocab_size']}. The folder may hold files of two checkpoints."
        )
    return assemble(
        checkpoint,
        "siglip",
        weights,
        preprocess=preprocess,
        image_tower=image_tower,
        image_inputs=image_inputs,
        text_tower=_text_tower(weights.arrays, text_config),
        text_inputs=FixedLength(context_length, pad),
        context_length=context_length,
        score=sigmoid_score(weights.arrays),
        tokenizer=tokenizer,
    )


def _pictures_of_one_size(
    processor: Mapping[str, Any], weights: Iterable[str], config: Mapping[str, Any]
) -> ImageHalf:
    size, patch, width = (config[k] for k in ("image_size", "patch_size", "hidden_size"))
    preprocess = processors.from_hugging_face(processor, processors.SIGLIP_DEFAULTS, size)
    down, across = grid((size, size), patch)
    scale, shift = preprocess.normalisation()
    vision_config = vit.VisionConfig(
        (size, size), patch, width, blocks(config), width, scale, shift, "attention"
    )
    shapes = {
        "vision_model.embeddings.patch_embedding.weight": (width, 3, patch, patch),
        "vision_model.embeddings.position_embedding.weight": (down * across, width),
    }
    tower = TowerSpec("vit", vision_config, _image_names(weights, config), shapes)
    return preprocess, tower, Stacked()


def _patches_of_any_shape(
    processor: Mapping[str, Any], weights: Iterable[str], config: Mapping[str, Any]
) -> ImageHalf:
    count, patch, width = (config[k] for k in ("num_patches", "patch_size", "hidden_size"))
    side = math.isqrt(count)
    if side * side != count:
        raise ModelError(
            f"config.json: vision_config: num_patches is {count}; allowed is the number of patches "
            "of a square, such as 256."
        )
    preprocess = processors.from_naflex(processor, patch, side)
    scale, shift = preprocess.normalisation()
    vision_config = vit.NaFlexConfig(patch, side, width, blocks(config), width, scale, shift)
    shapes = {
        "vision_model.embeddings.patch_embedding.weight": (width, 3 * patch * patch),
        "vision_model.embeddings.position_embedding.weight": (count, width),
    }
    tower = TowerSpec("naflex", vision_config, _image_names(weights, config), shapes)
    return preprocess, tower, PaddedPatches()


def _image_names(weights: Iterable[str], config: Mapping[str, Any]) -> dict[str, str | Rule]:
    stem, count = "vision_model.encoder.layers.{}", config["num_hidden_layers"]
    return VISION | hf_vision.layers(weights, stem, hf_vision.LAYER, count)


def _text_tower(weights: Iterable[str], config: Mapping[str, Any]) -> TowerSpec:
    width, stem = config["hidden_size"], "text_model.encoder.layers.{}"
    dimension = config["projection_size"] or width
    return TowerSpec(
        "text",
        text.TextConfig(blocks(config), dimension, causal=False),
        TEXT | hf_vision.layers(weights, stem, hf_vision.LAYER, config["num_hidden_layers"]),
        {
            TEXT["tokens"]: (config["vocab_size"], width),
            TEXT["positions"]: (config["max_position_embeddings"], width),
            TEXT["projection.weight"]: (dimension, width),
        },
    )
