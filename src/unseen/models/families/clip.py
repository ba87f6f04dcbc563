"""CLIP as transformers saves it (model_type "clip"): OpenAI's, LAION's, MetaCLIP, TinyCLIP."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from unseen.images.preprocess import CLIP_DEFAULTS, Preprocess
from unseen.models import hub
from unseen.models.families import hf_vision
from unseen.models.families.hf_config import blocks, check_shapes, tower
from unseen.models.model import Model, Score
from unseen.models.tokenizer import Tokenizer
from unseen.models.weights import Renamed, Weights, open_weights
from unseen.networks import text
from unseen.networks.network import Network
from unseen.networks.operations import Array

# What transformers takes for a key that the text_config leaves out.
TEXT_DEFAULTS = {
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "num_hidden_layers": 12,
    "hidden_size": 512,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "vocab_size": 49408,
    "eos_token_id": 49407,
}

TEXT = {
    "tokens": "text_model.embeddings.token_embedding.weight",
    "positions": "text_model.embeddings.position_embedding.weight",
    "norm_after.weight": "text_model.final_layer_norm.weight",
    "norm_after.bias": "text_model.final_layer_norm.bias",
    "projection.weight": "text_projection.weight",
}


def read(checkpoint: hub.Checkpoint, config: dict[str, Any]) -> Model:
    """A `Model` from the checkpoint's files; weights are read later, when a network is compiled."""
    vision_config = tower(config, "vision", hf_vision.DEFAULTS)
    preprocess = Preprocess.from_hf_config(
        hub.read_image_processor(checkpoint), CLIP_DEFAULTS, int(vision_config["image_size"])
    )
    return model(checkpoint, config, "clip", preprocess, open_weights(checkpoint.folder))


def model(
    checkpoint: hub.Checkpoint,
    config: dict[str, Any],
    family: str,
    preprocess: Preprocess,
    weights: Weights,
    prefix: str = "",
) -> Model:
    """CLIP's two nets, whatever makes the pictures; `prefix` stands before every weight's name."""
    vision_config = tower(config, "vision", hf_vision.DEFAULTS)
    text_config = tower(config, "text", TEXT_DEFAULTS)
    dimension = int(config.get("projection_dim", 512))
    return Model(
        name=checkpoint.name,
        revision=checkpoint.revision,
        family=family,
        fingerprint=hub.fingerprint(checkpoint),
        dimension=dimension,
        preprocess=preprocess,
        tokenizer=Tokenizer.from_folder(checkpoint.folder),
        context_length=int(text_config["max_position_embeddings"]),
        text_inputs=partial(text_inputs, end=_end(text_config)),
        score=Score("softmax", scale=math.exp(float(weights[prefix + "logit_scale"]))),
        image_network=hf_vision.image_network(
            weights, vision_config, dimension, preprocess, prefix
        ),
        text_network=partial(_text_network, weights, text_config, dimension, prefix),
    )


def _end(config: Mapping[str, Any]) -> int | None:
    """Configs from before transformers 4.30 say eos_token_id 2, which is not CLIP's: None then."""
    end = int(config["eos_token_id"])
    return None if end == 2 else end


def text_inputs(ids: Sequence[Sequence[int]], end: int | None) -> tuple[Array, Array]:
    """Token ids of each text → int64 (n, longest) and the place that is read, int64 (n,).

    Read is the first `end`, or the first token where there is none; without an `end` the largest
    id, as OpenAI's own code does.
    """
    batch = np.zeros((len(ids), max(map(len, ids))), dtype=np.int64)
    ends = np.zeros(len(ids), dtype=np.int64)
    for row, tokens in enumerate(ids):
        batch[row, : len(tokens)] = tokens
        wanted = max(tokens) if end is None else end
        ends[row] = tokens.index(wanted) if wanted in tokens else 0
    return batch, ends


def _text_network(
    weights: Weights, config: Mapping[str, Any], dimension: int, prefix: str
) -> Network[Any]:
    width, count = int(config["hidden_size"]), int(config["num_hidden_layers"])
    layers = hf_vision.layers("text_model.encoder.layers.{}", hf_vision.LAYER, count)
    names = {ours: prefix + theirs for ours, theirs in (TEXT | layers).items()}
    check_shapes(
        weights,
        {
            names["tokens"]: (int(config["vocab_size"]), width),
            names["positions"]: (int(config["max_position_embeddings"]), width),
            names["projection.weight"]: (dimension, width),
        },
    )
    return text.network(text.TextConfig(blocks(config), dimension), Renamed(weights, names))
