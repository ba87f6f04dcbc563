"""AltCLIP (Chen et al. 2022, arXiv:2211.06679) as transformers saves it, m18 too: CLIP's image net,
and XLM-RoBERTa taught to write the vectors of CLIP's text net."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from unseen.images.preprocess import CLIP_DEFAULTS, Preprocess
from unseen.models import hub
from unseen.models.families import hf_bert, hf_vision
from unseen.models.families.hf_config import blocks, check_shapes, tower
from unseen.models.model import Model, Score
from unseen.models.tokenizer import Tokenizer
from unseen.models.weights import Renamed, Weights, open_weights
from unseen.networks import bert
from unseen.networks.network import Network

# What transformers takes for a key that the text_config leaves out.
TEXT_DEFAULTS = {
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
    "num_hidden_layers": 24,
    "hidden_size": 1024,
    "num_attention_heads": 16,
    "max_position_embeddings": 514,
    "vocab_size": 250002,
    "pad_token_id": 1,
    "project_dim": 768,
}

TEXT_HEAD = {
    "head_norm.weight": "text_model.pre_LN.weight",
    "head_norm.bias": "text_model.pre_LN.bias",
    "hidden.weight": "text_model.transformation.weight",
    "hidden.bias": "text_model.transformation.bias",
    "projection.weight": "text_projection.weight",
}


def read(checkpoint: hub.Checkpoint, config: dict[str, Any]) -> Model:
    """A `Model` from the checkpoint's files; weights are read later, when a network is compiled."""
    vision_config = tower(config, "vision", hf_vision.DEFAULTS)
    text_config = tower(config, "text", TEXT_DEFAULTS)
    dimension = int(config.get("projection_dim", 768))
    preprocess = Preprocess.from_hf_config(
        hub.read_image_processor(checkpoint), CLIP_DEFAULTS, int(vision_config["image_size"])
    )
    weights = open_weights(checkpoint.folder)
    first_position = int(text_config["pad_token_id"]) + 1
    return Model(
        name=checkpoint.name,
        revision=checkpoint.revision,
        family="altclip",
        fingerprint=hub.fingerprint(checkpoint),
        dimension=dimension,
        preprocess=preprocess,
        tokenizer=Tokenizer.from_folder(checkpoint.folder),
        context_length=int(text_config["max_position_embeddings"]) - first_position,
        text_inputs=hf_bert.text_inputs,
        score=Score("softmax", scale=math.exp(float(weights["logit_scale"]))),
        image_network=hf_vision.image_network(weights, vision_config, dimension, preprocess, ""),
        text_network=partial(_text_network, weights, text_config, dimension, first_position),
    )


def _text_network(
    weights: Weights, config: Mapping[str, Any], dimension: int, first_position: int
) -> Network[Any]:
    width, hidden = int(config["hidden_size"]), int(config["project_dim"])
    names = hf_bert.names("text_model.roberta.", int(config["num_hidden_layers"])) | TEXT_HEAD
    check_shapes(
        weights,
        {
            names["tokens"]: (int(config["vocab_size"]), width),
            names["positions"]: (int(config["max_position_embeddings"]), width),
            names["hidden.weight"]: (hidden, width),
            names["projection.weight"]: (dimension, hidden),
        },
    )
    roberta = bert.BertConfig(blocks(config), first_position)
    return bert.network(bert.TextConfig(roberta, "first", dimension), Renamed(weights, names))
