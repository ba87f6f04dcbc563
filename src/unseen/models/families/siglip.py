"""SigLIP (Zhai et al. 2023, arXiv:2303.15343) and SigLIP 2 of fixed resolution (Tschannen et al.
2025, arXiv:2502.14786) as transformers saves them (model_type "siglip")."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

import numpy as np

from unseen.errors import ModelError
from unseen.images.preprocess import SIGLIP_DEFAULTS, Preprocess
from unseen.models import cleaning, hub
from unseen.models.families import hf_vision
from unseen.models.families.hf_config import blocks, check_shapes, tower
from unseen.models.model import Model, Score
from unseen.models.tokenizer import Tokenizer
from unseen.models.weights import Made, Renamed, Weights, open_weights, part, without_leading_axes
from unseen.networks import text, vit
from unseen.networks.network import Network
from unseen.networks.operations import Array

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
CLEANING: dict[str, Callable[[str], str]] = {
    "SiglipTokenizer": cleaning.siglip,
    "GemmaTokenizer": cleaning.lower,
    "GemmaTokenizerFast": cleaning.lower,
    "Siglip2Tokenizer": cleaning.lower,
}

# Our names of parameters → the checkpoint's.
VISION: dict[str, str | Made] = {
    "patch.weight": "vision_model.embeddings.patch_embedding.weight",
    "patch.bias": "vision_model.embeddings.patch_embedding.bias",
    "positions": "vision_model.embeddings.position_embedding.weight",
    "norm_after.weight": "vision_model.post_layernorm.weight",
    "norm_after.bias": "vision_model.post_layernorm.bias",
    "probe": without_leading_axes("vision_model.head.probe", 1),
    **{
        f"pool.{name}.{kind}": part(f"vision_model.head.attention.in_proj_{kind}", index, 3)
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


def read(checkpoint: hub.Checkpoint, config: dict[str, Any]) -> Model:
    """A `Model` from the checkpoint's files; weights are read later, when a network is compiled."""
    vision_config = tower(config, "vision", VISION_DEFAULTS)
    text_config = tower(config, "text", TEXT_DEFAULTS)
    if not vision_config["vision_use_head"]:
        raise ModelError(f"{checkpoint.name}: an image net without its head cannot be used here.")
    preprocess = Preprocess.from_hf_config(
        hub.read_image_processor(checkpoint), SIGLIP_DEFAULTS, int(vision_config["image_size"])
    )
    weights = open_weights(checkpoint.folder)
    context_length = int(text_config["max_position_embeddings"])
    tokenizer_class = hub.tokenizer_setting(checkpoint, "tokenizer_class")
    tokenizer = Tokenizer.from_folder(
        checkpoint.folder, CLEANING.get(tokenizer_class or "", cleaning.siglip)
    )
    pad_token = hub.tokenizer_setting(checkpoint, "pad_token")
    pad = tokenizer.token_id(pad_token) if pad_token else None
    return Model(
        name=checkpoint.name,
        revision=checkpoint.revision,
        family="siglip",
        fingerprint=hub.fingerprint(checkpoint),
        dimension=int(vision_config["hidden_size"]),
        preprocess=preprocess,
        tokenizer=tokenizer,
        context_length=context_length,
        text_inputs=partial(
            padded_inputs,
            context_length=context_length,
            pad=int(text_config["pad_token_id"]) if pad is None else pad,
        ),
        score=Score(
            "sigmoid",
            scale=math.exp(weights["logit_scale"].item()),
            bias=weights["logit_bias"].item(),
        ),
        image_network=partial(_image_network, weights, vision_config, preprocess),
        text_network=partial(_text_network, weights, text_config),
    )


def refuse_naflex(checkpoint: hub.Checkpoint, config: dict[str, Any]) -> NoReturn:
    """SigLIP 2 of any resolution has another image net, whose input is no square of pixels."""
    raise ModelError(
        f"{checkpoint.name}: this is a NaFlex checkpoint of SigLIP 2, which is not supported; take "
        "one of fixed resolution, such as google/siglip2-base-patch16-256."
    )


def padded_inputs(
    ids: Sequence[Sequence[int]], context_length: int, pad: int
) -> tuple[Array, Array]:
    """Token ids of each text → int64 (n, context_length), and the last place, int64 (n,).

    SigLIP sees its padding and is read at the last token, so every text is padded to full length:
    shorter padding gave wrong rankings in several systems (open_clip issue 716).
    """
    batch = np.full((len(ids), context_length), pad, dtype=np.int64)
    for row, tokens in enumerate(ids):
        batch[row, : len(tokens)] = tokens
    return batch, np.full(len(ids), context_length - 1, dtype=np.int64)


def _image_network(
    weights: Weights, config: Mapping[str, Any], preprocess: Preprocess
) -> Network[Any]:
    size, patch, width = (int(config[k]) for k in ("image_size", "patch_size", "hidden_size"))
    count = int(config["num_hidden_layers"])
    names = VISION | hf_vision.layers("vision_model.encoder.layers.{}", hf_vision.LAYER, count)
    check_shapes(
        weights,
        {
            "vision_model.embeddings.patch_embedding.weight": (width, 3, patch, patch),
            "vision_model.embeddings.position_embedding.weight": ((size // patch) ** 2, width),
        },
    )
    scale, shift = preprocess.normalisation()
    vision_config = vit.VisionConfig(
        (size, size), patch, width, blocks(config), width, scale, shift, "attention"
    )
    return vit.network(vision_config, Renamed(weights, names))


def _text_network(weights: Weights, config: Mapping[str, Any]) -> Network[Any]:
    width, count = int(config["hidden_size"]), int(config["num_hidden_layers"])
    dimension = int(config["projection_size"] or width)
    names = TEXT | hf_vision.layers("text_model.encoder.layers.{}", hf_vision.LAYER, count)
    check_shapes(
        weights,
        {
            TEXT["tokens"]: (int(config["vocab_size"]), width),
            TEXT["positions"]: (int(config["max_position_embeddings"]), width),
            TEXT["projection.weight"]: (dimension, width),
        },
    )
    text_config = text.TextConfig(blocks(config), dimension, causal=False)
    return text.network(text_config, Renamed(weights, names))
