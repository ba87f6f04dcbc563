"""AltCLIP (Chen et al. 2022, arXiv:2211.06679) as transformers saves it, m18 too: CLIP's image net,
and XLM-RoBERTa taught to write the vectors of CLIP's text net."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from unseen.errors import ModelError
from unseen.models import processors
from unseen.models.checkpoint import Checkpoint, read_image_processor
from unseen.models.families import hf_bert, hf_vision
from unseen.models.families.assemble import assemble, softmax_score
from unseen.models.families.hf_config import blocks, tower
from unseen.models.families.hf_config import dimension as dimension_of
from unseen.models.inputs import Masked
from unseen.models.model import Model
from unseen.models.towers import TowerSpec
from unseen.networks import bert

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


def read(checkpoint: Checkpoint, config: dict[str, Any]) -> Model:
    """A `Model` from the checkpoint's files; weights are read later, when a network is built."""
    vision_config = tower(config, "vision", hf_vision.DEFAULTS)
    text_config = tower(config, "text", TEXT_DEFAULTS)
    dimension = dimension_of(config, 768)
    preprocess = processors.from_hugging_face(
        read_image_processor(checkpoint),
        processors.CLIP_DEFAULTS,
        vision_config["image_size"],
    )
    weights = checkpoint.weights()
    first_position: int = text_config["pad_token_id"] + 1
    context_length: int = text_config["max_position_embeddings"] - first_position
    if context_length < 1:
        raise ModelError(
            f"config.json: text_config: pad_token_id is {first_position - 1}; allowed is a number "
            f"below max_position_embeddings less 1, {context_length + first_position - 1}."
        )
    return assemble(
        checkpoint,
        "altclip",
        weights,
        preprocess=preprocess,
        image_tower=hf_vision.image_tower(weights.arrays, vision_config, dimension, preprocess),
        text_tower=_text_tower(weights.arrays, text_config, dimension, first_position),
        text_inputs=Masked(),
        context_length=context_length,
        score=softmax_score(weights.arrays),
    )


def _text_tower(
    weights: Iterable[str], config: Mapping[str, Any], dimension: int, first_position: int
) -> TowerSpec:
    width, hidden = config["hidden_size"], config["project_dim"]
    names = hf_bert.names(weights, "text_model.roberta.", config["num_hidden_layers"]) | TEXT_HEAD
    shapes = {
        names["tokens"]: (config["vocab_size"], width),
        names["positions"]: (config["max_position_embeddings"], width),
        names["hidden.weight"]: (hidden, width),
        names["projection.weight"]: (dimension, hidden),
    }
    roberta = bert.BertConfig(blocks(config), first_position)
    return TowerSpec("bert", bert.TextConfig(roberta, "first", dimension), names, shapes)
