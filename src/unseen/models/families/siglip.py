"""SigLIP (Zhai et al. 2023, arXiv:2303.15343) and SigLIP 2 of fixed resolution (Tschannen et al.
2025, arXiv:2502.14786) as transformers saves them (model_type "siglip")."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from unseen.errors import ModelError
from unseen.images.preprocess import Preprocess
from unseen.models import processors
from unseen.models.checkpoint import Checkpoint, read_image_processor, tokenizer_setting
from unseen.models.families import hf_vision
from unseen.models.families.assemble import assemble, sigmoid_score
from unseen.models.families.hf_config import blocks, grid, tower
from unseen.models.inputs import FixedLength
from unseen.models.model import Model
from unseen.models.tokenizers.tokenizer import TokenizerSpec
from unseen.models.towers import TowerSpec
from unseen.models.weights.names import LastAxes, Part, Rule
from unseen.networks import text, vit

# What transformers takes for a key that a tower's config leaves out.
SHARED_DEFAULTS = {
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
    "num_hidden_layers": 12,
    "hidden_size": 768,
    "num_attention_heads": 12,
}
VISION_DEFAULTS = SHARED_DEFAULTS | {"image_size": 224, "patch_size": 16, "vision_use_head": True}
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
    vision_config = tower(config, "vision", VISION_DEFAULTS)
    text_config = tower(config, "text", TEXT_DEFAULTS)
    if not vision_config["vision_use_head"]:
        raise ModelError(f"{checkpoint.name}: an image net without its head cannot be used here.")
    preprocess = processors.from_hugging_face(
        read_image_processor(checkpoint),
        processors.SIGLIP_DEFAULTS,
        vision_config["image_size"],
    )
    weights = checkpoint.weights()
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
        image_tower=_image_tower(weights.arrays, vision_config, preprocess),
        text_tower=_text_tower(weights.arrays, text_config),
        text_inputs=FixedLength(context_length, pad),
        context_length=context_length,
        score=sigmoid_score(weights.arrays),
        tokenizer=tokenizer,
    )


def _image_tower(
    weights: Iterable[str], config: Mapping[str, Any], preprocess: Preprocess
) -> TowerSpec:
    size, patch, width = (config[k] for k in ("image_size", "patch_size", "hidden_size"))
    down, across = grid((size, size), patch)
    stem, count = "vision_model.encoder.layers.{}", config["num_hidden_layers"]
    scale, shift = preprocess.normalisation()
    return TowerSpec(
        "vit",
        vit.VisionConfig(
            (size, size), patch, width, blocks(config), width, scale, shift, "attention"
        ),
        VISION | hf_vision.layers(weights, stem, hf_vision.LAYER, count),
        {
            "vision_model.embeddings.patch_embedding.weight": (width, 3, patch, patch),
            "vision_model.embeddings.position_embedding.weight": (down * across, width),
        },
    )


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
