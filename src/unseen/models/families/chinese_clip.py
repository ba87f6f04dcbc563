"""Chinese-CLIP (Yang et al. 2022, arXiv:2211.01335) as transformers saves it: CLIP's image net, a
Chinese BERT or RoBERTa of the same shape, read at its first token."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from unseen.models import hub
from unseen.models.families import hf_bert, hf_vision
from unseen.models.families.hf_config import blocks, check_shapes, tower
from unseen.models.model import Model, Score
from unseen.models.tokenizer import Tokenizer
from unseen.models.weights import Renamed, Weights, open_weights
from unseen.networks import bert
from unseen.networks.operations import Network
from unseen.preprocess import CLIP_DEFAULTS, Preprocess

TEMPLATE = "一张{}的照片。"  # "a photo of {}": its labels are Chinese

# What transformers takes for a key that the text_config leaves out.
TEXT_DEFAULTS = {
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "num_hidden_layers": 12,
    "hidden_size": 768,
    "num_attention_heads": 12,
    "max_position_embeddings": 512,
    "vocab_size": 30522,
}


def read(checkpoint: hub.Checkpoint, config: dict[str, Any]) -> Model:
    """A `Model` from the checkpoint's files; weights are read later, when a network is compiled."""
    vision_config = tower(config, "vision", hf_vision.DEFAULTS)
    text_config = tower(config, "text", TEXT_DEFAULTS)
    dimension = int(config.get("projection_dim", 512))
    preprocess = Preprocess.from_hf_config(
        hub.read_image_processor(checkpoint), CLIP_DEFAULTS, int(vision_config["image_size"])
    )
    weights = open_weights(checkpoint.folder)
    return Model(
        name=checkpoint.name,
        revision=checkpoint.revision,
        family="chinese_clip",
        fingerprint=hub.fingerprint(checkpoint),
        dimension=dimension,
        preprocess=preprocess,
        tokenizer=Tokenizer.from_folder(checkpoint.folder),
        context_length=int(text_config["max_position_embeddings"]),
        text_inputs=hf_bert.text_inputs,
        score=Score("softmax", scale=math.exp(float(weights["logit_scale"]))),
        image_network=hf_vision.image_network(weights, vision_config, dimension, preprocess, ""),
        text_network=partial(_text_network, weights, text_config, dimension),
        template=TEMPLATE,
    )


def _text_network(weights: Weights, config: Mapping[str, Any], dimension: int) -> Network[Any]:
    width = int(config["hidden_size"])
    names = hf_bert.names("text_model.", int(config["num_hidden_layers"]))
    names["projection.weight"] = "text_projection.weight"
    check_shapes(
        weights,
        {
            names["tokens"]: (int(config["vocab_size"]), width),
            names["positions"]: (int(config["max_position_embeddings"]), width),
            names["projection.weight"]: (dimension, width),
        },
    )
    text_config = bert.TextConfig(bert.BertConfig(blocks(config)), "first", dimension)
    return bert.network(text_config, Renamed(weights, names))
