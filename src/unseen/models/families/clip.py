"""CLIP as transformers saves it (model_type "clip"): OpenAI's, LAION's, MetaCLIP, TinyCLIP."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from unseen.errors import ModelError
from unseen.models import hub
from unseen.models.model import Model, Score
from unseen.models.tokenizer import Tokenizer
from unseen.models.weights import Renamed, Weights, open_weights
from unseen.networks import text, vit
from unseen.networks.operations import ACTIVATIONS, Array, Network
from unseen.preprocess import Preprocess

# What transformers' CLIPConfig takes for a key that config.json leaves out.
SHARED_DEFAULTS = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "num_hidden_layers": 12}
TEXT_DEFAULTS = {
    **SHARED_DEFAULTS,
    "hidden_size": 512,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "vocab_size": 49408,
    "eos_token_id": 49407,
}
VISION_DEFAULTS = {
    **SHARED_DEFAULTS,
    "hidden_size": 768,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
    "num_channels": 3,
}

# transformers' names of activations → ours.
HIDDEN_ACTS = {
    "quick_gelu": "quick_gelu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}

# Our names of parameters → the checkpoint's; {} is the layer.
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
VISION = {
    "class_token": "vision_model.embeddings.class_embedding",
    "patch.weight": "vision_model.embeddings.patch_embedding.weight",
    "positions": "vision_model.embeddings.position_embedding.weight",
    "norm_before.weight": "vision_model.pre_layrnorm.weight",  # the typo is theirs
    "norm_before.bias": "vision_model.pre_layrnorm.bias",
    "norm_after.weight": "vision_model.post_layernorm.weight",
    "norm_after.bias": "vision_model.post_layernorm.bias",
    "projection": "visual_projection.weight",
}
TEXT = {
    "tokens": "text_model.embeddings.token_embedding.weight",
    "positions": "text_model.embeddings.position_embedding.weight",
    "norm_after.weight": "text_model.final_layer_norm.weight",
    "norm_after.bias": "text_model.final_layer_norm.bias",
    "projection": "text_projection.weight",
}


def read(checkpoint: hub.Checkpoint, config: dict[str, Any]) -> Model:
    """A `Model` from the checkpoint's files; weights are read later, when a network is compiled."""
    vision_config = _tower(config, "vision", VISION_DEFAULTS)
    text_config = _tower(config, "text", TEXT_DEFAULTS)
    dimension = int(config.get("projection_dim", 512))
    preprocess = Preprocess.from_hf_config(
        hub.read_image_processor(checkpoint), int(vision_config["image_size"])
    )
    weights = open_weights(checkpoint.folder)
    return Model(
        name=checkpoint.name,
        revision=checkpoint.revision,
        family="clip",
        fingerprint=hub.fingerprint(checkpoint),
        dimension=dimension,
        preprocess=preprocess,
        tokenizer=Tokenizer.from_folder(checkpoint.folder),
        context_length=int(text_config["max_position_embeddings"]),
        text_inputs=partial(text_inputs, eos_token_id=int(text_config["eos_token_id"])),
        score=Score("softmax", scale=math.exp(float(weights["logit_scale"]))),
        image_network=partial(_image_network, weights, vision_config, dimension, preprocess),
        text_network=partial(_text_network, weights, text_config, dimension),
    )


def text_inputs(ids: Sequence[Sequence[int]], eos_token_id: int) -> tuple[Array, Array]:
    """Token ids of each text → int64 (n, longest) and the place that is read, int64 (n,).

    Configs from before transformers 4.30 say eos_token_id 2, which is not CLIP's: the text is then
    read at its largest id, as OpenAI's own code does. Any other config is taken at its word, and
    the text is read at the first such token (the first token of all, when there is none).
    """
    batch = np.zeros((len(ids), max(map(len, ids))), dtype=np.int64)
    ends = np.zeros(len(ids), dtype=np.int64)
    for row, tokens in enumerate(ids):
        batch[row, : len(tokens)] = tokens
        wanted = max(tokens) if eos_token_id == 2 else eos_token_id
        ends[row] = tokens.index(wanted) if wanted in tokens else 0
    return batch, ends


def _tower(config: dict[str, Any], name: str, defaults: dict[str, Any]) -> dict[str, Any]:
    """One tower's settings; an old `vision_config_dict` overrules, its defaults included.

    That is what transformers' CLIPConfig does with the pair that early checkpoints have.
    """
    given = config.get(f"{name}_config") or {}
    old = config.get(f"{name}_config_dict")
    return {**defaults, **given} if old is None else {**given, **defaults, **old}


def _activation(config: dict[str, Any]) -> str:
    name = HIDDEN_ACTS.get(config["hidden_act"])
    if name not in ACTIVATIONS:
        raise ModelError(
            f"config.json asks for the activation {config['hidden_act']!r}, which is not "
            f"supported; supported are {', '.join(sorted(HIDDEN_ACTS))}."
        )
    return name


def _renamed(
    weights: Weights, table: Mapping[str, str], tower: str, layers: int
) -> Mapping[str, Array]:
    names = dict(table)
    for layer in range(layers):
        for ours, theirs in LAYER.items():
            for part in ("weight", "bias"):
                names[f"layers.{layer}.{ours}.{part}"] = (
                    f"{tower}.encoder.layers.{layer}.{theirs}.{part}"
                )
    return Renamed(weights, names)


def _check(weights: Weights, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """The config and the weights of a checkpoint must tell the same story."""
    for name, wanted in shapes.items():
        found = weights.shape(name)
        if found != wanted:
            raise ModelError(
                f"config.json and the weights disagree: {name} has the shape {found}, the config "
                f"says {wanted}. The folder may hold files of two checkpoints."
            )


def _image_network(
    weights: Weights, config: dict[str, Any], dimension: int, preprocess: Preprocess
) -> Network[Any]:
    size, patch = int(config["image_size"]), int(config["patch_size"])
    width, layers = int(config["hidden_size"]), int(config["num_hidden_layers"])
    _check(
        weights,
        {
            VISION["patch.weight"]: (width, 3, patch, patch),
            VISION["positions"]: ((size // patch) ** 2 + 1, width),
            VISION["projection"]: (dimension, width),
        },
    )
    scale, shift = preprocess.normalisation()
    vision_config = vit.VisionConfig(
        image_size=(size, size),
        patch=patch,
        width=width,
        layers=layers,
        heads=_heads(config),
        activation=_activation(config),
        epsilon=float(config["layer_norm_eps"]),
        dimension=dimension,
        scale=scale,
        shift=shift,
    )
    return vit.network(vision_config, _renamed(weights, VISION, "vision_model", layers))


def _text_network(weights: Weights, config: dict[str, Any], dimension: int) -> Network[Any]:
    width, layers = int(config["hidden_size"]), int(config["num_hidden_layers"])
    _check(
        weights,
        {
            TEXT["tokens"]: (int(config["vocab_size"]), width),
            TEXT["positions"]: (int(config["max_position_embeddings"]), width),
            TEXT["projection"]: (dimension, width),
        },
    )
    text_config = text.TextConfig(
        layers=layers,
        heads=_heads(config),
        activation=_activation(config),
        epsilon=float(config["layer_norm_eps"]),
        dimension=dimension,
    )
    return text.network(text_config, _renamed(weights, TEXT, "text_model", layers))


def _heads(config: dict[str, Any]) -> int:
    heads, width = int(config["num_attention_heads"]), int(config["hidden_size"])
    if heads < 1 or width % heads:
        raise ModelError(f"config.json has {heads} attention heads for a width of {width}.")
    return heads
